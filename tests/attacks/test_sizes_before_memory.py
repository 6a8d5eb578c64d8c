"""Promise: sizes are compared with the file before memory is taken. Small files claim terabytes, under a limit."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

HUGE = 1 << 42


def npy(path: Path) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({HUGE}, 4), }}"
    text = header.ljust(117).encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)


def npz(path: Path) -> None:
    """600 MB of zeros in three, which claim to be 8 GB."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("t.npy", "w", force_zip64=True) as file,
    ):
        room = io.BytesIO()
        np.lib.format.write_array_header_1_0(room, {"descr": "<f8", "fortran_order": False, "shape": (1 << 30,)})
        file.write(room.getvalue())
        for _ in range(36):
            file.write(bytes(1 << 24))


def h5(path: Path) -> None:
    """Chunks that were never written take no room in the file."""
    with h5py.File(path, "w") as root:
        for name in "xytp":
            root.create_dataset(f"events/{name}", (HUGE,), "u8", chunks=(1 << 16,), compression="gzip")


def h5_chunk(path: Path) -> None:
    with h5py.File(path, "w") as root:
        for name in "xytp":
            root.create_dataset(f"events/{name}", (1 << 29,), "u8", chunks=(1 << 28,), compression="gzip")


def aedat2(path: Path) -> None:
    path.write_bytes(
        b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
        + struct.pack("<HHIIIIII", 1, 1, 8, 4, 0, 1 << 31, 1 << 31, 1 << 31)
    )


def mat(path: Path) -> None:
    """A compressed element that says how long it is when it is open."""
    packed = zlib.compress(struct.pack("<II", 14, 0xFFFFFFF0) + bytes(64))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)
    path.write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)


def state(path: Path) -> None:
    header = json.dumps({"weights": {"dtype": "F64", "shape": [HUGE], "data_offsets": [0, 8 * HUGE]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def state_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", HUGE) + b"{}")


def idx(path: Path) -> None:
    path.write_bytes(struct.pack(">IIII", 0x803, (1 << 31) - 1, (1 << 31) - 1, 28) + bytes(64))


def tree(path: Path) -> None:
    path.write_text("[" * 200_000 + "]" * 200_000)


READ = "from neurosim.data import read; read(path)"
STATE = "from neurosim.data import read_state; read_state(path, 'Readout', 1)"
ATTACKS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "npy": (".npy", npy, READ),
    "npz": (".npz", npz, READ),
    "hdf5": (".h5", h5, READ),
    "a chunk of hdf5": (".h5", h5_chunk, READ),
    "aedat": (".aedat", aedat2, READ),
    "mat": (".mat", mat, READ),
    "tensors": (".safetensors", state, STATE),
    "a header of tensors": (".safetensors", state_header, STATE),
    "idx": ("-idx3-ubyte", idx, "from neurosim.data.files.idx import read_idx; read_idx(path)"),
    "json": (".json", tree, "from neurosim.base.json_toml import read_json; read_json(path)"),
    "toml": (".toml", tree, "from neurosim.base.json_toml import read_toml; read_toml(path)"),
}
# All in one process: most of its time are imports. Memory beyond what they take is 512 MB.
PROGRAM = """
import json, resource, sys
from pathlib import Path
import neurosim.data.files.idx, neurosim.data.files.formats, h5py, scipy.io, safetensors
from neurosim import NeurosimError
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + (512 << 20),) * 2)
for name, (file, code) in json.load(sys.stdin).items():
    try:
        exec(code, {"path": Path(file)})
        print(name, "was read")
    except NeurosimError as error:
        print(name, "is refused" if len(str(error).splitlines()) == 1 else error)
    except BaseException as error:
        print(name, type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_files_that_claim_terabytes(tmp_path: Path) -> None:
    asked = {}
    for number, (name, (suffix, write, code)) in enumerate(ATTACKS.items()):
        path = tmp_path / f"{number}{suffix}"
        write(path)
        assert path.stat().st_size < 3 << 20
        asked[name] = (str(path), code)
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} is refused" for name in ATTACKS]
