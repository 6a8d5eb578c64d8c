"""Train models of each kind with each seed on a task; a killed run continues within the model at hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from ....base import plain
from ....base.errors import NeurosimError
from ....base.json_toml import read_json, write_json
from ....language.attention.probe import ProbeModel, ProbeRun, references_by_size, scores_by_size
from ....language.attention.tasks.base import SequenceTask
from ....language.conversion.generate import state_bytes
from ..frame.folder import make_folder
from ..frame.kind import Inputs, Run
from ..frame.options import RunOptions
from ..frame.progress import bar
from .config import AttentionConfig
from .result import AttentionResult, KindResult, ReferenceResult, TrainedProbe

# folder of what is trained, and file of the training at hand
MODELS = "models"
STATE = "state.safetensors"


def load(config: AttentionConfig, options: RunOptions) -> Inputs[SequenceTask]:
    """Return the task; raise the errors of the options of every kind."""
    task = config.build_task()
    for kinds in config.model.kinds:
        _model(config, task, kinds, config.seed)
    return Inputs(task, {"task": config.task.name})


def work(run: Run[AttentionConfig, SequenceTask]) -> AttentionResult:
    """Train and test the models of each kind with each seed."""
    config = run.config
    task = run.inputs
    with run.time("train"):
        models = _train_all(run)
    with run.time("references"):
        references = references_by_size(task, config.seed)
    return AttentionResult(
        task=config.task.name,
        measure=task.measure,
        size_name=task.size_name,
        trained=task.trained,
        sizes=task.sizes,
        chance=1 / task.outputs if task.measure == "accuracy" else 1.0,
        seed=config.seed,
        steps=config.training.steps,
        kinds=tuple(_kind(config, task, kinds, models[kinds]) for kinds in config.model.kinds),
        references=tuple(ReferenceResult(name=name, scores=scores) for name, scores in references.items()),
    )


class _Cell(NamedTuple):
    """A model to be trained: its kinds, seed, and the folder of what is known of it."""

    kinds: str
    seed: int
    folder: Path


def _model(config: AttentionConfig, task: SequenceTask, kinds: str, seed: int) -> ProbeModel:
    return ProbeModel(task, config.layers(kinds), width=config.model.width, hidden=config.model.hidden, seed=seed)


def _train_all(run: Run[AttentionConfig, SequenceTask]) -> dict[str, list[TrainedProbe]]:
    """Return the trained models by kind; models that an interrupted run finished are read from disk."""
    config = run.config
    task = run.inputs
    root = run.path / MODELS
    # Hybrids may differ in punctuation alone, so that the folder begins with the number of the kind.
    cells = [
        _Cell(kinds, seed, root / f"{i}-{re.sub(r'[^a-z0-9]+', '-', kinds)}-{seed}")
        for i, kinds in enumerate(config.model.kinds)
        for seed in range(config.seed, config.seed + config.seeds)
    ]
    trained: dict[str, list[TrainedProbe]] = {kinds: [] for kinds in config.model.kinds}
    steps = config.training.steps
    with bar(f"training on {config.task.name}", "updates", run.options.quiet) as report:
        for number, cell in enumerate(cells):

            def on_progress(step: int, loss: float, cell: _Cell = cell, before: int = number * steps) -> None:
                if report is not None:
                    report(before + step, len(cells) * steps, f"{cell.kinds}, seed {cell.seed}, loss {loss:.3f}")

            # A model that is done has its result; one that was interrupted has its state and goes on from it.
            result = cell.folder / "result.json"
            if not result.is_file():
                make_folder(cell.folder)
                write_json(result, plain.to_plain(_train(config, task, cell, on_progress)))
                (cell.folder / STATE).unlink(missing_ok=True)
            # Read back in either case: a resumed run has the same digits.
            trained[cell.kinds].append(plain.from_plain(TrainedProbe, read_json(result), str(result)))
    return trained


def _train(
    config: AttentionConfig, task: SequenceTask, cell: _Cell, on_progress: Callable[[int, float], None]
) -> TrainedProbe:
    """Train the model of a cell, from where it was stopped, and test it on every size."""
    model = _model(config, task, cell.kinds, cell.seed)
    training = ProbeRun(task, model, config.training, seed=cell.seed, checkpoint=cell.folder / STATE)
    try:
        state = training.run(on_progress)
    except NeurosimError as error:
        raise NeurosimError(f"{cell.kinds}, seed {cell.seed}: {error}") from None
    scores = scores_by_size(task, model, cell.seed)
    return TrainedProbe(seed=cell.seed, scores=scores, losses=state.losses, seconds=state.seconds)


@torch.no_grad()
def _kind(config: AttentionConfig, task: SequenceTask, kinds: str, models: list[TrainedProbe]) -> KindResult:
    # Sizes do not depend on weights: an untrained model has them. Some kinds keep more state the longer the sequence.
    model = _model(config, task, kinds, config.seed)
    longest = task.draw(max(task.sizes), 1, torch.Generator().manual_seed(0))
    layers = tuple(layer.kind for layer in config.layers(kinds))
    return KindResult(
        name=kinds,
        layers=layers,
        parameters=sum(p.numel() for p in model.parameters()),
        state_bytes=state_bytes(model(longest.inputs)[1]),
        models=tuple(models),
    )
