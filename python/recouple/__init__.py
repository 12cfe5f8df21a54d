"""recouple: recover the coupling behind a flow-matching velocity field.

Three nouns, and arrows between them::

    plan --velocity_field--> field --integrate--> flow
      ^                        |
      +----- recover_plan -----+
"""

from importlib.metadata import version as _version

__version__ = _version("recouple")
__all__ = ["__version__"]
