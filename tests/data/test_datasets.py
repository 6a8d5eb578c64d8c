"""The datasets: digits made whole or not at all, N-MNIST's and SHD's files read as they are found."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, NeurosimWriteError
from neurosim.data import catalog, read_nmnist, write_nmnist
from neurosim.data.camera import EventCamera
from neurosim.data.download import DownloadSource
from neurosim.datasets import digits, nmnist, shd


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "neurosim" / "digits"


@pytest.fixture(scope="session")
def made(cache: Path) -> Path:
    """Return all 1,797 recordings, made once for the tests of every file and only read here."""
    root = catalog.cache_folder(digits.INFO)
    digits.load("test", root)
    return root


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset of 30 images, 20 to train, for tests of how it is written."""
    images, labels = load_digits(return_X_y=True)
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda return_X_y: (images[:30], labels[:30]))
    monkeypatch.setattr(digits, "TRAIN", 20)


class TestDigits:
    def test_the_split_is_the_documented_one(self, made: Path) -> None:
        train, test = (digits.load(split, made) for split in ("train", "test"))
        labels = load_digits().target
        np.testing.assert_array_equal(train.labels, labels[:1497])
        np.testing.assert_array_equal(test.labels, labels[1497:])
        assert train.classes == tuple("0123456789") and train.shape == (2, 34, 34)
        counts = np.bincount(labels[1497:])
        assert (counts.min(), counts.max()) == (27, 33), "as the description says"

    def test_the_files_hold_what_the_camera_saw(self, made: Path) -> None:
        images = load_digits().images
        test = digits.load("test", made)
        for index in (1497, 1600, 1796):
            seen = digits.record(images[index], digits.Recipe(), index)
            stored = test[index - 1497]
            np.testing.assert_array_equal(stored.units, seen.units)
            np.testing.assert_allclose(stored.times, seen.times, atol=1e-12)

    def test_they_are_like_n_mnist(self, made: Path) -> None:
        # The bands hold N-MNIST's own figures (see the module), measured in the same way.
        train = digits.load("train", made)
        counts = np.diff(train.offsets)
        assert counts.min() > 1_000 and counts.max() < 7_200 and 3_000 < counts.mean() < 5_000
        size = train.size // 2
        assert abs((train.units >= size).mean() - 0.5) < 0.02
        saccade = np.minimum(train.ticks // 105_000, 2)
        np.testing.assert_allclose(np.bincount(saccade) / len(saccade), [0.36, 0.32, 0.32], atol=0.02)
        # Few events while the camera rests between saccades, most in the middle of each.
        profile = np.bincount(train.ticks // 15_000, minlength=21)[:21].reshape(3, 7)
        assert np.all(profile[:, [0, 6]] < 0.35 * profile[:, 3:4])
        assert train.durations.min() > 0.29 and train.durations.max() <= 0.315
        fired = np.mean([len(np.unique(s.units)) for s in list(train)[::50]])
        assert abs(fired - 900) < 300

    def test_a_simple_reading_of_counts_knows_the_digits(self, made: Path) -> None:
        train, test = (digits.load(split, made) for split in ("train", "test"))
        centres = np.stack([train.select(train.labels == k).counts().mean(axis=0) for k in range(10)])
        nearest = np.linalg.norm(test.counts()[:, None] - centres, axis=2).argmin(axis=1)
        assert (nearest == test.labels).mean() > 0.75

    def test_one_recording_needs_no_other(self) -> None:
        image = load_digits().images[7]
        first = digits.record(image, digits.Recipe(), 7).digest()
        digits.record(image, digits.Recipe(seed=1), 8)
        assert digits.record(image, digits.Recipe(), 7).digest() == first
        others = [
            digits.Recipe(seed=1),
            digits.Recipe(contrast=3.0),
            digits.Recipe(camera=EventCamera(0.31)),
        ]
        assert len({first, *(digits.record(image, recipe, 7).digest() for recipe in others)}) == 4

    def test_the_way_is_the_triangle_of_n_mnist(self) -> None:
        x, y = digits.way(digits.Recipe())
        assert len(x) == 127
        corners = [0, 42, 84, 126]
        np.testing.assert_allclose(x[corners], [0, 3.5, 7, 0], atol=1e-12)
        np.testing.assert_allclose(y[corners], [0, 7, 0, 0], atol=1e-12)
        assert min(x.min(), y.min()) >= 0 and max(x.max(), y.max()) <= 7
        speed = np.hypot(np.diff(x), np.diff(y)).reshape(3, 42)
        # Least jerk: 15/8 of the mean speed half way, at rest at both ends.
        np.testing.assert_allclose(speed.max(axis=1) / speed.mean(axis=1), 15 / 8, rtol=0.01)
        assert np.all(speed[:, [0, -1]] < 0.01 * speed.max(axis=1, keepdims=True))

    def test_the_image_moves_the_way_and_keeps_its_light(self) -> None:
        image = load_digits().images[0]
        recipe = digits.Recipe()
        film = digits.film(image, recipe)
        x, y = digits.way(recipe)
        rows, columns = np.mgrid[:34, :34]
        light = film.sum(axis=(1, 2))
        assert film.max() <= 0 and film.min() >= -np.log(5) - 1e-4
        np.testing.assert_allclose(light, light[0], rtol=0.01)
        for axis, moved in ((columns, x), (rows, y)):
            centre = (film * axis).sum(axis=(1, 2)) / light
            np.testing.assert_allclose(centre - centre[0], moved, atol=0.1)
        # In the middle of its way the image is in the middle of the sensor.
        assert abs((film * rows).sum() / light.sum() - 16.5 - (y.mean() - 3.5)) < 1.0

    def test_loading_makes_them_once(self, few: None, own_cache: Path) -> None:
        assert len(catalog.load("digits", "train")) == 20
        stamp = (own_cache / "manifest.json").stat().st_mtime_ns
        assert len(catalog.load("digits", "test")) == 10
        assert (own_cache / "manifest.json").stat().st_mtime_ns == stamp
        assert [path.name for path in own_cache.parent.iterdir()] == ["digits"]

    def test_processes_that_start_at_once_agree(self, few: None, own_cache: Path) -> None:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: catalog.load("digits", "train").digest(), range(4)))
        assert len(set(found)) == 1
        assert [path.name for path in own_cache.parent.iterdir()] == ["digits"]

    def test_a_slower_process_does_not_move_away_what_others_read(
        self, few: None, own_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moved = []
        replace = os.replace

        def slow_replace(source: object, goal: object) -> None:
            if "digits" in str(goal):
                moved.append(Path(str(goal)).name)
                time.sleep(0.3)
            replace(source, goal)  # type: ignore[call-overload]

        monkeypatch.setattr(digits.os, "replace", slow_replace)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: catalog.load("digits", "train"), range(4)))
        assert [name for name in moved if name in ("digits", "old")] == ["digits"]

    def test_the_same_recipe_gives_the_same_bytes(self, few: None, tmp_path: Path) -> None:
        first, again = (digits.make(tmp_path / name) for name in ("first", "again"))
        assert first == again and first["files"] == 30
        other = digits.make(tmp_path / "other", digits.Recipe(seed=1))
        assert other["sha256"] != first["sha256"] and other["parameters"]["seed"] == 1
        assert json.loads((tmp_path / "first/manifest.json").read_text()) == first
        data = b"".join(p.read_bytes() for p in sorted((tmp_path / "first").rglob("*.bin"), key=lambda p: p.name))
        assert (len(data), hashlib.sha256(data).hexdigest()) == (first["bytes"], first["sha256"])

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (
                lambda root: (root / "manifest.json").write_text('{"dataset": "digits", "recipe": 0}'),
                "recipe must be 1",
            ),
            (lambda root: (root / "manifest.json").write_text("[]"), "expected a JSON object"),
            (lambda root: (root / "manifest.json").write_text("{"), "expected JSON"),
            (lambda root: (root / "Train/3/00003.bin").write_bytes(b""), r"holds 30 files of \d+ bytes, and 30 of"),
            (lambda root: (root / "Test/5/00025.bin").unlink(), r"holds 29 files of \d+ bytes, and 30 of \d+ bytes"),
        ],
    )
    def test_a_folder_that_is_not_whole(self, few: None, own_cache: Path, tmp_path: Path, spoil, message: str) -> None:
        digest = catalog.load("digits", "train").digest()
        for root in (own_cache, shutil.copytree(own_cache, tmp_path / "mine")):
            spoil(root)
        # The cache is ours to mend; a folder the user named is not.
        assert catalog.load("digits", "train").digest() == digest
        with pytest.raises(NeurosimInputError, match=message + r".*; `neurosim datasets make digits --root FOLDER`"):
            catalog.load("digits", "train", tmp_path / "mine")

    def test_other_parameters_live_in_a_folder_of_their_own(self, few: None, own_cache: Path, tmp_path: Path) -> None:
        other = digits.Recipe(contrast=8.0)
        with pytest.raises(NeurosimInputError, match="holds the standard digits only; for others name a folder"):
            digits.make(own_cache, other)
        digits.make(tmp_path / "mine", other)
        mine = catalog.load("digits", "test", tmp_path / "mine")
        standard = catalog.load("digits", "test")
        assert len(mine.ticks) > 1.1 * len(standard.ticks)
        # One that strayed into the cache, from an older version say, is made again.
        shutil.rmtree(own_cache)
        shutil.copytree(tmp_path / "mine", own_cache)
        assert catalog.load("digits", "test").digest() == standard.digest()

    def test_make_replaces_its_own_and_nothing_else(self, few: None, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        digits.make(tmp_path / "mine")
        digits.make(tmp_path / "mine", digits.Recipe(seed=5))
        assert digits.verify(tmp_path / "mine").problems == ()
        (tmp_path / "notes").mkdir()
        (tmp_path / "notes/thesis.tex").write_text("years of work")
        with pytest.raises(NeurosimInputError, match=r"notes: is not empty and has no digits"):
            digits.make(tmp_path / "notes")
        (tmp_path / "file").write_text("a file")
        with pytest.raises(NeurosimInputError, match=r"file: is not empty and has no digits"):
            digits.make(tmp_path / "file")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine", "notes"]

    def test_a_full_disk_leaves_nothing(self, few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        digits.make(tmp_path / "mine")
        before = digits.load("test", tmp_path / "mine").digest()
        left = iter(range(12))

        def write(path: Path, data: bytes) -> int:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            with open(path, "wb") as file:
                return file.write(data)

        monkeypatch.setattr(Path, "write_bytes", write)
        with pytest.raises(NeurosimWriteError, match=r"mine: could not be written \(No space left on device\); free"):
            digits.make(tmp_path / "mine", digits.Recipe(seed=1))
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]
        assert digits.load("test", tmp_path / "mine").digest() == before

    @pytest.mark.parametrize("wait", [0.0, 0.2, 0.5])
    def test_a_killed_make_leaves_no_half(self, tmp_path: Path, wait: float) -> None:
        goal = str(tmp_path / "mine")
        code = f"from pathlib import Path; from neurosim.datasets import digits; digits.make(Path({goal!r}))"
        with subprocess.Popen([sys.executable, "-c", code]) as process:
            # It is at work once its folder beside the goal is there.
            deadline = time.monotonic() + 600
            while not list(tmp_path.glob(".mine-*")) and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        if (tmp_path / "mine").exists():
            assert digits.verify(tmp_path / "mine").problems == ()

    def test_verify_finds_a_changed_byte(self, few: None, tmp_path: Path) -> None:
        made = digits.make(tmp_path / "mine")
        good = digits.verify(tmp_path / "mine")
        assert good.problems == () and good.files == 30 and 5 * good.events == made["bytes"]
        path = tmp_path / "mine/Train/3/00003.bin"
        data = bytearray(path.read_bytes())
        data[2] ^= 0x80  # one polarity
        path.write_bytes(data)
        problem = digits.verify(tmp_path / "mine").problems
        assert len(problem) == 1 and f"and {made['sha256']} was made" in problem[0]
        path.write_bytes(data[:-1])
        assert "00003.bin: byte" in digits.verify(tmp_path / "mine").problems[0]

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"seed": -1}, "digits.seed: must be 0 to 2^64 - 1 (got -1)"),
            ({"contrast": 0.0}, "digits.contrast: must be > 0, at most a million (got 0.0)"),
            ({"saccade": 0.0}, "digits.saccade: must be 0.02 to 1 s (got 0.0)"),
            ({"step": 0.02}, "digits.step: must be > 0 s, at most saccade / 10 (got 0.02)"),
        ],
    )
    def test_recipes_that_make_nothing(self, fields: dict[str, float], message: str) -> None:
        with pytest.raises(NeurosimInputError) as error:
            digits.Recipe(**fields)
        assert str(error.value) == message


