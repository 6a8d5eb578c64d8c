"""Replace softmax attention by linear kinds, stage by stage, then convert: softmax, linear, spikes."""

from __future__ import annotations

import hashlib
import math
import time
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch

from .....base.errors import require
from .....base.measure.estimates import energy
from .....language.attention.checkpoint import write_model
from .....language.attention.model import LanguageModel
from .....language.attention.tokenizer import copy_tokenizer
from .....language.conversion.checkpoint import write_converted
from .....language.conversion.comparison import compare_windows
from .....language.conversion.convert import convert
from .....language.conversion.generate import state_bytes
from .....language.conversion.linearise.records import LinearisationState, StageProgress
from .....language.conversion.linearise.stages import Linearisation
from .....language.conversion.linearise.students import Student, make_student
from .....language.conversion.model import Converted
from .....language.conversion.records import Comparison
from .....language.conversion.state_work import uncounted_states
from ...frame.kind import Inputs, Run
from ...frame.options import RunOptions
from ...frame.progress import bar
from ..run import measured, summarise
from ..source import MODEL, ConversionSource, load, model_folder, pinned_model
from .config import LineariseConfig
from .result import SPIKING, LinearisationResult, LinearisationStage

CHECKPOINT = "linearise.safetensors"  # file of the training


class Pupil(NamedTuple):
    """A softmax model with its text, and the student that takes its place."""

    source: ConversionSource
    student: Student


LineariseRun: TypeAlias = Run[LineariseConfig, Pupil]


def load_pupil(path: Path, config: LineariseConfig, options: RunOptions) -> Inputs[Pupil]:
    """Return model, text and student; raise where model, pattern and text do not fit each other.

    Args:
        path: a folder that `convert` takes.
    """
    source = load(pinned_model(path, options.say), config, options.device)
    source.model.float()  # stages train
    student = _student(source, config)
    _check_compared(source, config)
    return Inputs(Pupil(source, student), _facts(source))


def _check_compared(source: ConversionSource, config: LineariseConfig) -> None:
    """Raise where the held-out text has no window to compare, before any stage trains."""
    compared = min(config.text.tokens, len(source.held_out) - 1)
    length = config.stages.length
    require(compared >= length, "text.tokens", f"must be at least stages.length ({length}): windows compared", compared)


def _student(source: ConversionSource, config: LineariseConfig) -> Student:
    """Return the student before it learns."""
    student = make_student(source.model, config.pattern(), config.student.options, config.seed)
    # Made to be checked only: it raises where text, stages and student do not fit each other.
    Linearisation(teacher=source.model, student=student, tokens=source.learn, spec=config.stages, seed=config.seed)
    return student


def _facts(source: ConversionSource) -> dict[str, object]:
    """Return what a manifest says of model and text; a resumed run must find the same."""
    digest = hashlib.sha256()
    for value in (*source.model.state_dict().values(), source.learn, source.held_out):
        digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    return {"model": str(source.path), "text": source.text, "digest": digest.hexdigest()}


def work(run: LineariseRun) -> LinearisationResult:
    """Replace softmax attention stage by stage, convert, and compare; the folder then holds both models."""
    config = run.config
    source, student = run.inputs
    with run.time("stages"):
        state = _train(run)
    # A MODEL of its own, which `neurosim convert RUN` takes: it is there even if the conversion fails.
    write_model(run.path / MODEL, student.model)
    copy_tokenizer(model_folder(source.path), run.path / MODEL)
    began = time.perf_counter()
    with run.time("spikes"):
        sizes = config.calibration
        coding = config.coding
        made = convert(
            student.model,
            coding,
            source.learn,
            seed=config.seed,
            windows=sizes.windows,
            length=sizes.length,
            on_message=run.options.say,
        )
    seconds = time.perf_counter() - began
    return _result(run, state, made, seconds)


def _train(run: LineariseRun) -> LinearisationState:
    """Train the student from the state of an interrupted run, or from its start."""
    config = run.config
    source, student = run.inputs
    training = Linearisation(
        teacher=source.model,
        student=student,
        tokens=source.learn,
        spec=config.stages,
        seed=config.seed,
        checkpoint=run.path / CHECKPOINT,
    )
    with bar("linearising", "updates", run.options.quiet) as report:

        def on_progress(now: StageProgress) -> None:
            if report is not None:
                report(now.done, now.total, f"{now.stage}, loss {now.loss:.4f}")

        return training.run(lambda model: _compare(run, model), on_progress)


def _compare(run: LineariseRun, model: LanguageModel) -> Comparison:
    """Compare a model with the teacher on the held-out text."""
    text = run.inputs.source.held_out[: run.config.text.tokens + 1]
    return compare_windows(run.inputs.source.model, model, text, run.config.stages.length)


def _result(run: LineariseRun, state: LinearisationState, made: Converted, seconds: float) -> LinearisationResult:
    """Compare the model in spikes with the teacher; return the costs of all stages."""
    config = run.config
    profile = run.config.energy.profile
    source, student = run.inputs
    with run.time("compare"), made.counting() as histograms:
        comparison = _compare(run, made.model)
    summary, layers = summarise(made, histograms, comparison, profile)
    measures = measured(made, histograms, layers, comparison.tokens)
    write_converted(run.path / SPIKING, made)
    copy_tokenizer(model_folder(source.path), run.path / SPIKING)
    softmax = LinearisationStage(
        name="softmax",
        loss=comparison.dense,
        perplexity_increase=0.0,
        agreement=1.0,
        state_bytes=_state(run, source.model),
    )
    size = _state(run, student.model)
    stages = [softmax]
    for each in state.stages:
        stages.append(
            LinearisationStage(
                **_losses(each.name, each.comparison),
                state_bytes=size,
                seconds=each.seconds,
                updates=each.done,
                trained=each.trained,
                losses=tuple(each.losses),
                errors=each.errors,
            )
        )
    # Of the last linear stage: the conversion alone is measured against it.
    before = stages[-1].loss
    stages.append(LinearisationStage(**_losses("spikes", comparison), state_bytes=size, seconds=seconds))
    return LinearisationResult(
        **vars(source.facts()),
        seed=config.seed,
        student_kinds=tuple(layer.kind for layer in student.model.config.layers),
        replaced=student.layers,
        length=config.stages.length,
        tokens=comparison.tokens,
        stages=tuple(stages),
        conversion_increase=None if before is None else math.expm1(comparison.spiking - before),
        coding=summary.coding,
        spikes=summary.spikes,
        silent=summary.silent,
        operations=summary.operations,
        dense_operations=summary.dense_operations,
        baselines=summary.baselines,
        measures=measures,
        energy=energy(measures.layers, comparison.tokens, profile),
        remarks=(*made.remarks, *uncounted_states(made.model)),
    )


@torch.no_grad()
def _state(run: LineariseRun, model: LanguageModel) -> int:
    """Return the bytes of state after a window."""
    window = run.inputs.source.held_out[: run.config.stages.length]
    return state_bytes(model(window[None].to(model.device))[1])


def _losses(name: str, comparison: Comparison | None) -> dict[str, Any]:
    """Return the fields of a stage that come from its comparison with the teacher."""
    if comparison is None:
        return {"name": name}
    increase = comparison.perplexity_increase
    return {
        "name": name,
        "loss": comparison.spiking,
        "perplexity_increase": increase,
        "agreement": comparison.agreement,
    }
