"""Shards: the recordings that were written, read where they are used; resumed, damaged, refused; a training on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.command import result_of

from neurosim import Spikes
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.data import catalog, write
from neurosim.data.file_array import FileArray
from neurosim.data.folder.folder import open_folder
from neurosim.data.folder.sharded import shard_folder, splits_in
from neurosim.data.recordings import Recordings
from neurosim.data.shards import INDEX, ShardWriter, open_shards, read_index, verify_shards

SHAPE = (2, 6, 5)
CLASSES = ("a", "b", "c")


def recordings(count: int = 23, seed: int = 0) -> Recordings:
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(count):
        # Some recordings have no events.
        n = int(rng.integers(0, 40)) * (k % 7 > 0)
        times = np.sort(rng.random(n))
        parts.append(Spikes(times, rng.integers(0, 60, n), 60, 1.0 + k, SHAPE))
    batch = Recordings.collect(parts, np.arange(count) % 3, CLASSES)
    batch.groups["speaker"] = np.arange(count) % 4  # type: ignore[index]
    return batch


def written(folder: Path, whole: Recordings, max_bytes: int = 1200) -> Recordings:
    with ShardWriter(folder, SHAPE, classes=CLASSES, groups=("speaker",), max_bytes=max_bytes) as writer:
        writer.add_all(whole)
    return open_shards(folder)


def same(read: Recordings, whole: Recordings) -> None:
    assert read.digest() == whole.digest() and len(read) == len(whole) and read.shape == whole.shape
    assert np.array_equal(read.labels, whole.labels) and read.classes == whole.classes
    assert np.array_equal(read.durations, whole.durations)
    assert {name: list(values) for name, values in read.groups.items()} == {
        name: list(values) for name, values in whole.groups.items()
    }


@pytest.mark.parametrize("max_bytes", [1, 1200, 1 << 20])
def test_shards_hold_the_recordings(max_bytes: int, tmp_path: Path) -> None:
    whole = recordings()
    read = written(tmp_path / "s", whole, max_bytes)
    shards = read_index(tmp_path / "s").shards
    assert len(shards) == {1: 19, 1200: len(shards), 1 << 20: 1}[max_bytes] and len(shards) >= 1
    same(read, whole)
    assert not read.in_memory and isinstance(read.ticks, FileArray)
    # A selection reads nothing, and may be selected from again; repeats and any order are allowed.
    rows = [20, 3, 3, 0, 11, 22]
    some = read.select(rows)
    assert not some.in_memory and some.digest() == whole.select(rows).digest()
    again = some.select(np.array([True, False, True, False, True, True]))
    assert again.digest() == whole.select([20, 3, 11, 22]).digest()
    assert np.array_equal(read.window_counts(3), whole.window_counts(3))
    assert verify_shards(tmp_path / "s") == []


@pytest.mark.parametrize("max_events", [1, 50, 100, 10_000])
def test_parts_are_the_recordings_in_order(max_events: int, tmp_path: Path) -> None:
    whole = recordings()
    shards = written(tmp_path, whole)
    nothing = np.empty(0, np.int64)
    for every in (whole, shards, whole.select(nothing), shards.select(nothing)):
        parts = list(every.parts(max_events))
        assert all(part.in_memory for part in parts)
        # Only a recording alone may have more events.
        assert all(len(part) == 1 or len(part.ticks) <= max_events for part in parts)
        assert [spikes.digest() for part in parts for spikes in part] == [spikes.digest() for spikes in every]
        assert [int(label) for part in parts for label in part.labels] == list(every.labels)  # type: ignore[union-attr,arg-type]
        assert [int(k) for part in parts for k in part.groups["speaker"]] == list(every.groups["speaker"])
    assert next(whole.parts()) is whole


def test_a_file_array_is_read_as_an_array(tmp_path: Path) -> None:
    whole = recordings()
    read = written(tmp_path / "s", whole)
    ticks = read.ticks
    flat = np.asarray(whole.ticks)
    assert len(ticks) == ticks.size == len(flat) and ticks.dtype == flat.dtype and ticks.nbytes == flat.nbytes
    for key in (slice(None), slice(5, 90), slice(3, 80, 7), slice(None, None, -1), slice(90, 5), 0, -1, 17):
        assert np.array_equal(ticks[key], flat[key])
    chosen = np.array([3, 4, 5, 99, 2, 2, 130])
    assert np.array_equal(ticks[chosen], flat[chosen]) and np.array_equal(ticks[flat > 0.5], flat[flat > 0.5])
    assert np.array_equal(ticks * 2.0, flat * 2.0) and np.array_equal(1 - ticks, 1 - flat)
    assert np.array_equal(ticks.astype(np.float32), flat.astype(np.float32))
    assert (ticks.min(), ticks.max()) == (flat.min(), flat.max())
    with pytest.raises(IndexError, match=f"of {len(flat)}"):
        ticks[len(flat)]


def test_a_stopped_writer_goes_on(tmp_path: Path) -> None:
    whole = recordings()

    class Stop(Exception):
        pass

    with pytest.raises(Stop), ShardWriter(tmp_path, SHAPE, classes=CLASSES, groups=("speaker",), max_bytes=900) as one:
        for k in range(15):
            one.add(whole[k], int(whole.labels[k]), {"speaker": k % 4})  # type: ignore[index]
        raise Stop
    there = read_index(tmp_path)
    assert 0 < there.recordings < 15 and not there.complete
    with pytest.raises(NeurosimFormatError, match="is not complete; go on writing it"):
        open_shards(tmp_path)
    with pytest.raises(NeurosimInputError, match=r"ShardWriter\.classes: must be \('a', 'b', 'c'\), as in the shards"):
        ShardWriter(tmp_path, SHAPE, groups=("speaker",))
    first = (tmp_path / there.shards[0].file).read_bytes()
    with ShardWriter(tmp_path, SHAPE, classes=CLASSES, groups=("speaker",), max_bytes=900) as two:
        assert two.recordings == there.recordings
        two.add_all(whole)
    same(open_shards(tmp_path), whole)
    assert (tmp_path / there.shards[0].file).read_bytes() == first
    with pytest.raises(NeurosimInputError, match="is complete; write into another folder"):
        ShardWriter(tmp_path, SHAPE, classes=CLASSES, groups=("speaker",))


def test_shards_that_are_damaged(tmp_path: Path) -> None:
    written(tmp_path, recordings())
    second = tmp_path / read_index(tmp_path).shards[1].file
    content = second.read_bytes()
    second.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert [problem.split(": ")[0] for problem in verify_shards(tmp_path)] == [str(second)]
    second.write_bytes(content[:-9])
    with pytest.raises(NeurosimFormatError, match=r"expected a shard of \d+ events"):
        open_shards(tmp_path)
    second.unlink()
    with pytest.raises(NeurosimMissingError, match="a shard of the index is missing; copy it again"):
        open_shards(tmp_path)
    assert "is missing" in verify_shards(tmp_path)[0]
    text = (tmp_path / INDEX).read_text()
    (tmp_path / INDEX).write_text(text.replace("shard-00001", "../shard-00001"))
    with pytest.raises(NeurosimFormatError, match="must name files of the folder"):
        open_shards(tmp_path)
    (tmp_path / INDEX).write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(NeurosimFormatError, match="version 2, this neurosim reads 1; upgrade it"):
        open_shards(tmp_path)
    (tmp_path / INDEX).write_text('{"format": "another"}')
    with pytest.raises(NeurosimFormatError, match="expected the index of shards"):
        read_index(tmp_path)


def test_what_a_writer_refuses(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, SHAPE)
    spikes = recordings()[1]
    writer.add(spikes, 1)
    with pytest.raises(NeurosimInputError, match="needs a label for all recordings, or for none"):
        writer.add(spikes)
    with pytest.raises(NeurosimInputError, match=r"ShardWriter\.add: needs \(2, 6, 5\) \(got \(60,\)\)"):
        writer.add(Spikes(spikes.times, spikes.units, 60, 9.0), 1)
    with pytest.raises(NeurosimInputError, match=r"ShardWriter\.add: needs \(\) \(got \('speaker',\)\)"):
        writer.add(spikes, 1, {"speaker": 2})
    # Also behind a shard that was written, by this writer or an earlier one.
    small = ShardWriter(tmp_path, SHAPE, max_bytes=1)
    small.add(spikes, 1)
    for later in (small, ShardWriter(tmp_path, SHAPE)):
        with pytest.raises(NeurosimInputError, match="needs a label for all recordings, or for none"):
            later.add(spikes)


def write_folder(root: Path) -> None:
    rng = np.random.default_rng(3)
    for k in range(16):
        label = ("left", "right")[k % 2]
        units = rng.integers(0, 32, 30) + 32 * (k % 2)
        (root / label).mkdir(parents=True, exist_ok=True)
        write(root / label / f"{k}.csv", Spikes(np.sort(rng.random(30)) * 0.1, units, 64, 0.1, (2, 4, 8)))


def test_a_folder_in_shards_is_the_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "own")
    sizes = shard_folder(tmp_path / "own", tmp_path / "shards", max_bytes=800)
    folder = open_folder(tmp_path / "own")
    assert sizes == folder.counts and splits_in(tmp_path / "shards") == folder.splits
    info = catalog.describe("folder", tmp_path / "shards")
    assert (info.shape, info.classes, dict(info.recordings)) == (
        folder.recordings.shape,
        folder.recordings.classes,
        folder.counts,
    )
    for split in folder.splits:
        read = catalog.load("folder", split, tmp_path / "shards")
        assert not read.in_memory and read.digest() == folder.select(split).digest()
        assert np.array_equal(read.labels, folder.select(split).labels)
    with pytest.raises(NeurosimInputError, match=r"data\.options: must be left out: shards are as they were written"):
        catalog.load("folder", "train", tmp_path / "shards", {"test": 0.5})
    # Complete shards stay as they are.
    before = (tmp_path / "shards" / "train" / INDEX).stat().st_mtime_ns
    assert shard_folder(tmp_path / "own", tmp_path / "shards") == sizes
    assert (tmp_path / "shards" / "train" / INDEX).stat().st_mtime_ns == before


def test_complete_shards_of_other_recordings_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "own")
    shard_folder(tmp_path / "own", tmp_path / "shards")
    own = tmp_path / "own" / "left"
    extra = [own / f"more{k}.csv" for k in range(4)]
    for path in extra:
        path.write_bytes((own / "0.csv").read_bytes())
    with pytest.raises(NeurosimInputError, match=r"train: must have 12 recordings, as the complete shards there"):
        shard_folder(tmp_path / "own", tmp_path / "shards")
    for path in extra:
        path.unlink()
    own.rename(tmp_path / "own" / "up")
    with pytest.raises(
        NeurosimInputError, match=r"classes: must be \('left', 'right'\), as in the shards that are there"
    ):
        shard_folder(tmp_path / "own", tmp_path / "shards")


def test_the_command(tmp_path: Path) -> None:
    write_folder(tmp_path / "own")
    done = result_of("datasets", "shard", tmp_path / "own", tmp_path / "out")
    assert done["recordings"] == {"train": 12, "test": 4}
    info = result_of("datasets", "info", tmp_path / "out")
    assert info["recordings"] == done["recordings"] and info["classes"] == ["left", "right"]


def test_a_training_reads_shards(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from neurosim.learning.training.binning import Binning
    from neurosim.learning.training.net import SpikingNet
    from neurosim.learning.training.specs import NetworkSpec, TrainingSpec
    from neurosim.learning.training.trainer import Trainer

    whole = recordings(30)
    read = written(tmp_path, whole)
    binning = Binning(SHAPE, dt=0.1, duration=1.0)
    weights = []
    for part in (whole, read):
        torch.manual_seed(0)
        net = SpikingNet(binning.shape, 3, NetworkSpec(hidden=(8,)), binning.dt, 0)
        train = part.select(np.arange(30) % 5 > 0)
        Trainer(net, binning, train, part.select(np.arange(30) % 5 == 0), TrainingSpec(epochs=2, batch=8)).run()
        weights.append([parameter.detach().numpy().copy() for parameter in net.parameters()])
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("train", "--set", "training.epochs=2", "--set", "network.hidden=[8]"),
        ("simulate", "--set", "liquid.neurons=60", "--set", "liquid.in_degree=8"),
    ],
)
def test_runs_on_shards_are_runs_on_the_folder(words: tuple[str, ...], tmp_path: Path) -> None:
    if words[0] == "train":
        pytest.importorskip("torch")
    write_folder(tmp_path / "own")
    result_of("datasets", "shard", tmp_path / "own", tmp_path / "shards", "--megabytes", "1")
    runs = [
        result_of(*words, tmp_path / name, "--threads", "1", "--out", tmp_path / f"run-{name}")
        for name in ("own", "shards")
    ]
    for key in ("accuracy", "spike_digest", "baselines", "measures", "samples", "train_samples"):
        assert runs[0][key] == runs[1][key], key
