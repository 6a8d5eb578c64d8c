"""The catalog: datasets found by scanning, files found by rule, errors that say where to put them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurosim import Recordings, datasets
from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.data import catalog
from neurosim.data.download import DIGESTS

NMNIST = catalog.datasets()["nmnist"]

pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.mark.parametrize("name", catalog.datasets())
def test_every_dataset_keeps_the_contract(name: str) -> None:
    module = catalog.module(name)
    info = module.INFO
    assert info.name == name and info.title and info.about and info.licence and info.layout
    assert callable(module.load) and callable(module.verify)
    assert hasattr(module, "make") == info.made and hasattr(module, "fetch") == bool(info.sources)
    assert info.splits[0] == "train" and set(info.recordings) <= set(info.splits)
    for source in info.sources:
        kind, _, digits = source.checksum.partition(":")
        assert source.url.startswith("https://") and len(digits) == 2 * DIGESTS[kind]().digest_size
    assert sum(source.files for source in info.sources) in {0, len(info.sources), sum(info.recordings.values())}


def test_a_new_file_in_the_folder_is_a_new_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
        from dataclasses import replace
        from neurosim import catalog
        from neurosim.datasets.shd import INFO as SHD
        from neurosim.data.recordings import Recordings
        from neurosim.data.spikes import Spikes

        INFO = replace(SHD, name="flashes", folder="Flashes", splits=("train",), recordings={})

        def load(split, root):
            return Recordings.collect([Spikes([0.5], [1], 2, 1.0)], [0])
    """
    (tmp_path / "flashes_of_light.py").write_text(textwrap.dedent(code))
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    catalog.modules.cache_clear()
    try:
        assert list(catalog.datasets()) == [
            "digits",
            "fashion",
            "flashes",
            "folder",
            "mnist",
            "nmnist",
            "shd",
            "shd-adding",
        ]
        assert len(catalog.load("flashes", "train", tmp_path)) == 1
    finally:
        catalog.modules.cache_clear()


def test_listing_datasets_loads_nothing_heavy() -> None:
    heavy = {"torch", "numba", "sklearn", "matplotlib", "h5py", "pydantic", "scipy", "tqdm"}
    code = f"import sys; from neurosim import catalog; catalog.datasets(); print(*sorted(set(sys.modules) & {heavy!r}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_the_root_is_the_named_then_the_shared_then_the_cache(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "named"
    shared = tmp_path / "shared" / "NMNIST"
    cached = empty_cache / "neurosim" / "NMNIST"
    for folder in (named, shared, cached):
        folder.mkdir(parents=True)
    monkeypatch.setenv("NEUROSIM_DATA", str(tmp_path / "shared"))
    assert catalog.find_root(NMNIST, named) == catalog.find_root(NMNIST, str(named)) == named
    assert catalog.find_root(NMNIST) == shared
    shared.rmdir()
    assert catalog.find_root(NMNIST) == cached
    monkeypatch.delenv("NEUROSIM_DATA")
    assert catalog.find_root(NMNIST) == cached


def test_the_cache_is_under_home_without_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert catalog.cache_folder(NMNIST) == Path.home() / ".cache" / "neurosim" / "NMNIST"


