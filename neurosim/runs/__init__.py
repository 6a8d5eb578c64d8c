"""Runs: a checked config in; a folder with manifest, metrics, spikes and readout out."""

from .config import Config as Config
from .config import configure as configure
from .config import reconfigure as reconfigure
from .folder import CONFIG as CONFIG
from .folder import MANIFEST as MANIFEST
from .folder import METRICS as METRICS
from .folder import NETWORK as NETWORK
from .folder import READOUT as READOUT
from .folder import REPORT as REPORT
from .folder import SPIKES as SPIKES
from .folder import RunFolder as RunFolder
from .folder import make_folder as make_folder
from .folder import open_run as open_run
from .folder import read_metrics as read_metrics
from .folder import record as record
from .simulate import measure_again as measure_again
from .simulate import resume as resume
from .simulate import simulate as simulate
