"""Brunel's sparsely connected network: 12,500 neurons, 15.6 M delta synapses, about 32 spikes/s."""

import sys

from harness import main

if __name__ == "__main__":
    sys.exit(main("brunel", __doc__))