def write(root: Path, split: str, digit: int, name: str, ticks: list[float]) -> None:
    spikes = Spikes(np.array(ticks) * 1e-6, np.full(len(ticks), 1156 + digit), 2312, 1.0, (2, 34, 34))
    write_nmnist(root / split / str(digit) / f"{name}.bin", spikes)


class TestNMNIST:
    def test_any_subset_is_read_in_order_of_file_names(self, tmp_path: Path) -> None:
        for digit, name in ((7, "00001"), (0, "00010"), (3, "00002"), (9, "00001")):
            write(tmp_path, "Train", digit, name, [10, 20 + digit])
        (tmp_path / "Train/.DS_Store").write_bytes(b"")
        (tmp_path / "Train/0/notes.txt").write_text("not a recording")
        recordings = nmnist.load("train", tmp_path)
        assert recordings.labels is not None and recordings.labels.tolist() == [7, 9, 3, 0]
        assert recordings.ticks.tolist() == [10, 27, 10, 29, 10, 23, 10, 20]
        assert nmnist.verify(tmp_path).recordings == {"train": 4, "test": 0}

    def test_a_root_one_folder_too_high_is_named(self, tmp_path: Path) -> None:
        write(tmp_path / "NMNIST", "Test", 1, "00001", [1])
        with pytest.raises(NeurosimMissingError) as error:
            nmnist.load("test", tmp_path)
        start = f"{tmp_path}/Test: no nmnist recordings here; did you mean {tmp_path}/NMNIST? put Train/<digit>/*.bin"
        assert str(error.value).startswith(start)

    def test_verify_names_every_bad_file(self, tmp_path: Path) -> None:
        for split in ("Train", "Test"):
            for digit in range(3):
                write(tmp_path, split, digit, "00001", [1, 2, 3])
        (tmp_path / "Train/1/00001.bin").write_bytes(b"1234567")
        (tmp_path / "Test/2/00001.bin").write_bytes(bytes([40, 0, 0, 0, 0]))
        (tmp_path / "train.zip").write_bytes(b"half an archive")
        found = catalog.verify("nmnist", tmp_path, quiet=True)
        assert found.recordings == {"train": 3, "test": 3} and found.events == 12
        assert [problem.partition(": ")[0] for problem in found.problems] == [
            str(tmp_path / name) for name in ("Train/1/00001.bin", "Test/2/00001.bin", "train.zip")
        ]
        with pytest.raises(NeurosimFormatError, match=r"Train/1/00001\.bin: byte 5"):
            nmnist.load("train", tmp_path)

    def test_fetch_unpacks_and_counts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sources = []
        for split in ("Train", "Test"):
            write(tmp_path / "source", split, 4, "00001", [1, 2])
            archive = Path(shutil.make_archive(str(tmp_path / split), "zip", tmp_path / "source", split))
            data = archive.read_bytes()
            checksum = "md5:" + hashlib.md5(data).hexdigest()
            name = f"{split.lower()}.zip"
            sources.append(DownloadSource("https://0.0.0.0/x", name, checksum, split, files=1))
            # As if downloaded by hand: nothing is asked of any network.
            (tmp_path / "goal").mkdir(exist_ok=True)
            (tmp_path / "goal" / name).write_bytes(data)
        monkeypatch.setattr(nmnist, "INFO", replace(nmnist.INFO, sources=tuple(sources)))
        assert nmnist.fetch(tmp_path / "goal", quiet=True) == [tmp_path / "goal/Train", tmp_path / "goal/Test"]
        assert nmnist.verify(tmp_path / "goal").problems == ()

    @pytest.mark.data
    def test_the_real_recordings(self, data_root: Path) -> None:
        root = data_root / "NMNIST"
        found = nmnist.verify(root)
        assert found.problems == () and found.recordings == {"train": 800, "test": 100}
        train = nmnist.load("train", root)
        test = nmnist.load("test", root)
        assert np.bincount(train.labels).tolist() == [79, 98, 81, 73, 81, 72, 73, 86, 73, 84]
        assert len(np.unique(test.labels[:20])) > 5, "the first few are of many classes"
        for index in (0, 57, 99):
            path = nmnist.list_split(nmnist.INFO, "test", root)[index]
            assert read_nmnist(path).digest() == test[index].digest()

    @pytest.mark.data
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("nmnist", [4101, 1168, 1112, 7152, 0.498, 0.362, 0.330, 0.307, 800, 14.3, 4.7e-3, 0.34, 0.308]),
            ("digits", [3488, 350, 2562, 4413, 0.486, 0.361, 0.320, 0.319, 985, 9.7, 8.2e-3, 0.30, 0.313]),
        ],
    )
    def test_the_table_in_the_description_of_the_digits(
        self, data_root: Path, made: Path, name: str, expected: list[float]
    ) -> None:
        recordings = catalog.load(name, "train", {"nmnist": data_root / "NMNIST", "digits": made}[name])
        np.testing.assert_allclose(figures(recordings), expected, rtol=0.01)
        # Polarity 1 trails the strokes: down and right, up and right, left.
        behind = np.mean([trail(spikes) for spikes in list(recordings)[::10]], axis=0)
        assert np.all(behind * [[-1, -1], [-1, 1], [1, 0]] >= 0)


