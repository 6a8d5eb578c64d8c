"""Synthetic tasks: what is asked for is what was shown, counted by hand; their probes learn and resume bit for bit."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.idx_files import write_images

from neurosim import NeurosimError
from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.data import catalog
from neurosim.language import MixerSpec
from neurosim.language.attention.patterns import parse_layers
from neurosim.language.attention.probe import (
    SAVED,
    ProbeModel,
    ProbeRun,
    ProbeTraining,
    references_by_size,
    scores_by_size,
)
from neurosim.language.attention.tasks import TASKS
from neurosim.language.attention.tasks.episodes import EpisodeTask
from neurosim.language.attention.tasks.pixels import Pixels, _images
from neurosim.language.attention.tasks.recall import JointRecall, RecallTask, SelectiveCopying
from neurosim.language.attention.tasks.vectors import Outliers, Regression
from neurosim.language.attention.tasks.words import Words, group_table


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_is_what_the_task_says(name: str) -> None:
    task = TASKS[name]
    batch = task.draw(task.sizes[0], 3, draws())
    assert batch.inputs.shape == (3, task.length(task.sizes[0]), len(task.fields) or task.channels)
    for i, count in enumerate(task.fields):
        assert int(batch.inputs[..., i].min()) >= 0 and int(batch.inputs[..., i].max()) < count
    assert batch.loss_mask.any(1).all() and batch.loss_mask.shape == batch.inputs.shape[:2]
    perfect = batch.targets
    if task.measure == "accuracy":
        perfect = torch.nn.functional.one_hot(batch.targets, task.outputs).float() * 50
        assert task.score(perfect, batch) == 1 and float(task.loss(perfect, batch)) < 1e-6
    else:
        assert task.score(perfect, batch) == 0 and task.score(torch.zeros_like(perfect), batch) == 1


def test_recall_asks_for_what_was_shown() -> None:
    batch = RecallTask().draw(9, 20, draws())
    keys, values = batch.inputs.unbind(-1)
    for row in range(20):
        shown = dict(zip(keys[row, :9].tolist(), values[row, :9].tolist(), strict=True))
        assert len(shown) == 9 and set(values[row, 9:].tolist()) == {32} and not batch.loss_mask[row, :9].any()
        assert [shown[key] for key in keys[row, 9:].tolist()] == batch.targets[row, 9:].tolist()


def test_joint_recall_asks_by_context_and_key() -> None:
    task = JointRecall(keys=4)
    batch = task.draw(3, 10, draws())
    for x, y, asked in zip(
        batch.inputs[..., 0].tolist(), batch.targets.tolist(), batch.loss_mask.tolist(), strict=True
    ):
        shown = x[:27]
        queries = list(zip(x[27::2], x[28::2], strict=True))
        contexts = [shown[first : first + 9] for first in (0, 9, 18)]
        assert sorted(c[0] for c in contexts) == [0, 1, 2]
        table = {(c[0], k): v for c in contexts for k, v in zip(c[1::2], c[2::2], strict=True)}
        assert len(table) == 12 == len(set(queries)) and asked == [False] * 27 + [False, True] * 12
        assert [table[pair] - 68 for pair in queries] == y[28::2]


def test_joint_recall_trains_on_few_keys_too_and_is_tested_on_all() -> None:
    task = JointRecall(keys=4, trained=(3, 3), min_keys=2)
    batches = [task.training_batch(draws(seed), 512) for seed in range(20)]
    keys = [int(batch.loss_mask[0].sum()) // 3 for batch in batches]
    assert set(keys) == {2, 3, 4} and int(task.draw(3, 2, draws()).loss_mask[0].sum()) == 12
    for batch, each in zip(batches, keys, strict=True):
        x = batch.inputs[..., 0]
        asked = batch.loss_mask[0]
        length = 3 * (1 + 4 * each)
        assert x.shape == (max(8, 512 // length), length) and not asked[: 3 * (1 + 2 * each)].any()
        shown = x[0, : 3 * (1 + 2 * each)].view(3, -1)
        table = {(int(c[0]), int(k)): int(v) - 68 for c in shown for k, v in zip(c[1::2], c[2::2], strict=True)}
        queries = x[0, 3 * (1 + 2 * each) :].view(-1, 2).tolist()
        assert [table[context, key] for context, key in queries] == batch.targets[0][asked].tolist()
    with pytest.raises(NeurosimInputError, match=r"JointRecall.min_keys: must be 1 to 4 keys .got 5"):
        JointRecall(keys=4, min_keys=5)


def test_copying_asks_for_the_tokens_in_order() -> None:
    batch = SelectiveCopying().draw(30, 10, draws())
    for x, y in zip(batch.inputs[..., 0].tolist(), batch.targets.tolist(), strict=True):
        assert [token for token in x[:30] if token < 14] == y[30:] and x[30:] == [15] * 8


@pytest.mark.parametrize("name, order", [("Z2", 2), ("Z5", 5), ("S3", 6), ("S4", 24), ("A5", 60), ("S5", 120)])
def test_groups_are_groups(name: str, order: int) -> None:
    table = group_table(name)
    every = torch.arange(order)
    assert table.shape == (order, order)
    assert all(torch.equal(row.sort().values, every) for row in (*table, *table.T))
    a, b, c = (torch.randint(order, (200,), generator=draws(i)) for i in range(3))
    assert torch.equal(table[table[a, b], c], table[a, table[b, c]])
    assert torch.equal(table, table.T) == (name[0] == "Z")


def test_words_are_products_so_far() -> None:
    batch = TASKS["parity"].draw(20, 5, draws())
    assert torch.equal(batch.targets, batch.inputs[..., 0].cumsum(1) % 2)
    batch = TASKS["counting"].draw(20, 5, draws())
    assert torch.equal(batch.targets, batch.inputs[..., 0].cumsum(1) % 5)
    batch = Words(group="S4").draw(9, 5, draws())
    table = group_table("S4")
    for x, y in zip(batch.inputs[..., 0].tolist(), batch.targets.tolist(), strict=True):
        assert list(itertools.accumulate(x, lambda a, b: int(table[a, b]))) == y


def test_regression_is_linear_until_the_map_switches() -> None:
    batch = Regression(noise=0.0, period=20).draw(40, 2, draws())
    x = batch.inputs[:, ::2, :8].double()
    y = batch.inputs[:, 1::2, 8:9].double()
    assert torch.equal(batch.targets[:, ::2], batch.inputs[:, 1::2, 8:9])
    assert not batch.inputs[:, ::2, 8].any()
    for part, fits in ((slice(0, 20), True), (slice(20, 40), True), (slice(10, 30), False)):
        w = torch.linalg.lstsq(x[0, part], y[0, part]).solution
        assert (float((x[0, part] @ w - y[0, part]).norm()) < 1e-5) == fits


def test_episodes_draw_classes_of_their_own() -> None:
    task = EpisodeTask(ways=3, queries=4, dimension=5, noise=0.1)
    batch = task.draw(2, 40, draws())
    x, shown, mark = batch.inputs.split([5, 3, 1], -1)
    assert shown[:, :6].sum((1, 2)).eq(6).all() and shown[:, :6].sum(1).eq(2).all() and not shown[:, 6:].any()
    assert torch.equal(mark[..., 0] > 0, batch.loss_mask) and batch.loss_mask.sum(1).eq(4).all()
    assert torch.equal(shown[:, :6].argmax(-1), batch.targets[:, :6])
    for one, labels in zip(x.double(), batch.targets, strict=True):
        means = torch.stack([one[:6][labels[:6] == c].mean(0) for c in range(3)])
        # Examples lie around the mean of their class, by little noise.
        assert float((one - means[labels]).abs().max()) < 0.6
    # The classes of two sequences have nothing in common.
    means = torch.stack([row[:6][labels[:6] == 0].mean(0) for row, labels in zip(x, batch.targets, strict=True)])
    assert float(torch.corrcoef(means).fill_diagonal_(0).mean().abs()) < 0.15
    exact = task.references(batch, 2)
    assert exact["nearest mean"] > 0.98 and exact["nearest example"] > 0.98
    vague = EpisodeTask(ways=3, queries=50, dimension=5, noise=3.0)
    guesses = vague.references(vague.draw(5, 40, draws()), 5)
    assert 1 / 3 < guesses["nearest example"] < guesses["nearest mean"] < 0.9


@pytest.mark.parametrize("size", [0, 30, 60])
def test_outliers_outvote_the_rest_beyond_half(size: int) -> None:
    """The vote of the examples like the query is right; with outliers among them, while they are fewer than half."""
    batch = Outliers(examples=200).draw(size, 40, draws())
    x = batch.inputs[..., :17]
    shown = batch.inputs[..., 17]
    marked = x.norm(dim=-1) > 1.6  # sqrt(3) with the direction, sqrt(2) without
    assert torch.equal(marked.sum(1), torch.full((40,), 2 * size))
    likeness = torch.einsum("btd,bd->bt", x[:, :-1], x[:, -1])
    votes = (shown[:, :-1] * likeness).sum(1) > 0
    right = float((votes == (batch.targets[:, -1] > 0)).double().mean())
    assert right > 0.9 if size < 50 else right < 0.1
    trusted = (shown[:, :-1] * likeness * ~marked[:, :-1]).sum(1) > 0
    assert float((trusted == (batch.targets[:, -1] > 0)).double().mean()) > 0.9


def test_pixels_are_those_of_the_image_in_rows_and_no_test_image_is_trained_on() -> None:
    from sklearn.datasets import load_digits

    grey, classes = load_digits(return_X_y=True)
    by_image = {tuple(row): i for i, row in enumerate((grey / 16).round(3).tolist())}
    task = Pixels()
    drawn = [task.draw(8, 50, draws()), *(task.training_batch(draws(seed), 2048) for seed in range(4))]
    for k, batch in enumerate(drawn):
        shown = batch.inputs[..., 0].double().numpy().round(3).tolist()
        found = [by_image[tuple(row)] for row in shown]
        # The last 300 images are tested on.
        assert all((i >= 1497) == (k == 0) for i in found) and len(set(found)) == len(found)
        assert torch.equal(batch.targets[:, -1], torch.from_numpy(classes[found]))
        torch.testing.assert_close(batch.inputs.sum(-1), torch.ones(batch.inputs.shape[:2]))
        assert batch.loss_mask.sum(1).tolist() == [1] * len(found) and batch.loss_mask[:, -1].all()
    whole = task.draw(8, 2000, draws(1)).inputs[..., 0]
    assert len(whole) == 300
    # The mean of 2 x 2 pixels each.
    half = task.draw(4, 2000, draws(1)).inputs[..., 0]
    torch.testing.assert_close(half.view(300, 4, 4), whole.view(300, 4, 2, 4, 2).mean((2, 4)))


def missing(info: object) -> Path:
    raise NeurosimMissingError("no such folder")


def test_images_of_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for split, count in (("train", 9), ("t10k", 5)):
        levels = np.full((count, 28, 28), 51, np.uint8)
        levels[:, 14:] = 255
        folder = tmp_path / "FashionMNIST"
        folder.mkdir(exist_ok=True)
        write_images(folder, split, levels, np.full(count, 7))
    monkeypatch.setenv("NEUROSIM_DATA", str(tmp_path))
    _images.cache_clear()
    task = Pixels(dataset="fashion", trained=(2, 28), sizes=(2, 28))
    batch = task.draw(2, 100, draws())
    torch.testing.assert_close(batch.inputs[..., 0], torch.tensor([0.2, 0.2, 1.0, 1.0]).expand(5, 4))
    assert batch.targets[:, -1].tolist() == [7] * 5 and len(task.training_batch(draws(), 8).inputs) == 8
    monkeypatch.setattr(catalog, "find_root", missing)
    with pytest.raises(
        NeurosimMissingError, match=r"Pixels.dataset: the files of mnist are not there; put train-images"
    ):
        Pixels(dataset="mnist").draw(8, 1, draws())
    _images.cache_clear()


def test_settings_that_break_their_rule() -> None:
    with pytest.raises(NeurosimInputError, match=r"Pixels\.sizes: must be 2 to 8 pixels a side each"):
        Pixels(sizes=(28,))
    with pytest.raises(NeurosimInputError, match=r"Pixels\.dataset: unknown name 'mnits'; did you mean 'mnist'"):
        Pixels(dataset="mnits")
    with pytest.raises(NeurosimInputError, match=r"RecallTask.sizes: must be 1 to 256 pairs each \(got \(300,\)\)"):
        RecallTask(sizes=(300,))
    with pytest.raises(NeurosimInputError, match=r"Words.trained: must be 1 <= low <= high <= 100000 tokens"):
        Words(trained=(9, 3))
    with pytest.raises(NeurosimInputError, match=r"Words\.group: must be Z2 to Z720, S2 to S6 or A3 to A6"):
        Words(group="D4")
    with pytest.raises(NeurosimInputError, match=r"Outliers\.dimension: must be > 16"):
        Outliers(dimension=16)


PARITY = replace(TASKS["parity"], trained=(2, 8), sizes=(8, 16))
LAYERS = (MixerSpec("deltanet", {"num_heads": 2, "conv_size": 0, "allow_neg_eigval": True}),)


def test_a_probe_steps_as_it_reads() -> None:
    task = replace(TASKS["recall"], sizes=(4,), trained=(1, 4))
    model = ProbeModel(task, LAYERS, 16, 16, seed=1)
    batch = task.draw(4, 2, draws())
    whole, _ = model(batch.inputs)
    state = None
    steps = []
    for t in range(batch.inputs.shape[1]):
        scores, state = model(batch.inputs[:, t : t + 1], state)
        steps.append(scores)
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_training_resumes_bit_for_bit(tmp_path: Path, optimizer: str) -> None:
    training = ProbeTraining(steps=SAVED + 20, tokens=64, optimizer=optimizer)
    path = tmp_path / "state.safetensors"

    def run(checkpoint: Path | None, stop: int | None = None) -> ProbeRun:
        made = ProbeRun(PARITY, ProbeModel(PARITY, LAYERS, 16, seed=2), training, 2, checkpoint)

        def on_progress(step: int, loss: float) -> None:
            if step == stop:
                raise KeyboardInterrupt

        try:
            made.run(on_progress)
        except KeyboardInterrupt:
            assert stop is not None
        return made

    whole = run(None)
    run(path, SAVED + 7)
    again = run(path)
    assert again.state.losses == whole.state.losses and again.state.done == SAVED + 20
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True))
    assert scores_by_size(PARITY, whole.model) == scores_by_size(PARITY, again.model)
    with pytest.raises(NeurosimInputError, match="is the training of another model; run it again"):
        ProbeRun(PARITY, ProbeModel(PARITY, LAYERS, 18, seed=2), training, 2, path)


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    model = ProbeModel(PARITY, LAYERS, 16)
    with torch.no_grad():
        model.mix.weight.fill_(torch.inf)
    with pytest.raises(NeurosimError, match="a gradient is not finite at update 1 of 3; lower learning_rate"):
        ProbeRun(PARITY, model, ProbeTraining(steps=3)).run()


def test_known_algorithms_stand_beside_regression_in_context():
    task = Regression(dimension=4, noise=0.0, sizes=(20,), trained=(2, 20))
    batch = task.draw(20, 150, torch.Generator().manual_seed(0))
    errors = task.references(batch, 20)
    # Before pair i least squares knows i of 4 directions, and from the fifth on all of W.
    assert errors["least squares"] == pytest.approx(sum(1 - i / 4 for i in range(4)) / 20, rel=0.1)
    assert errors["ridge"] == pytest.approx(errors["least squares"], rel=1e-2)
    # One step of descent leaves 1 - rate of the power: 1 - 1 / (1 + (d + 1) / i).
    steps = [1.0, *(1 - 1 / (1 + 5 / i) for i in range(1, 20))]
    assert errors["one step"] == pytest.approx(sum(steps) / 20, rel=0.1)
    assert errors["ridge"] < errors["four steps"] < errors["one step"]
    # A loop over one sequence, with noise and a W that switches.
    noisy = Regression(dimension=3, noise=0.3, period=6, sizes=(14,), trained=(2, 14))
    one = noisy.draw(14, 1, torch.Generator().manual_seed(1))
    x = one.inputs[0, ::2, :3].double().numpy()
    y = one.targets[0, ::2, 0].double().numpy()
    answers = []
    for i in range(14):
        begin = i - i % 6
        gram = x[begin:i].T @ x[begin:i] + 0.3**2 * 3 * np.eye(3)
        answers.append(x[i] @ np.linalg.solve(gram, x[begin:i].T @ y[begin:i]))
    expected = np.mean((np.array(answers) - y) ** 2) / np.mean(y**2)
    assert noisy.references(one, 14)["ridge"] == pytest.approx(expected, rel=1e-6)
    assert references_by_size(RecallTask(sizes=(4,))) == {}
    assert len(references_by_size(task)["one step"]) == 1


def test_presets_are_layers_with_their_options():
    assert [name for name, _ in parse_layers("gla*2,based", {"gla": 0, "linear": 0}, "kinds")] == [
        "gla",
        "gla",
        "linear",
        "window",
    ]
    linear, window = (options for _, options in parse_layers("based", {}, "kinds"))
    assert linear["feature_map"] == "based" and window["window_size"] == 64
    with pytest.raises(NeurosimInputError, match="unknown name 'basd'; did you mean 'based'"):
        parse_layers("basd", {}, "kinds")
