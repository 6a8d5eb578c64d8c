"""Items of one's own: images of a folder as they are, embeddings and images of NumPy archives."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers.idx_files import write_images
from numpy.typing import NDArray

from neurosim.app.runs.continual.config import configure
from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.data.folder.images import fitted
from neurosim.data.folder.pictures import holds_pictures, open_pictures
from neurosim.learning.continual.learners import kind
from neurosim.learning.continual.sources import load, remarks
from neurosim.learning.continual.streams import Split


def bars(n: int, shape: tuple[int, int] = (12, 12)) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return bright bars in the middle, lying or upright, and which of the two."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 20, (n, *shape)).astype(np.uint8)
    labels = np.arange(n) % 2
    images[labels == 0, shape[0] // 2, 2:-2] = 255
    images[labels == 1, 2:-2, shape[1] // 2] = 255
    return images, labels


@pytest.fixture
def idx(tmp_path: Path) -> Path:
    images, labels = bars(20)
    write_images(tmp_path, "train", images[:14], labels[:14])
    write_images(tmp_path, "t10k", images[14:], labels[14:])
    return tmp_path


def test_images_of_a_folder_are_items_as_they_are(idx: Path) -> None:
    images, labels = bars(20)
    base = load(str(idx))
    assert base.picture == base.shape == (12, 12) and base.classes == ("0", "1")
    assert np.array_equal(base.train.x, images[:14].reshape(14, 1, 144)) and np.array_equal(base.train.y, labels[:14])
    assert np.array_equal(base.test.x, images[14:].reshape(6, 1, 144))
    assert holds_pictures(idx) and remarks(str(idx)) == ()


def test_images_before_a_camera_are_recordings(idx: Path) -> None:
    base = load(str(idx), windows=3, options={"images": {"saccade": 0.03}}, still=False)
    # The sensor of 28 + 6 pixels, joined two by two.
    assert base.steps == 3 and base.shape == (2, 17, 17) and base.picture is None


def test_pictures_of_several_sizes_fill_a_square(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for k in range(6):
        shape = (20, 20) if k < 3 else (40, 20)
        pictures, labels = bars(2, shape)
        for picture, label in zip(pictures, labels, strict=True):
            (tmp_path / f"bar {label}").mkdir(exist_ok=True)
            image.fromarray(255 - picture).save(tmp_path / f"bar {label}" / f"{k}.png")
    options = {"images": {"side": 10}}
    found = open_pictures(tmp_path, options)
    assert found.pixels.shape == (12, 10, 10) and found.classes == ("bar 0", "bar 1")
    assert remarks(str(tmp_path), options=options) == found.remarks
    assert any("images were inverted" in words for words in found.remarks)
    assert any("images were scaled to 10 x 10" in words for words in found.remarks)
    (tmp_path / "bar 0" / "cut.png").write_bytes(b"\x89PNG")
    with pytest.raises(NeurosimFormatError, match="cannot be read as a picture"):
        open_pictures(tmp_path, options)
    rest = open_pictures(tmp_path, {**options, "skip_bad": True})
    assert len(rest.pixels) == 12 and "left out: 1 bad file: bar 0/cut.png" in rest.remarks[0]
    for picture_path in tmp_path.glob("bar */*.png"):
        picture_path.write_bytes(b"\x89PNG")
    with pytest.raises(NeurosimFormatError, match=r"none of 13 files can be read; the first: bar [01]/\w+\.png \("):
        open_pictures(tmp_path, {**options, "skip_bad": True})


def test_a_fitted_image_has_the_means_of_its_pixels() -> None:
    image = np.kron(np.arange(16).reshape(4, 4) * 10, np.ones((3, 3))).astype(np.uint8)
    # Between two blocks of three the triangle of weights takes a part of each neighbour.
    rows = np.abs(fitted(image, 4).astype(float) - np.arange(16).reshape(4, 4) * 10)
    assert rows.max() <= 6
    wide = fitted(np.full((2, 8), 200, np.uint8), 8)
    assert wide.shape == (8, 8) and (wide == 200).all()
    framed = fitted(np.pad(np.full((4, 10), 99, np.uint8), 1), 12)
    assert (framed[:3] == 0).all() and (framed[5:7, 1:11] == 99).all()
    assert np.array_equal(fitted(image, 12), image), "at its own size an image stays"


def features(n: int = 40) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    draws = np.random.default_rng(1)
    labels = np.arange(n) % 4
    return draws.normal(size=(n, 6)) + 8 * np.eye(6)[labels], labels


def test_embeddings_are_scaled_each_over_the_training_items(tmp_path: Path) -> None:
    x, y = features()
    path = tmp_path / "embeddings.npz"
    np.savez(path, x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    base = load(str(path))
    low, high = np.quantile(x[:30], (0.005, 0.995), axis=0)
    expected = np.rint(np.clip((x - low) / (high - low), 0, 1) * 255)
    assert np.array_equal(base.train.x[:, 0], expected[:30]) and np.array_equal(base.test.x[:, 0], expected[30:])
    assert base.steps == 1 and base.shape == (6,) and base.classes == ("0", "1", "2", "3")
    assert "6 features were scaled each" in remarks(str(path))[0]


def test_features_that_few_items_have_vary(tmp_path: Path) -> None:
    """Words of texts: of 400 items one has each feature, so that both of its quantiles are 0."""
    x = np.zeros((400, 6))
    x[:4, :4] = np.diag([1.0, 2.0, -3.0, 1e-3])
    x[:, 5] = 7.0
    path = tmp_path / "words.npz"
    np.savez(path, x_train=x, y_train=np.arange(400) % 4, x_test=x[:8], y_test=np.arange(8) % 4)
    base = load(str(path))
    expected = np.zeros((8, 6), np.uint8)
    expected[[0, 1, 3], [0, 1, 3]] = 255
    expected[:, 2] = 255
    expected[2, 2] = 0
    assert np.array_equal(base.test.x[:, 0], expected) and np.array_equal(base.train.x[:8], base.test.x)


@pytest.mark.parametrize("first", [0, 2**60, 2**64 - 8])
def test_labels_without_a_sign_stay_integers(first: int, tmp_path: Path) -> None:
    """Joined with signed ones they became floats: of large numbers only one class was left."""
    x, y = features()
    labels = y.astype(np.uint64) + np.uint64(first)
    if first < 2**63:
        tested = labels[30:].astype(np.int64)
    else:
        tested = labels[30:]
    np.savez(tmp_path / "ids.npz", x_train=x[:30], y_train=labels[:30], x_test=x[30:], y_test=tested)
    base = load(str(tmp_path / "ids.npz"))
    assert base.classes == tuple(str(first + k) for k in range(4))
    assert np.array_equal(base.train.y, y[:30]) and np.array_equal(base.test.y, y[30:])


@pytest.mark.parametrize("kind", [np.float32, np.uint16])
def test_bytes_and_numbers_are_not_mixed(kind: type, tmp_path: Path) -> None:
    images, labels = bars(10)
    parts = {"x_train": images, "x_test": images.astype(kind)}
    np.savez(tmp_path / "mixed.npz", **parts, y_train=labels, y_test=labels)
    words = rf"test items: must be like training items, uint8 \[12, 12\] \(got {np.dtype(kind)} \[12, 12\]\)"
    with pytest.raises(NeurosimInputError, match=words):
        load(str(tmp_path / "mixed.npz"))


def test_images_of_floats_are_said_to_be_steps(tmp_path: Path) -> None:
    images, labels = bars(10)
    parts = {"x_train": images / 255.0, "x_test": images / 255.0}
    np.savez(tmp_path / "floats.npz", **parts, y_train=labels, y_test=labels)
    assert remarks(str(tmp_path / "floats.npz"))[0].startswith("items are 12 steps of features (save images as bytes")


def test_without_test_items_a_fifth_of_each_class_is_drawn(tmp_path: Path) -> None:
    x, y = features()
    path = tmp_path / "some.npz"
    np.savez(path, x=np.stack([x, x], axis=1).astype(np.float32), y=np.array(list("abcd"))[y])
    base = load(str(path))
    assert base.classes == tuple("abcd") and base.steps == 2
    assert np.bincount(base.test.y).tolist() == [2] * 4 and np.bincount(base.train.y).tolist() == [8] * 4


def test_validation_leaves_every_class_an_item_to_learn_from(tmp_path: Path) -> None:
    x, _ = features()
    path = tmp_path / "few.npz"
    np.savez(path, x_train=x[:5], y_train=[0, 1, 1, 2, 3], x_test=x[5:9], y_test=[0, 1, 2, 3])
    task = Split(source=str(path), each=4).build(0)[0]
    assert sorted(task.train.y.tolist()) == [0, 1, 2, 3] and task.validation.y.tolist() == [1]
    # Of the second task one item of each class is all there is.
    with pytest.raises(NeurosimInputError, match=r"must have a training item for validation .* \(got \['2, 3'\]\)"):
        Split(source=str(path), each=2).build(0)


def test_rare_classes_keep_items_to_learn_from(tmp_path: Path) -> None:
    x, _ = features()
    y = np.repeat(np.arange(4), [31, 5, 3, 1])
    np.savez(tmp_path / "rare.npz", x=x, y=y)
    base = load(str(tmp_path / "rare.npz"))
    assert np.bincount(base.test.y, minlength=4).tolist() == [6, 1, 1, 0]
    assert np.bincount(base.train.y).tolist() == [25, 4, 2, 1]
    # Nothing would test the second of these tasks.
    Split(source=str(tmp_path / "rare.npz"), each=3, groups=((0, 1), (2, 3))).build(0)
    with pytest.raises(
        NeurosimInputError, match=r"must have test items of every task; these have none \(got \['3'\]\)"
    ):
        Split(source=str(tmp_path / "rare.npz"), groups=((0, 1, 2), (3,))).build(0)


@pytest.mark.parametrize(
    "names",
    [("X_train", "Y_train", "X_test", "Y_test"), ("train_features", "train_labels", "test_features", "test_labels")],
)
def test_names_and_labels_of_other_programs(names: tuple[str, ...], tmp_path: Path) -> None:
    x, y = features()
    parts = (x[:30], y[:30, None].astype(float), x[30:], y[30:, None].astype(float))
    np.savez(tmp_path / "named.npz", **dict(zip(names, parts, strict=True)))
    np.savez(tmp_path / "plain.npz", embeddings=x, targets=y > 1)
    base = load(str(tmp_path / "named.npz"))
    assert base.classes == ("0", "1", "2", "3") and np.array_equal(base.train.y, y[:30])
    assert load(str(tmp_path / "plain.npz")).classes == ("0", "1")


def test_bytes_are_drives_as_they_are(tmp_path: Path) -> None:
    images, labels = bars(10)
    coloured = np.stack([images, images // 2, images * 0], axis=3)
    np.savez(tmp_path / "grey.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    np.savez(tmp_path / "colour.npz", x_train=coloured, y_train=labels, x_test=coloured, y_test=labels)
    grey = load(str(tmp_path / "grey.npz"))
    assert grey.picture == (12, 12) and np.array_equal(grey.train.x, images.reshape(10, 1, 144))
    colour = load(str(tmp_path / "colour.npz"))
    assert colour.shape == (3, 12, 12) and np.array_equal(colour.train.x[:, 0, :144], images.reshape(10, 144))
    planes = coloured.transpose(0, 3, 1, 2)
    np.savez(tmp_path / "planes.npz", x_train=planes, y_train=labels, x_test=planes, y_test=labels)
    front = load(str(tmp_path / "planes.npz"))
    assert front.shape == (3, 12, 12) and np.array_equal(front.train.x, colour.train.x)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": np.zeros(3)}, r"expected arrays of items and labels, got \['a'\]; save x_train"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(4, int)}, r"y: must have a label for each of 3 items \(got 4\)"),
        ({"x": np.zeros(3), "y": np.zeros(3, int)}, r"x: must be numbers \[n, features\]"),
        ({"x": np.full((3, 2), np.nan), "y": np.arange(3)}, r"x: must be finite; item 0 is not, 3 items in all"),
        ({"x": np.zeros((3, 2)), "y": np.eye(3)}, r"y: must have a label for each of 3 items \(got \[3, 3\]\)"),
        ({"x": np.zeros((3, 2)), "y": np.full(3, 0.5)}, r"y: must be integers or text"),
        ({"x": np.zeros((3, 2, 2, 2)), "y": np.arange(3)}, r"x: must be bytes with four axes"),
        (
            {"x": np.zeros((3, 2)), "y": np.arange(3)},
            r"y: must have a class of two items .* \(got 3 items of 3 classes\)",
        ),
        (
            {"x": np.zeros((2, 2)), "y": np.array([b"caf\xe9", b"tea"])},
            r"y: must be integers or text in UTF-8 \('utf-8' codec .*\); write them as text of numpy",
        ),
    ],
)
def test_other_arrays_are_refused(arrays: dict[str, NDArray], words: str, tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, **arrays)
    with pytest.raises(NeurosimInputError, match=words):
        load(str(path))


def test_a_folder_beside_a_source_needs_no_name() -> None:
    config = configure(None, ["stream.kind=split", "stream.source=fsdd", "data.root=mine"], only=("plain",))
    assert config.head.data is not None and config.head.data.name == "fsdd"
    assert config.rows[0].stream["source"] == "fsdd" and config.rows[0].stream["root"] == "mine"


def recipe(archive: str) -> str:
    """Return the program of the page on own data that writes an archive."""
    page = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text("utf-8")
    found = [text for text in page.split("```\n") if f'np.savez("{archive}"' in text]
    assert len(found) == 1
    return found[0]


def test_the_recipe_of_cifar_reads_an_archive_of_its_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar-100-python").mkdir()
    draws = np.random.default_rng(0)
    for split, n in (("train", 80), ("test", 40)):
        classes = np.arange(n) % 20
        planes = draws.integers(0, 256, (n, 3, 1024)).astype(np.uint8)
        # A plane is all on: the red one of classes 0 to 9, the blue one of the others.
        planes[np.arange(n), classes // 10 * 2] = 255
        part = {b"data": planes.reshape(n, 3072), b"fine_labels": classes.tolist()}
        (tmp_path / "cifar-100-python" / split).write_bytes(pickle.dumps(part))
    exec(recipe("cifar100.npz"), {})
    base = load("cifar100.npz")
    assert base.shape == (3, 32, 32) and len(base.classes) == 20
    assert (base.train.x[0].reshape(3, 32, 32)[0] == 255).all() and base.train.y[0] == base.classes.index("0")
    stream = Split(source="cifar100.npz", each=10).build(0)
    assert stream.problem.tasks == 2 and stream.problem.shape == (3, 32, 32)
    owner = kind("random_filters")
    learner = owner(stream.problem, owner.SETTINGS(filters=4, pool=13))
    for task in stream:
        learner.begin(task)
        learner.learn(task)
    answers = [learner.predict(task.test.x) // 10 for task in stream]
    assert (answers[0] == 0).all() and (answers[1] == 1).all()


def test_the_recipe_of_core50_reads_a_folder_of_its_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    for session in (1, 2, 3, 10):
        for thing in (1, 2, 11):
            folder = tmp_path / "core50_128x128" / f"s{session}" / f"o{thing}"
            folder.mkdir(parents=True)
            for number in (0, 1, 20):
                pixels = np.full((128, 128, 3), 20 * thing, np.uint8)
                image.fromarray(pixels).save(folder / f"C_{session:02}_{thing:02}_{number:03}.png")
    exec(recipe("core50.npz"), {})
    base = load("core50.npz")
    assert base.shape == (3, 32, 32) and base.classes == ("1", "2", "11")
    assert len(base.train) == len(base.test) == 12, "two of three frames, two sessions each"
    assert set(base.train.x[base.train.y == 2].ravel().tolist()) == {220}
