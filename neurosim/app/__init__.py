"""Runs and their folders, report pages, plots, and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.lazy import lazy_exports

if TYPE_CHECKING:
    from . import plot as plot
    from .runs.frame.finished import measure_again as measure_again
    from .runs.frame.finished import reconfigure as reconfigure
    from .runs.frame.finished import write_page as write_page
    from .runs.frame.folder import RunFolder as RunFolder
    from .runs.frame.folder import open_run as open_run
    from .runs.frame.folder import read_metrics as read_metrics
    from .runs.frame.lifecycle import resume as resume
    from .runs.frame.lifecycle import start as start
    from .runs.frame.options import RunOptions as RunOptions
    from .runs.frame.recorder import record as record

# Loaded on first use.
__getattr__, __all__ = lazy_exports(__name__)
