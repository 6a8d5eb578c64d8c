"""The cortical microcircuit of Potjans and Diesmann with Poisson background; 299 M synapses at scale 1."""

import sys

from harness import main

if __name__ == "__main__":
    sys.exit(main("microcircuit", __doc__))
