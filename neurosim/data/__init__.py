"""The catalogue of datasets and their downloads, an emulated event camera, and frames for dense networks."""

from . import catalog as catalog
