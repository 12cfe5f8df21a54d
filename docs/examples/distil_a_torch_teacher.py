"""Train a flow-matching model with torch, recover the plan it learned, distil it, judge the result.

    pip install recouple torch
    python docs/examples/distil_a_torch_teacher.py [--steps 4000]

Two plans are learned from pairs: household income and food expenditure (Engel 1857, smoothed), and
a synthetic plan of two modes. The training loop is the usual one of flow matching: draw a pair,
draw a time, regress X1 - X0 on X_t. What comes after it is two calls of recouple, as_field and
distill. Everything together takes one to three minutes on two cores.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

import recouple as rc
from recouple.study import engel_pairs

BATCH = 1024


def pairs_of_engel() -> rc.MixturePlan:
    """The pairs (log income, log food expenditure), standardised and smoothed."""
    income, food = (np.log(values) for values in engel_pairs())
    atoms = rc.AtomicPlan(
        (income - income.mean()) / income.std(), (food - food.mean()) / food.std()
    )
    return atoms.smoothed(0.4)


def two_modes() -> rc.MixturePlan:
    """Two modes that exchange their sides on the way."""
    cov = np.array([[0.3, 0.1], [0.1, 0.25]])
    return rc.MixturePlan([0.4, 0.6], [[-1.2, 1.0], [0.9, -0.8]], np.array([cov, cov]))


class Velocity(torch.nn.Module):
    """An ordinary network for v(t, x): called as model(t, x), x of shape (n, 1)."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(2, width), torch.nn.SiLU(),
            torch.nn.Linear(width, width), torch.nn.SiLU(),
            torch.nn.Linear(width, 1),
        )  # fmt: skip

    def forward(self, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Velocity at times t (n, 1) and places x (n, 1)."""
        return self.net(torch.cat([t.expand_as(x), x], dim=1))


def train(plan: rc.MixturePlan, steps: int, seed: int) -> Velocity:
    """Flow matching on pairs of the plan, drawn afresh for every step."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Velocity()
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x0, x1 = (torch.tensor(x, dtype=torch.float32)[:, None] for x in plan.sample(BATCH, rng))
        t = torch.rand(BATCH, 1)
        x = (1 - t) * x0 + t * x1
        loss = ((model(t, x) - (x1 - x0)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def field_error(plan: rc.MixturePlan, field: rc.VelocityField) -> float:
    """The teacher's own error, sqrt(E|v_model - v|^2 / E|v|^2): here the true field is known."""
    rng = np.random.default_rng(1)
    t = rng.random(50_000)
    x0, x1 = plan.sample(t.size, rng)
    x = (1 - t) * x0 + t * x1
    exact = rc.velocity_field(plan)(t, x)
    return float(np.sqrt(np.mean((field(t, x) - exact) ** 2) / np.mean(exact**2)))


def run(name: str, plan: rc.MixturePlan, steps: int) -> dict[str, float]:
    """Train, distil, judge, print; return the figures."""
    start = time.perf_counter()
    model = train(plan, steps, seed=0)
    trained = time.perf_counter() - start

    field = rc.as_field(model)  # a torch module is a field
    start = time.perf_counter()
    done = rc.distill(field, plan.source, plan.target)  # recover the plan, sample it, judge it
    seconds = time.perf_counter() - start

    error = field_error(plan, field)
    report = done.report
    print(f"== {name}: trained in {trained:.0f} s, distilled and judged in {seconds:.0f} s")
    print(done.summary())
    print(f"the teacher's own field error      {error:.4f}")
    print(f"field consistency / that error     {report.field_consistency / error:.2f}")
    print(f"W2 of one step / Monte Carlo floor {report.w2 / report.w2_floor:.2f}")
    print(f"correlation, true and recovered    {plan.correlation:.4f}, "
          f"{done.recovery.plan.correlation:.4f}\n")  # fmt: skip
    return {
        "w2_over_floor": report.w2 / report.w2_floor,
        "consistency_over_error": report.field_consistency / error,
        "field_error": error,
    }


def main() -> None:
    """Do both plans."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4000, help="training steps for each teacher")
    steps = parser.parse_args().steps
    start = time.perf_counter()
    run("household income and food expenditure", pairs_of_engel(), steps)
    run("two modes that exchange sides", two_modes(), steps)
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
