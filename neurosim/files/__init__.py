"""Readers and writers of all files: recordings, spikes, saved state, JSON and TOML, archives; all writes are atomic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .aedat import read_aedat2 as read_aedat2
    from .aedat4 import read_aedat4 as read_aedat4
    from .archives import extract as extract
    from .arrays import read_arrays as read_arrays
    from .arrays import write_arrays as write_arrays
    from .atomic import replacing as replacing
    from .atomic import write_bytes as write_bytes
    from .atomic import write_text as write_text
    from .camera_hdf5 import read_camera_hdf5 as read_camera_hdf5
    from .camera_writers import write_aedat4 as write_aedat4
    from .camera_writers import write_dat as write_dat
    from .camera_writers import write_evt2 as write_evt2
    from .camera_writers import write_npy as write_npy
    from .cameras import read_dat as read_dat
    from .cameras import read_evt2 as read_evt2
    from .cameras import read_evt3 as read_evt3
    from .cameras import read_evt21 as read_evt21
    from .cameras import read_raw as read_raw
    from .csv import read_csv as read_csv
    from .csv import write_csv as write_csv
    from .formats import read as read
    from .formats import write as write
    from .idx import Images as Images
    from .idx import read_idx as read_idx
    from .idx import read_images as read_images
    from .idx import unzip_one as unzip_one
    from .idx import write_idx as write_idx
    from .json_toml import read_json as read_json
    from .json_toml import read_toml as read_toml
    from .json_toml import write_json as write_json
    from .json_toml import write_toml as write_toml
    from .mat import read_mat as read_mat
    from .nmnist import decode_nmnist as decode_nmnist
    from .nmnist import encode_nmnist as encode_nmnist
    from .nmnist import read_nmnist as read_nmnist
    from .nmnist import read_nmnist_many as read_nmnist_many
    from .nmnist import write_nmnist as write_nmnist
    from .packets import PacketWriter as PacketWriter
    from .packets import read_packets as read_packets
    from .raw import FileBlock as FileBlock
    from .raw import read_blocks as read_blocks
    from .raw import read_bytes as read_bytes
    from .samples import StateSamples as StateSamples
    from .samples import read_samples as read_samples
    from .samples import write_sample_pieces as write_sample_pieces
    from .shd import is_shd_file as is_shd_file
    from .shd import read_shd as read_shd
    from .shd import shd_extent as shd_extent
    from .sonata import Extent as Extent
    from .sonata import PutSpikes as PutSpikes
    from .sonata import read_sonata as read_sonata
    from .sonata import sonata_populations as sonata_populations
    from .sonata import write_sonata as write_sonata
    from .sonata import write_sonata_pieces as write_sonata_pieces
    from .state import Saved as Saved
    from .state import check_finite as check_finite
    from .state import read_state as read_state
    from .state import saved_values as saved_values
    from .state import write_state as write_state
    from .streams import read_aedat as read_aedat
    from .streams import read_aedat31 as read_aedat31
    from .streams import read_event_stream as read_event_stream
    from .tables import read_npy as read_npy
    from .windows import read_windows as read_windows

# Loaded on first use: some readers need numba or h5py, the start-up needs neither.
__getattr__, __all__ = lazy_exports(__name__)
