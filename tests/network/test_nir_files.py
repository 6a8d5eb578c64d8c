"""Files of NIR that are hostile, damaged, newer or not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from helpers.nir_graphs import of
from helpers.samples import sampled

from neurosim import LIF, AllToAll, NeurosimError, Projection
from neurosim.base import NeurosimFormatError, NeurosimMissingError
from neurosim.network import from_nir
from neurosim.network.nir.files import read, write_nir
from neurosim.network.nir.save import to_nir


def stored(path: Path, change: Callable[[h5py.File], None]) -> Path:
    write_nir(path, to_nir(of(LIF(), Projection("a", "b", AllToAll(), 0.5)), 1e-3))
    with h5py.File(path, "r+") as root:
        change(root)
    return path


def put(name: str, data: Any = None, **options: Any) -> Callable[[h5py.File], None]:
    def change(root: h5py.File) -> None:
        if name in root:
            del root[name]
        root.create_dataset(name, data=data, **options)

    return change


def link(name: str, to: Any) -> Callable[[h5py.File], None]:
    def change(root: h5py.File) -> None:
        if name in root:
            del root[name]
        root[name] = to

    return change


def external_data(root: h5py.File) -> None:
    del root["node/nodes/a/tau"]
    root.create_dataset("node/nodes/a/tau", (3,), "f8", external=[("/etc/passwd", 0, 24)])


def circle_of_groups(root: h5py.File) -> None:
    graph = root["node/nodes"].create_group("g")
    graph["type"] = "NIRGraph"
    graph["edges"] = root["node/edges"]
    graph["nodes"] = root["node/nodes"]  # a hard link to what holds it


def objects(root: h5py.File) -> None:
    del root["node/nodes/a/tau"]
    root.create_dataset("node/nodes/a/tau", (3,), h5py.ref_dtype)


def shared(root: h5py.File) -> None:
    """Many names for one large array that packs well."""
    big = root.create_dataset("big", data=np.zeros(1 << 17), compression="gzip")
    for k in range(5):
        node = root["node/nodes"].create_group(f"s{k}")
        node["type"] = "Scale"
        node["scale"] = big


HOSTILE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "link out of the file": (link("node/nodes/a/tau", h5py.ExternalLink("/etc/passwd", "/x")), "a ExternalLink"),
    "soft link": (link("node/nodes/a/tau", h5py.SoftLink("/node/nodes/b/tau")), "a SoftLink"),
    "soft circle": (link("node/nodes/a", h5py.SoftLink("/node/nodes/a")), "a SoftLink"),
    "data out of the file": (external_data, "external storage"),
    "groups in a circle": (circle_of_groups, "levels of graphs"),
    "references": (objects, "expected numbers, got text or other things"),
    "huge": (
        put("node/nodes/a/tau", shape=(1 << 44,), dtype="f8", chunks=(1 << 20,)),
        "at most 4194304 bytes of arrays",
    ),
    "compound": (put("node/nodes/a/tau", np.zeros(3, [("x", "f8")])), "expected numbers"),
    "complex": (put("node/nodes/a/tau", np.zeros(3, complex)), "expected numbers"),
    "empty": (put("node/nodes/a/tau", h5py.Empty("f8")), "an empty dataspace"),
    "shapes": (put("node/nodes/a/tau", np.zeros(2)), "fields that make a LIF"),
    "text for numbers": (put("node/nodes/a/tau", "fast"), "fields that make a LIF"),
    "unknown type": (
        put("node/nodes/a/type", "LIFF"),
        "node node/nodes/a: type: unknown name 'LIFF'; did you mean 'LIF'",
    ),
    "pickled type": (put("node/nodes/a/type", "__reduce__"), "unknown name '__reduce__'"),
    "no type": (lambda root: root.__delitem__("node/nodes/a/type"), "unknown name 'none'"),
    "missing": (lambda root: root.__delitem__("node/nodes/a/tau"), "one without tau"),
    "edges to nothing": (put("node/edges", [("a", "c")], dtype=h5py.string_dtype()), "names of its nodes"),
    "odd edges": (put("node/edges", ["a", "b", "a"], dtype=h5py.string_dtype()), "pairs of names"),
    "edges of numbers": (put("node/edges", np.zeros((2, 2))), "a list of text"),
    "many names for one": (shared, "bytes of arrays"),
}


def test_a_field_that_a_later_nir_adds_is_left_out(tmp_path: Path) -> None:
    plain, more = (
        read(stored(tmp_path / name, change))
        for name, change in (("a.nir", lambda root: None), ("b.nir", put("node/nodes/a/extra", 3)))
    )
    assert np.array_equal(plain.nodes["a"].tau, more.nodes["a"].tau)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurosim.network.nir.files.MAX_BYTES", 4 << 20)
    change, message = HOSTILE[name]
    path = stored(tmp_path / "bad.nir", change)
    with pytest.raises(NeurosimFormatError) as caught:
        read(path)
    text = str(caught.value)
    assert message in text and str(path) in text and "\n" not in text


@pytest.mark.parametrize("files", sampled([20, 80], [20]))
def test_cut_and_flipped_files_are_refused_or_read(files: int, tmp_path: Path) -> None:
    """Whatever a damaged byte does, it does not crash, hang or raise anything else."""
    path = stored(tmp_path / "net.nir", lambda root: None)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for k in range(files):
        data = bytearray(whole)
        for at in rng.integers(0, len(whole), 1 + k % 3):
            data[at] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(data[: rng.integers(1, len(whole)) if k % 5 == 0 else len(whole)]))
        try:
            from_nir(path)
        except NeurosimError as error:
            assert "\n" not in str(error)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(NeurosimMissingError, match="no such file"):
        from_nir(tmp_path / "none.nir")
