"""Spikes and recordings, the files that hold them, the catalogue of datasets, and statistics of spikes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.lazy import lazy_exports

if TYPE_CHECKING:
    from . import catalog as catalog
    from . import stats as stats
    from .camera import EventCamera as EventCamera
    from .files.archives import extract as extract
    from .files.camera_writers import write_aedat4 as write_aedat4
    from .files.camera_writers import write_dat as write_dat
    from .files.camera_writers import write_evt2 as write_evt2
    from .files.camera_writers import write_npy as write_npy
    from .files.csv import read_csv as read_csv
    from .files.csv import write_csv as write_csv
    from .files.formats import read as read
    from .files.formats import write as write
    from .files.idx import read_images as read_images
    from .files.nmnist import read_nmnist as read_nmnist
    from .files.nmnist import write_nmnist as write_nmnist
    from .files.packets import PacketWriter as PacketWriter
    from .files.packets import read_packets as read_packets
    from .files.pieces import stream as stream
    from .files.sonata import Extent as Extent
    from .files.sonata import read_sonata as read_sonata
    from .files.sonata import sonata_populations as sonata_populations
    from .files.sonata import write_sonata as write_sonata
    from .files.state import read_state as read_state
    from .files.state import write_state as write_state
    from .files.windows import read_windows as read_windows
    from .frames import to_frames as to_frames
    from .frames import to_voxel_grid as to_voxel_grid

# Loaded on first use.
__getattr__, __all__ = lazy_exports(__name__)
