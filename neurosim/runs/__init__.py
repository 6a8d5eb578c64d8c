"""Runs: a checked config in; a folder with manifest, config, metrics, spikes and a report page out.

`kind.py` says what a kind of run is, and `kinds.py` lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .finished import measure_again as measure_again
    from .finished import reconfigure as reconfigure
    from .finished import write_page as write_page
    from .folder import CONFIG as CONFIG
    from .folder import MANIFEST as MANIFEST
    from .folder import METRICS as METRICS
    from .folder import READOUT as READOUT
    from .folder import REPORT as REPORT
    from .folder import SPIKES as SPIKES
    from .folder import RunFolder as RunFolder
    from .folder import make_folder as make_folder
    from .folder import open_run as open_run
    from .folder import read_metrics as read_metrics
    from .folder import record as record
    from .options import RunOptions as RunOptions

__getattr__, __all__ = lazy_exports(__name__)
