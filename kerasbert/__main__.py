"""``python -m kerasbert``: the command ``kerasbert``."""

import sys

from kerasbert.cli import main

if __name__ == "__main__":
    sys.exit(main())
