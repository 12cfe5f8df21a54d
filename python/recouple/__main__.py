"""``python -m recouple``: the command line."""

import sys

from recouple.cli import main

sys.exit(main())
