# PYTHON_ARGCOMPLETE_OK
"""Run the command line: ``python -m benchmark``."""

import sys

from benchmark.cli import main

NO_DOCSTRINGS = 2  # the level -OO

if __name__ == "__main__":
    if sys.flags.optimize >= NO_DOCSTRINGS:
        sys.exit("error: run Python without -OO: help and methods are described by docstrings")
    sys.exit(main())