def trail(spikes: Spikes) -> np.ndarray:
    """[3, 2] how far right and down events of polarity 1 lie from those of polarity 0, in each saccade."""
    saccades = [spikes.window(k * 0.105, min((k + 1) * 0.105, spikes.duration)).coordinates() for k in range(3)]
    return np.array([[at[p == 1].mean() - at[p == 0].mean() for at in (x, y)] for p, y, x in saccades])


def figures(recordings: Recordings) -> list[float]:
    """The table's rows, in its order."""
    counts = np.diff(recordings.offsets)
    each = recordings.counts()
    saccades = np.bincount(np.minimum(recordings.ticks // 105_000, 2)) / len(recordings.ticks)
    waits = []
    for spikes in recordings:
        order = np.lexsort((spikes.times, spikes.units))
        waits.append(np.diff(spikes.times[order])[np.diff(spikes.units[order]) == 0])
    pixels = each.sum(axis=0).reshape(2, 34, 34).sum(axis=0)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    return [
        counts.mean(),
        counts.std(),
        counts.min(),
        counts.max(),
        (recordings.units >= 1156).mean(),
        *saccades,
        (each > 0).sum(axis=1).mean(),
        each.max(axis=1).mean(),
        float(np.median(np.concatenate(waits))),
        np.median(edge) / recordings.durations.sum(),
        recordings.durations.mean(),
    ]


class TestSHD:
    @pytest.mark.data
    def test_files_are_found_under_both_names(self, data_root: Path, tmp_path: Path) -> None:
        source = data_root / "FSDD-SHD/test.h5"
        recordings = shd.load("test", source.parent)
        assert len(recordings) == 300 and recordings.shape == (700,)
        assert recordings.classes == shd.DIGITS["English"]
        (tmp_path / "shd_test.h5").symlink_to(source)
        assert shd.load("test", tmp_path).digest() == recordings.digest()

    def test_a_folder_without_them_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(NeurosimMissingError) as error:
            shd.load("train", tmp_path)
        assert str(error.value).startswith(f"{tmp_path}: neither shd_train.h5 nor train.h5 is here; put shd_train.h5")
        assert len(shd.verify(tmp_path).problems) == 2

    def test_bad_files_are_findings(self, tmp_path: Path) -> None:
        (tmp_path / "train.h5").write_bytes(b"no HDF5 at all")
        found = shd.verify(tmp_path)
        assert found.files == 0 and f"{tmp_path}/train.h5" in found.problems[0]

    @pytest.mark.data
    def test_holding_out_a_real_speaker(self, data_root: Path) -> None:
        root = data_root / "FSDD-SHD"
        train, test = catalog.hold_out("shd", "speaker", 3, root)
        assert (len(train), len(test)) == (2250, 500)
        assert 3 not in train.groups["speaker"] and set(test.groups["speaker"].tolist()) == {3}
        whole = shd.load("train", root)
        assert test[0].digest() == whole[int(np.argmax(whole.groups["speaker"] == 3))].digest()
        later = shd.load("test", root)
        assert test[499].digest() == later.select(later.groups["speaker"] == 3)[49].digest()
