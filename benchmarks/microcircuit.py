"""The cortical microcircuit of Potjans and Diesmann with Poisson background; 299 M synapses at scale 1.

With --recipe the published recipe of its benchmark: seeds, distributions of the activity; --recipe --help says more.
"""

import sys

import harness
import recipe

if __name__ == "__main__":
    sys.exit(recipe.main() if "--recipe" in sys.argv else harness.main("microcircuit", __doc__))
