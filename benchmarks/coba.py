"""Vogels and Abbott's conductance-based network: 4,000 neurons, 2 % connected."""

import sys

from harness import main

if __name__ == "__main__":
    sys.exit(main("coba", __doc__))
