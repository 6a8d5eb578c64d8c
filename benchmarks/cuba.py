"""Vogels and Abbott's current-based network: 4,000 neurons, 2 % connected."""

import sys

from harness import main

if __name__ == "__main__":
    sys.exit(main("cuba", __doc__))
