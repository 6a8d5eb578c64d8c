"""Runs: a checked config in; a folder with manifest, config, metrics, spikes and a report page out.

`kind.py` says what a kind of run is, and `kinds.py` lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_getattr

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

_PUBLIC = {
    "reconfigure": "finished",
    "CONFIG": "folder",
    "MANIFEST": "folder",
    "METRICS": "folder",
    "READOUT": "folder",
    "REPORT": "folder",
    "SPIKES": "folder",
    "RunFolder": "folder",
    "make_folder": "folder",
    "open_run": "folder",
    "read_metrics": "folder",
    "record": "folder",
    "write_page": "finished",
    "RunOptions": "options",
    "measure_again": "finished",
}
__getattr__ = lazy_getattr(__name__, _PUBLIC)
