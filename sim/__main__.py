"""`python -m sim`: the same as the command `sim`."""

import sys

from sim.cli import main

sys.exit(main())
