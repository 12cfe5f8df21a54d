"""
Compiled core of recouple. Internal: the public names live in the package.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
__all__: list[str] = ['BinnedProjections', 'Carried', 'CdfInverse', 'DatasetPlan', 'DenseFlow', 'DescentStage', 'DualStage', 'EntropicDual', 'Field', 'GridDensity', 'GridPlan', 'Interpolant', 'Marginal', 'Method', 'MirrorDescent', 'MixturePlan', 'ReluNetwork', 'SplineFeatures', 'TrainOptions', 'TrainerDouble', 'TrainerSingle', 'TransportMap', 'affine', 'callable_field', 'change_interpolant', 'coefficients', 'compiler', 'crossings', 'dataset_covariance', 'dataset_field', 'default_threads', 'empirical', 'evaluate_rows', 'grid_density', 'grid_field', 'grid_plan_density', 'grid_plan_field', 'grid_plan_local', 'grid_slice', 'histogram', 'histogram_bins', 'in_forked_child', 'integrate', 'mixture_em_step', 'mixture_field', 'mixture_jacobian', 'mixture_local', 'mixture_posterior', 'moment_abscissae', 'moments', 'normal', 'normal_mixture', 'ntk_gram', 'numeric_erf', 'numeric_erfc', 'numeric_erfcx', 'numeric_exp', 'numeric_log', 'numeric_normal_cdf', 'numeric_normal_quantile', 'openmp_runtime', 'python_marginal', 'reversed_time', 'sample_conditional', 'sample_grid_conditional', 'simd_level', 'sort_backend', 'spline_moments_of_cdf', 'spline_moments_of_samples', 'table_report', 'tabulate', 'transport_map', 'truncated', 'use_sort', 'wasserstein_1d', 'wasserstein_1d_grad', 'wasserstein_1d_plan']
class Marginal:
    """
    A law on the line, of any kind.
    """
    def atoms(self) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
        """
        Sorted values and weights of an empirical law; no weights if they are equal.
        """
    def cdf(self, x: typing.Any, num_threads: typing.Any = None) -> typing.Any:
        """
        At a float or at each point of a float64 array in C order; None for anything else.
        """
    def isf(self, x: typing.Any, num_threads: typing.Any = None) -> typing.Any:
        """
        At a float or at each point of a float64 array in C order; None for anything else.
        """
    def logcdf(self, x: typing.Any, num_threads: typing.Any = None) -> typing.Any:
        """
        At a float or at each point of a float64 array in C order; None for anything else.
        """
    def logpdf(self, x: typing.Any, num_threads: typing.Any = None) -> typing.Any:
        """
        At a float or at each point of a float64 array in C order; None for anything else.
        """
    def logsf(self, x: typing.Any, num_threads: typing.Any = None) -> typing.Any:
        """
        At a float or at each point of a float64 array in C order; None for anything else.
        """
    def mean(self) -> float:
        """
        Mean.
        """
    def mixture(self) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
        """
        Weights, means and standard deviations of a mixture.
        """
    def mixture_iterations(self, u: numpy.typing.NDArray[numpy.float64]) -> int:
        """
        Most iterations that any of these quantiles takes.
        """
    def pdf(self, x: typing.Any, num_threads: typing.Any = None) -> typing.Any:
        """
        At a float or at each point of a float64 array in C order; None for anything else.
        """
    def ppf(self, x: typing.Any, num_threads: typing.Any = None) -> typing.Any:
        """
        At a float or at each point of a float64 array in C order; None for anything else.
        """
    def sf(self, x: typing.Any, num_threads: typing.Any = None) -> typing.Any:
        """
        At a float or at each point of a float64 array in C order; None for anything else.
        """
    def std(self) -> float:
        """
        Standard deviation.
        """
    def support(self) -> tuple[float, float]:
        """
        The least interval that holds the law.
        """
class Interpolant:
    """
    X_t = a(t) X0 + b(t) X1.
    """
    cosine: typing.ClassVar[Interpolant]
    linear: typing.ClassVar[Interpolant]
    trigonometric: typing.ClassVar[Interpolant]
    @staticmethod
    def tabulated(name: str, series: numpy.typing.NDArray[numpy.float64], pieces: typing.SupportsInt | typing.SupportsIndex) -> Interpolant:
        """
        From Chebyshev series of a, b, a' and b' on equal pieces of [0, 1].
        """
    def __eq__(self, arg0: typing.Any) -> bool:
        ...
    def __getstate__(self) -> tuple[str, list[float], int]:
        ...
    def __hash__(self) -> int:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: tuple) -> None:
        ...
    def time_of(self, a: typing.SupportsFloat | typing.SupportsIndex, b: typing.SupportsFloat | typing.SupportsIndex) -> float:
        """
        The time at which b / a has this value.
        """
    @property
    def name(self) -> str:
        """
        What it is called.
        """
class MixturePlan:
    """
    Gaussian mixture on R^(2D), the joint law of (X0, X1).
    """
    def __init__(self, weights: numpy.typing.NDArray[numpy.float64], means: numpy.typing.NDArray[numpy.float64], covs: numpy.typing.NDArray[numpy.float64]) -> None:
        ...
class DatasetPlan:
    """
    Noise independent of a row of a data set.
    """
    def __init__(self, data: numpy.typing.NDArray[numpy.float64], std: typing.SupportsFloat | typing.SupportsIndex, weights: numpy.typing.NDArray[numpy.float64]) -> None:
        ...
class GridPlan:
    """
    Masses on a rectangular grid.
    """
    def __init__(self, x0: numpy.typing.NDArray[numpy.float64], x1: numpy.typing.NDArray[numpy.float64], mass: numpy.typing.NDArray[numpy.float64]) -> None:
        ...
class GridDensity:
    """
    The spline density of a grid plan.
    """
    def __init__(self, plan: GridPlan) -> None:
        ...
class TransportMap:
    """
    The increasing map between two laws.
    """
    def derivative(self, x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
        """
        T'(x).
        """
    def map(self, x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
        """
        T(x).
        """
class CdfInverse:
    """
    Quantiles of a cdf written in Python.
    """
    def __call__(self, u: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
        """
        The least x with cdf(x) >= u.
        """
    def __init__(self, cdf: collections.abc.Callable, lower: typing.SupportsFloat | typing.SupportsIndex, upper: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
class Field:
    """
    A velocity field, native or a Python callable.
    """
    @typing.overload
    def __call__(self, t: float, x: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
        ...
    @typing.overload
    def __call__(self, t: numpy.typing.NDArray[numpy.float64], x: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
        ...
    def divergence(self, t: typing.SupportsFloat | typing.SupportsIndex, x: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex = 0) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
        """
        Velocity and divergence at one time.
        """
    def jacobian(self, t: typing.SupportsFloat | typing.SupportsIndex, x: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
        """
        Jacobian at one time, (n, D, D).
        """
    @property
    def differentiable(self) -> bool:
        ...
    @property
    def dim(self) -> int:
        ...
    @property
    def native(self) -> bool:
        ...
class SplineFeatures:
    """
    B-splines of a X0 + b X1 at one time.
    """
    def __init__(self, a: typing.SupportsFloat | typing.SupportsIndex, b: typing.SupportsFloat | typing.SupportsIndex, first: typing.SupportsFloat | typing.SupportsIndex, spacing: typing.SupportsFloat | typing.SupportsIndex, intervals: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    @property
    def a(self) -> float:
        ...
    @property
    def b(self) -> float:
        ...
    @property
    def first(self) -> float:
        ...
    @property
    def intervals(self) -> int:
        ...
    @property
    def spacing(self) -> float:
        ...
class DualStage:
    """
    How one solve of the dual ended.
    """
    @property
    def divergence(self) -> float:
        ...
    @property
    def iterations(self) -> int:
        ...
    @property
    def residual(self) -> float:
        ...
    @property
    def status(self) -> str:
        ...
class EntropicDual:
    """
    The entropic dual on one grid, warm started.
    """
    @typing.overload
    def __init__(self, x0: numpy.typing.NDArray[numpy.float64], x1: numpy.typing.NDArray[numpy.float64], reference: numpy.typing.NDArray[numpy.float64], features: collections.abc.Sequence[SplineFeatures], degree: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    @typing.overload
    def __init__(self, reference: numpy.typing.NDArray[numpy.float64], features: numpy.typing.NDArray[numpy.float64]) -> None:
        ...
    def mass(self) -> numpy.typing.NDArray[numpy.float64]:
        ...
    def moments(self, threads: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
        ...
    def responses(self, changes: numpy.typing.NDArray[numpy.float64], penalty: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
        """
        d theta / d moments applied to rows of changes of the moments, flat.
        """
    def set_common(self, rows: numpy.typing.NDArray[numpy.float64]) -> None:
        """
        Rows U of the penalty diag(lambda) + U'U.
        """
    def set_theta(self, theta: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def solve(self, moments: numpy.typing.NDArray[numpy.float64], penalty: numpy.typing.NDArray[numpy.float64], decrement: typing.SupportsFloat | typing.SupportsIndex, max_iterations: typing.SupportsInt | typing.SupportsIndex, threads: typing.SupportsInt | typing.SupportsIndex, callback: typing.Any) -> DualStage:
        ...
    def uncertainty(self, functionals: numpy.typing.NDArray[numpy.float64], penalty: numpy.typing.NDArray[numpy.float64], noise_variance: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
        """
        Rows (mean, standard error, resolved fraction, variance), and d mean / d moments.
        """
    @property
    def size(self) -> int:
        ...
    @property
    def theta(self) -> numpy.typing.NDArray[numpy.float64]:
        ...
class BinnedProjections:
    """
    Masses on a grid to bins of X_t.
    """
    def __init__(self, n0: typing.SupportsInt | typing.SupportsIndex, n1: typing.SupportsInt | typing.SupportsIndex, h0: typing.SupportsFloat | typing.SupportsIndex, h1: typing.SupportsFloat | typing.SupportsIndex, times: numpy.typing.NDArray[numpy.float64]) -> None:
        ...
    def adjoint(self, bins: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
        """
        The adjoint of project.
        """
    def project(self, mass: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
        """
        Masses of the bins, time by time.
        """
    @property
    def first_bin(self) -> list[int]:
        ...
class DescentStage:
    """
    How one descent ended.
    """
    @property
    def divergence(self) -> float:
        ...
    @property
    def misfit(self) -> float:
        ...
    @property
    def objective(self) -> list[float]:
        ...
    @property
    def restarts(self) -> int:
        ...
    @property
    def status(self) -> str:
        ...
class MirrorDescent:
    """
    Accelerated mirror descent, warm started.
    """
    def __init__(self, projections: BinnedProjections, reference: numpy.typing.NDArray[numpy.float64], data: numpy.typing.NDArray[numpy.float64], weights: numpy.typing.NDArray[numpy.float64]) -> None:
        ...
    def mass(self, threads: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
        """
        Masses at the present theta, flat.
        """
    def misfit(self, mass: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex) -> tuple[float, numpy.typing.NDArray[numpy.float64]]:
        """
        The data term and its gradient.
        """
    def solve(self, regularization: typing.SupportsFloat | typing.SupportsIndex, tolerance: typing.SupportsFloat | typing.SupportsIndex, max_iterations: typing.SupportsInt | typing.SupportsIndex, threads: typing.SupportsInt | typing.SupportsIndex, callback: typing.Any) -> DescentStage:
        """
        Descends from the present theta, which is the best seen even if it is interrupted.
        """
    @property
    def theta(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        One number a bin: the masses are reference * exp(adjoint(theta)).
        """
    @theta.setter
    def theta(self, arg1: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> None:
        ...
class ReluNetwork:
    """
    A two-layer ReLU network.
    """
    def __init__(self, hidden: numpy.typing.NDArray[numpy.float64], heads: numpy.typing.NDArray[numpy.float64], time_scale: typing.SupportsFloat | typing.SupportsIndex, bias: typing.SupportsFloat | typing.SupportsIndex, times: numpy.typing.NDArray[numpy.float64]) -> None:
        ...
    def arrays(self) -> tuple:
        ...
    def field(self) -> Field:
        ...
    def kinks(self, t: typing.SupportsFloat | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
        """
        Places where f(t, .) bends, and its slopes between them.
        """
    def single(self, t: numpy.typing.NDArray[numpy.float64], x: numpy.typing.NDArray[numpy.float32], threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float32]:
        """
        Velocities in single precision.
        """
    def slopes(self, t0: typing.SupportsFloat | typing.SupportsIndex, t1: typing.SupportsFloat | typing.SupportsIndex) -> tuple[float, float]:
        """
        Bounds of the slope over all x and all times in [t0, t1].
        """
class TrainOptions:
    """
    How a network is trained.
    """
    def __init__(self, adam: bool, train_heads: bool, rate: typing.SupportsFloat | typing.SupportsIndex, momentum: typing.SupportsFloat | typing.SupportsIndex, betas: tuple[typing.SupportsFloat | typing.SupportsIndex, typing.SupportsFloat | typing.SupportsIndex], epsilon: typing.SupportsFloat | typing.SupportsIndex, batch: typing.SupportsInt | typing.SupportsIndex, redraw_times: bool, seed: typing.SupportsInt | typing.SupportsIndex, interpolant: Interpolant, threads: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class TrainerSingle:
    """
    Trains a network on pairs, epoch after epoch.
    """
    def __init__(self, start: ReluNetwork, options: TrainOptions) -> None:
        ...
    def gradient(self, t: numpy.typing.NDArray[numpy.float64], x0: numpy.typing.NDArray[numpy.float64], x1: numpy.typing.NDArray[numpy.float64], heads: bool) -> tuple[float, tuple]:
        """
        Loss and its gradient at given rows.
        """
    def loss(self, t: numpy.typing.NDArray[numpy.float64], x0: numpy.typing.NDArray[numpy.float64], x1: numpy.typing.NDArray[numpy.float64]) -> float:
        """
        Mean loss at given rows.
        """
    def network(self) -> ReluNetwork:
        ...
    def restore(self, state: numpy.typing.NDArray[numpy.float64]) -> None:
        ...
    def run(self, t: numpy.typing.NDArray[numpy.float64], x0: numpy.typing.NDArray[numpy.float64], x1: numpy.typing.NDArray[numpy.float64], epochs: typing.SupportsInt | typing.SupportsIndex, callback: typing.Any = None) -> tuple[numpy.typing.NDArray[numpy.float64], str]:
        """
        Losses of the epochs, and how they ended.
        """
    def state(self) -> numpy.typing.NDArray[numpy.float64]:
        ...
    @property
    def epochs(self) -> int:
        ...
    @property
    def steps(self) -> int:
        ...
class TrainerDouble:
    """
    Trains a network on pairs, epoch after epoch.
    """
    def __init__(self, start: ReluNetwork, options: TrainOptions) -> None:
        ...
    def gradient(self, t: numpy.typing.NDArray[numpy.float64], x0: numpy.typing.NDArray[numpy.float64], x1: numpy.typing.NDArray[numpy.float64], heads: bool) -> tuple[float, tuple]:
        """
        Loss and its gradient at given rows.
        """
    def loss(self, t: numpy.typing.NDArray[numpy.float64], x0: numpy.typing.NDArray[numpy.float64], x1: numpy.typing.NDArray[numpy.float64]) -> float:
        """
        Mean loss at given rows.
        """
    def network(self) -> ReluNetwork:
        ...
    def restore(self, state: numpy.typing.NDArray[numpy.float64]) -> None:
        ...
    def run(self, t: numpy.typing.NDArray[numpy.float64], x0: numpy.typing.NDArray[numpy.float64], x1: numpy.typing.NDArray[numpy.float64], epochs: typing.SupportsInt | typing.SupportsIndex, callback: typing.Any = None) -> tuple[numpy.typing.NDArray[numpy.float64], str]:
        """
        Losses of the epochs, and how they ended.
        """
    def state(self) -> numpy.typing.NDArray[numpy.float64]:
        ...
    @property
    def epochs(self) -> int:
        ...
    @property
    def steps(self) -> int:
        ...
class Method:
    """
    A way to solve dx/dt = v(t, x).
    
    Members:
    
      euler
    
      midpoint
    
      heun
    
      rk4
    
      bosh3
    
      dopri5
    
      tsit5
    
      dop853
    """
    __members__: typing.ClassVar[dict[str, Method]]
    bosh3: typing.ClassVar[Method]
    dop853: typing.ClassVar[Method]
    dopri5: typing.ClassVar[Method]
    euler: typing.ClassVar[Method]
    heun: typing.ClassVar[Method]
    midpoint: typing.ClassVar[Method]
    rk4: typing.ClassVar[Method]
    tsit5: typing.ClassVar[Method]
    @typing.overload
    def __eq__(self, other: Method) -> bool:
        ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool:
        ...
    def __getstate__(self) -> int:
        ...
    def __hash__(self) -> int:
        ...
    def __index__(self) -> int:
        ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __int__(self) -> int:
        ...
    @typing.overload
    def __ne__(self, other: Method) -> bool:
        ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def value(self) -> int:
        ...
class Carried:
    """
    What points carry along.
    
    Members:
    
      nothing
    
      log_det
    
      jacobian
    """
    __members__: typing.ClassVar[dict[str, Carried]]
    jacobian: typing.ClassVar[Carried]
    log_det: typing.ClassVar[Carried]
    nothing: typing.ClassVar[Carried]
    @typing.overload
    def __eq__(self, other: Carried) -> bool:
        ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool:
        ...
    def __getstate__(self) -> int:
        ...
    def __hash__(self) -> int:
        ...
    def __index__(self) -> int:
        ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __int__(self) -> int:
        ...
    @typing.overload
    def __ne__(self, other: Carried) -> bool:
        ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def value(self) -> int:
        ...
class DenseFlow:
    """
    Trajectories as piecewise polynomials.
    """
    def __call__(self, t: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
        ...
    def __getstate__(self) -> tuple[int, int, float, float, list[int], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
        ...
    def __setstate__(self, arg0: tuple) -> None:
        ...
def affine(law: Marginal, shift: typing.SupportsFloat | typing.SupportsIndex, scale: typing.SupportsFloat | typing.SupportsIndex) -> Marginal:
    """
    The law of shift + scale X.
    """
def callable_field(function: collections.abc.Callable, dim: typing.SupportsInt | typing.SupportsIndex) -> Field:
    """
    A Python callable v(t, x) as a field.
    """
def change_interpolant(field: Field, from_: Interpolant, to: Interpolant) -> Field:
    """
    The field of the same plan under another interpolant.
    """
def coefficients(interpolant: Interpolant, t: typing.SupportsFloat | typing.SupportsIndex) -> tuple[float, float, float, float]:
    """
    a, b and their derivatives at t.
    """
def compiler() -> str:
    """
    Compiler of this build.
    """
def crossings(x0: numpy.typing.NDArray[numpy.float64], x: numpy.typing.NDArray[numpy.float64], slack: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.bool]:
    """
    Which points changed their order.
    """
def dataset_covariance(plan: DatasetPlan, interpolant: Interpolant, t: typing.SupportsFloat | typing.SupportsIndex, x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Covariance of X1 given X_t.
    """
def dataset_field(plan: DatasetPlan, interpolant: Interpolant) -> Field:
    """
    Closed-form field of a data set.
    """
def default_threads() -> int:
    """
    Threads used when a call does not say.
    """
def empirical(values: numpy.typing.NDArray[numpy.float64], weights: numpy.typing.NDArray[numpy.float64]) -> Marginal:
    """
    Atoms; no weights stand for equal ones.
    """
def evaluate_rows(laws: collections.abc.Sequence[Marginal], curve: str, x: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
    """
    Row i of x through laws[i].
    """
def grid_density(density: GridDensity, x0: numpy.typing.NDArray[numpy.float64], x1: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Density at pairs.
    """
def grid_field(t: numpy.typing.NDArray[numpy.float64], x: numpy.typing.NDArray[numpy.float64], v: numpy.typing.NDArray[numpy.float64], monotone: bool, linear: bool) -> Field:
    """
    Field by cubic interpolation on a grid of (t, x).
    """
def grid_plan_density(density: GridDensity, interpolant: Interpolant, t: typing.SupportsFloat | typing.SupportsIndex, x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Density of X_t of a grid plan.
    """
def grid_plan_field(plan: GridPlan, interpolant: Interpolant) -> Field:
    """
    Field of a grid plan.
    """
def grid_plan_local(density: GridDensity, interpolant: Interpolant, t: typing.SupportsFloat | typing.SupportsIndex, x: numpy.typing.NDArray[numpy.float64]) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Score of X_t and variance of dX_t/dt given X_t of a grid plan.
    """
def grid_slice(density: GridDensity, x0: typing.SupportsFloat | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
    """
    Density along x1 at the grid points, for one x0.
    """
def histogram(edges: numpy.typing.NDArray[numpy.float64], mass: numpy.typing.NDArray[numpy.float64]) -> Marginal:
    """
    Mass spread evenly over bins.
    """
def histogram_bins(law: Marginal) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Edges and masses.
    """
def in_forked_child() -> bool:
    """
    True in a child of fork, where all runs serially.
    """
def integrate(field: Field, x: numpy.typing.NDArray[numpy.float64], t0: typing.SupportsFloat | typing.SupportsIndex, t1: typing.SupportsFloat | typing.SupportsIndex, t_eval: typing.Any, method: Method, rtol: typing.SupportsFloat | typing.SupportsIndex, atol: typing.SupportsFloat | typing.SupportsIndex, max_steps: typing.SupportsInt | typing.SupportsIndex, steps: typing.SupportsInt | typing.SupportsIndex, carried: Carried, difference: typing.SupportsFloat | typing.SupportsIndex, hutchinson: bool, seed: typing.SupportsInt | typing.SupportsIndex, poles: typing.Any, dense: bool, threads: typing.SupportsInt | typing.SupportsIndex, progress: typing.Any) -> tuple:
    """
    Ends, carried, times, status, steps, rejected, evaluations, points and carried at t_eval, dense output, whether all is well, the field's exception.
    """
def mixture_em_step(times: numpy.typing.NDArray[numpy.float64], first: numpy.typing.NDArray[numpy.uint64], x: numpy.typing.NDArray[numpy.float64], weights: numpy.typing.NDArray[numpy.float64], means: numpy.typing.NDArray[numpy.float64], factors: numpy.typing.NDArray[numpy.float64], floor: typing.SupportsFloat | typing.SupportsIndex, threads: typing.SupportsInt | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], float, bool]:
    """
    Weights, means, covariances, log-likelihood before, whether all is well.
    """
def mixture_field(plan: MixturePlan, interpolant: Interpolant) -> Field:
    """
    Closed-form field of a mixture plan.
    """
def mixture_jacobian(times: numpy.typing.NDArray[numpy.float64], first: numpy.typing.NDArray[numpy.uint64], x: numpy.typing.NDArray[numpy.float64], weights: numpy.typing.NDArray[numpy.float64], means: numpy.typing.NDArray[numpy.float64], factors: numpy.typing.NDArray[numpy.float64], derivatives: bool, threads: typing.SupportsInt | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Velocity, log density, and the rows of their derivatives.
    """
def mixture_local(plan: MixturePlan, interpolant: Interpolant, t: typing.SupportsFloat | typing.SupportsIndex, x: numpy.typing.NDArray[numpy.float64]) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Log density and score of X_t, and the covariance of dX_t/dt given X_t.
    """
def mixture_posterior(times: numpy.typing.NDArray[numpy.float64], first: numpy.typing.NDArray[numpy.uint64], x: numpy.typing.NDArray[numpy.float64], weights: numpy.typing.NDArray[numpy.float64], means: numpy.typing.NDArray[numpy.float64], factors: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Shares of the components at each point, and those times S^-1 (x - m).
    """
def moment_abscissae(features: SplineFeatures, nodes: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
    """
    Where a cdf must be known for its spline moments.
    """
def moments(law: Marginal) -> tuple[float, float]:
    """
    Mean and standard deviation, from the quantiles.
    """
def normal(mean: typing.SupportsFloat | typing.SupportsIndex, std: typing.SupportsFloat | typing.SupportsIndex) -> Marginal:
    """
    A normal law.
    """
def normal_mixture(weights: numpy.typing.NDArray[numpy.float64], means: numpy.typing.NDArray[numpy.float64], stds: numpy.typing.NDArray[numpy.float64]) -> Marginal:
    """
    A mixture of normal laws.
    """
def ntk_gram(z: numpy.typing.NDArray[numpy.float64], outputs: bool, threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
    """
    Tangent kernel of infinite width.
    """
def numeric_erf(x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    erf(x).
    """
def numeric_erfc(x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    erfc(x).
    """
def numeric_erfcx(x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    exp(x^2) erfc(x).
    """
def numeric_exp(x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    exp(x).
    """
def numeric_log(x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    log(x).
    """
def numeric_normal_cdf(x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Phi(x).
    """
def numeric_normal_quantile(x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Phi^-1(u).
    """
def openmp_runtime() -> str:
    """
    Name of the OpenMP runtime of this build.
    """
def python_marginal(evaluate: collections.abc.Callable, mean: typing.SupportsFloat | typing.SupportsIndex, std: typing.SupportsFloat | typing.SupportsIndex, lower: typing.SupportsFloat | typing.SupportsIndex, upper: typing.SupportsFloat | typing.SupportsIndex) -> Marginal:
    """
    A law whose evaluate(name, x) is written in Python.
    """
def reversed_time(field: Field) -> Field:
    """
    -v(1 - t, x).
    """
def sample_conditional(plan: MixturePlan, x0: numpy.typing.NDArray[numpy.float64], u: numpy.typing.NDArray[numpy.float64], z: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
    """
    One draw of X1 given each X0, from uniforms and normals.
    """
def sample_grid_conditional(density: GridDensity, x0: numpy.typing.NDArray[numpy.float64], u: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex = 0) -> numpy.typing.NDArray[numpy.float64]:
    """
    One draw of X1 given each X0, from uniforms.
    """
def simd_level() -> str:
    """
    Instruction set chosen when the library was loaded.
    """
def sort_backend() -> str:
    """
    Name of the sort in use.
    """
def spline_moments_of_cdf(features: SplineFeatures, degree: typing.SupportsInt | typing.SupportsIndex, nodes: typing.SupportsInt | typing.SupportsIndex, cdf: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Spline moments of a cdf.
    """
def spline_moments_of_samples(features: SplineFeatures, degree: typing.SupportsInt | typing.SupportsIndex, samples: numpy.typing.NDArray[numpy.float64], weights: numpy.typing.NDArray[numpy.float64]) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Sample means of the splines, and the variances of those means.
    """
def table_report(law: Marginal) -> tuple[float, int]:
    """
    Largest error measured in u, and number of cells.
    """
def tabulate(law: Marginal, u_error: typing.SupportsFloat | typing.SupportsIndex) -> Marginal:
    """
    A law with a table of its quantiles.
    """
def transport_map(source: Marginal, target: Marginal) -> TransportMap:
    """
    The increasing map from one law to another.
    """
def truncated(law: Marginal, lower: typing.SupportsFloat | typing.SupportsIndex, upper: typing.SupportsFloat | typing.SupportsIndex) -> Marginal:
    """
    The law given lower <= X <= upper.
    """
def use_sort(name: str) -> None:
    """
    Choose the sort: "numpy" or "own".
    """
@typing.overload
def wasserstein_1d(u_values: numpy.typing.NDArray[numpy.float64], v_values: numpy.typing.NDArray[numpy.float64], u_weights: numpy.typing.NDArray[numpy.float64] | None, v_weights: numpy.typing.NDArray[numpy.float64] | None, *, u_rows: numpy.typing.NDArray[numpy.uint64], v_rows: numpy.typing.NDArray[numpy.uint64], p: typing.SupportsFloat | typing.SupportsIndex, power: bool, assume_sorted: bool, threads: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
    """
    Distances between rows of samples, one for each pair of rows.
    """
@typing.overload
def wasserstein_1d(u_values: numpy.typing.NDArray[numpy.float32], v_values: numpy.typing.NDArray[numpy.float32], u_weights: numpy.typing.NDArray[numpy.float32] | None, v_weights: numpy.typing.NDArray[numpy.float32] | None, *, u_rows: numpy.typing.NDArray[numpy.uint64], v_rows: numpy.typing.NDArray[numpy.uint64], p: typing.SupportsFloat | typing.SupportsIndex, power: bool, assume_sorted: bool, threads: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
    """
    Distances between rows of samples, one for each pair of rows.
    """
def wasserstein_1d_grad(u_values: numpy.typing.NDArray[numpy.float64], v_values: numpy.typing.NDArray[numpy.float64], u_weights: numpy.typing.NDArray[numpy.float64] | None, v_weights: numpy.typing.NDArray[numpy.float64] | None, *, p: typing.SupportsFloat | typing.SupportsIndex, power: bool, threads: typing.SupportsInt | typing.SupportsIndex) -> tuple:
    """
    Distances of rows, and gradients by values and weights.
    """
def wasserstein_1d_plan(u_values: numpy.typing.NDArray[numpy.float64], v_values: numpy.typing.NDArray[numpy.float64], u_weights: numpy.typing.NDArray[numpy.float64] | None, v_weights: numpy.typing.NDArray[numpy.float64] | None) -> tuple:
    """
    Entries of the plan: u, v and mass.
    """
__version__: str = '0.1.0'
