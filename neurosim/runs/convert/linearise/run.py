"""Replace softmax attention by linear kinds, stage by stage, then convert: softmax, linear, spikes."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .... import measure
from ....attention import LanguageModel
from ....attention.checkpoint import write_model
from ....attention.tokenizer import copy_tokenizer
from ....convert import Converted, convert
from ....convert.checkpoint import write_converted
from ....convert.comparison import compare_windows
from ....convert.generate import state_bytes
from ....convert.linearise.records import LinearisationState, StageProgress
from ....convert.linearise.stages import Linearisation
from ....convert.linearise.students import Student, make_student
from ....convert.records import Comparison
from ....convert.state_work import uncounted_states
from ....errors import require
from ...frame.folder import RunFolder
from ...frame.lifecycle import finish, new_run, open_to_resume, resumed_run
from ...frame.options import DEFAULTS, RunOptions
from ...frame.progress import bar
from ...frame.timings import Timings, limit_threads
from ..run import MODEL, ConversionSource, load, measured, model_folder, summarise
from . import KIND
from .config import LineariseConfig
from .result import SPIKING, LinearisationResult, LinearisationStage

CHECKPOINT = "linearise.safetensors"  # file of the training


def linearise_model(path: Path, config: LineariseConfig, options: RunOptions = DEFAULTS) -> LinearisationResult:
    """Linearise the softmax model of a folder and convert it; write a run folder with both models.

    Args:
        path: a folder that `convert` takes.

    Raises:
        NeurosimError: what is wrong with the model, the text, a setting or the disk.
        NeurosimInterruptedError: Ctrl-C; `resume` continues.
    """
    options.check_out()
    timings = Timings()
    with limit_threads(options.threads):
        with timings("load"):
            source = _load(path, config, options)
            student = _student(source, config)
        facts = {"data": _facts(source), "threads": options.threads}
        with new_run(KIND, config.model_dump(), f"linearise-{path.resolve().name}", options, **facts) as folder:
            return _Run(config, options, timings, folder, source, student).finish()


def resume(path: Path, options: RunOptions = DEFAULTS) -> LinearisationResult:
    """Continue a linearisation that was interrupted or killed; its results are those of an uninterrupted one.

    Raises:
        NeurosimError: as `linearise_model`; and where the run is done or of another kind, or its config, model or text
            were changed.
    """
    timings = Timings()
    folder = open_to_resume(KIND, path)
    config = LineariseConfig.reconfigure(folder)
    with limit_threads(options.threads):
        known = folder.manifest.data or {}
        with timings("load"):
            source = _load(Path(str(known.get("model", ""))), config, options)
        found = _facts(source)
        require(found == known, f"{path}: data", "must be what the run began with; linearise again", found)
        with resumed_run(KIND, folder, options):
            return _Run(config, options, timings, folder, source, _student(source, config)).finish()


def _load(path: Path, config: LineariseConfig, options: RunOptions) -> ConversionSource:
    """Return model and text; the weights as float32, because stages train."""
    source = load(path, config, options.device)
    source.model.float()
    return source


def _student(source: ConversionSource, config: LineariseConfig) -> Student:
    """Return the student before it learns; errors of model, pattern and text are raised before a folder is made."""
    student = make_student(source.model, config.pattern(), config.student.options, config.seed)
    Linearisation(source.model, student, source.learn, config.spec(), config.seed)
    return student


def _facts(source: ConversionSource) -> dict[str, object]:
    """Return what a manifest says of model and text; a resumed run must find the same."""
    digest = hashlib.sha256()
    for value in (*source.model.state_dict().values(), source.learn, source.held_out):
        digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    return {"model": str(source.path), "text": source.text, "digest": digest.hexdigest()}


@dataclass(frozen=True)
class _Run:
    """The parts of a run."""

    config: LineariseConfig
    options: RunOptions
    timings: Timings
    folder: RunFolder
    source: ConversionSource
    student: Student

    def finish(self) -> LinearisationResult:
        checkpoint = self.folder.path / CHECKPOINT
        return finish(KIND, self.folder, self.work, self.timings, lambda: checkpoint.unlink(missing_ok=True))

    def work(self) -> LinearisationResult:
        """Train the student, convert it, and compare both with the teacher."""
        source, config, student = self.source, self.config, self.student
        with self.timings("stages"):
            state = self._train(student)
        write_model(self.folder.path / MODEL, student.model)
        copy_tokenizer(model_folder(source.path), self.folder.path / MODEL)
        began = time.perf_counter()
        with self.timings("spikes"):
            sizes, coding = config.calibration, config.code()
            made = convert(
                student.model, coding, source.learn, config.seed, sizes.windows, sizes.length, self.options.say
            )
        seconds = time.perf_counter() - began
        return self._result(student, state, made, seconds)

    def _train(self, student: Student) -> LinearisationState:
        source, config = self.source, self.config
        training = Linearisation(
            source.model, student, source.learn, config.spec(), config.seed, self.folder.path / CHECKPOINT
        )
        with bar("linearising", "updates", self.options.quiet) as report:

            def on_progress(now: StageProgress) -> None:
                if report is not None:
                    report(now.done, now.total, f"{now.stage}, loss {now.loss:.4f}")

            return training.run(self.compare, on_progress)

    def compare(self, model: LanguageModel) -> Comparison:
        """Compare a model with the teacher on the held-out text."""
        text, length = self.source.held_out[: self.config.text.tokens + 1], self.config.spec().length
        return compare_windows(self.source.model, model, text, length)

    def _result(
        self, student: Student, state: LinearisationState, made: Converted, seconds: float
    ) -> LinearisationResult:
        source, config, profile = self.source, self.config, self.config.energy.profile
        with self.timings("compare"), made.counting() as histograms:
            found = self.compare(made.model)
        summary, layers = summarise(made, histograms, found, profile)
        measures = measured(made, histograms, layers, found.tokens)
        write_converted(self.folder.path / SPIKING, made)
        copy_tokenizer(model_folder(source.path), self.folder.path / SPIKING)
        softmax = LinearisationStage(
            name="softmax",
            loss=found.dense,
            perplexity_increase=0.0,
            agreement=1.0,
            state_bytes=self._state(source.model),
        )
        size = self._state(student.model)
        stages = [softmax]
        for each in state.stages:
            assert each.comparison is not None  # the stages have ended
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
        before = stages[-1].loss
        assert before is not None
        stages.append(LinearisationStage(**_losses("spikes", found), state_bytes=size, seconds=seconds))
        return LinearisationResult(
            **vars(source.facts()),
            seed=config.seed,
            student_kinds=tuple(layer.kind for layer in student.model.config.layers),
            replaced=student.layers,
            length=config.spec().length,
            tokens=found.tokens,
            stages=tuple(stages),
            conversion_increase=math.expm1(found.spiking - before),
            coding=summary.coding,
            spikes=summary.spikes,
            silent=summary.silent,
            operations=summary.operations,
            dense_operations=summary.dense_operations,
            baselines=summary.baselines,
            measures=measures,
            energy=measure.energy(measures.layers, found.tokens, profile),
            remarks=(*made.remarks, *uncounted_states(made.model)),
        )

    @torch.no_grad()
    def _state(self, model: LanguageModel) -> int:
        """Return the bytes of state after a window."""
        window = self.source.held_out[: self.config.spec().length]
        return state_bytes(model(window[None].to(model.device))[1])


def _losses(name: str, found: Comparison) -> dict[str, Any]:
    increase = found.perplexity_increase
    return {"name": name, "loss": found.spiking, "perplexity_increase": increase, "agreement": found.agreement}