def test_missing_files_say_every_way_in_one_line(tmp_path: Path, empty_cache: Path) -> None:
    ways = (
        "so there are no files of nmnist; put Train/<digit>/*.bin and Test/<digit>/*.bin into a folder and name it "
        f"with --set data.root=FOLDER, or into $NEUROSIM_DATA/NMNIST, or into {empty_cache}/neurosim/NMNIST, or let "
        "`neurosim datasets fetch nmnist` download them"
    )
    with pytest.raises(NeurosimMissingError) as error:
        catalog.load("nmnist", "test", tmp_path / "nowhere")
    assert str(error.value) == f"data.root: {tmp_path / 'nowhere'} does not exist, {ways}"
    with pytest.raises(NeurosimMissingError) as error:
        catalog.load("nmnist", "test")
    assert str(error.value) == f"{empty_cache}/neurosim/NMNIST does not exist, {ways}"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NeurosimMissingError, match=r"data\.root: .*/file is not a folder, so"):
        catalog.load("nmnist", "test", tmp_path / "file")
    # A dataset that is made is not made where a misspelt root points.
    with pytest.raises(NeurosimMissingError, match=r"does not exist, so there are no files of digits; .* make them"):
        catalog.load("digits", "test", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_names_are_checked_with_the_nearest() -> None:
    with pytest.raises(NeurosimInputError) as error:
        catalog.load("nminst", "test")
    assert str(error.value) == (
        "dataset: unknown name 'nminst'; did you mean 'nmnist'? choose from digits, fashion, folder, "
        "mnist, nmnist, shd, shd-adding"
    )
    with pytest.raises(NeurosimInputError) as error:
        catalog.load("nmnist", "tests")
    assert str(error.value) == "split of nmnist: unknown name 'tests'; did you mean 'test'? choose from test, train"


def speakers(ticks: list[int], values: list[int], groups: bool = True) -> Recordings:
    """One event a recording, at its own tick."""
    n = len(ticks)
    return Recordings(
        np.array(ticks),
        np.zeros(n, np.uint16),
        np.arange(n + 1),
        np.full(n, 99.0),
        4,
        labels=np.array(ticks) % 2,
        classes=("even", "odd"),
        groups={"speaker": np.array(values)} if groups else {},
    )


@pytest.fixture
def voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Recordings]:
    """Both splits of a made-up shd."""
    splits = {"train": speakers([1, 2, 3, 4], [0, 1, 0, 2]), "test": speakers([5, 6, 7], [1, 1, 3])}
    module = catalog.module("shd")
    monkeypatch.setattr(module, "load", lambda split, root: splits[split])
    return splits


def test_holding_out_takes_one_from_training_and_tests_on_all_of_it(
    tmp_path: Path, voices: dict[str, Recordings]
) -> None:
    train, test = catalog.hold_out("shd", "speaker", 1, tmp_path)
    assert train.ticks.tolist() == [1, 3, 4] and train.groups["speaker"].tolist() == [0, 0, 2]
    assert test.ticks.tolist() == [2, 5, 6] and test.groups["speaker"].tolist() == [1, 1, 1]
    assert test.labels is not None and test.labels.tolist() == [0, 1, 0] and test.classes == ("even", "odd")
    assert [s.times.tolist() for s in test] == [[2.0], [5.0], [6.0]]
    # Of the test file alone, as two of SHD's speakers are.
    train, test = catalog.hold_out("shd", "speaker", 3, tmp_path)
    assert train.ticks.tolist() == [1, 2, 3, 4] and test.ticks.tolist() == [7]


def test_holding_out_what_is_not_there(tmp_path: Path, voices: dict[str, Recordings]) -> None:
    def message(name: str, group: str, value: int) -> str:
        with pytest.raises(NeurosimInputError) as error:
            catalog.hold_out(name, group, value, tmp_path)
        return str(error.value)

    assert message("shd", "speaker", 8) == "data.held_out_speaker: no recording of speaker 8; choose from 0, 1, 2, 3"
    assert message("shd", "speakr", 1) == (
        "group of shd: unknown name 'speakr'; did you mean 'speaker'? choose from speaker"
    )
    assert message("nmnist", "speaker", 1) == "data.held_out_speaker: nmnist has no speakers; leave it out"
    voices["test"] = replace(voices["test"], groups={})
    assert message("shd", "speaker", 1) == "data.held_out_speaker: the test file of shd has no speakers"
    voices.update(train=speakers([1], [1]), test=speakers([2], [1]))
    assert message("shd", "speaker", 1) == (
        "data.held_out_speaker: must leave recordings of another speaker to train on (got 1)"
    )
