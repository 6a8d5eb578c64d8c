"""Runs: a checked config in; a folder with manifest, config, metrics, spikes and a report page out.

    from neurosim import runs
    from neurosim.runs.liquid import KIND

    config = KIND.configure(given={"data.name": "digits"})
    result = runs.start(KIND, config, runs.RunOptions(threads=2))

`kind.py` says what a kind of run is, and `kinds.py` lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .frame.finished import measure_again as measure_again
    from .frame.finished import reconfigure as reconfigure
    from .frame.finished import write_page as write_page
    from .frame.folder import CONFIG as CONFIG
    from .frame.folder import MANIFEST as MANIFEST
    from .frame.folder import METRICS as METRICS
    from .frame.folder import READOUT as READOUT
    from .frame.folder import REPORT as REPORT
    from .frame.folder import SPIKES as SPIKES
    from .frame.folder import RunFolder as RunFolder
    from .frame.folder import make_folder as make_folder
    from .frame.folder import open_run as open_run
    from .frame.folder import read_metrics as read_metrics
    from .frame.folder import record as record
    from .frame.lifecycle import resume as resume
    from .frame.lifecycle import start as start
    from .frame.options import RunOptions as RunOptions

__getattr__, __all__ = lazy_exports(__name__)
