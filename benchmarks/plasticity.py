"""A network that learns: 5,000 neurons, 2.5 M synapses, of which 1.6 M follow spike-timing-dependent plasticity."""

import sys

from harness import main

if __name__ == "__main__":
    sys.exit(main("plastic", __doc__))
