"""Training a byte-level language model for conversion, and writing text with a model, dense or in spikes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from .. import files
from ..attention import LanguageConfig, LanguageModel, MixerSpec, python_text, read_model, read_text, train_bytes
from ..attention.kinds import current_options, options_of
from ..attention.train import TrainingProgress
from ..convert.checkpoint import is_converted, read_converted
from ..convert.generate import Sampling, generate_tokens
from ..errors import NeurosimInputError
from .convert import MODEL, Job, bar, finish, model_folder, threads
from .convert_config import LmConfig
from .folder import CONVERT, check_out, record

# What suits a kind, where the config gives no options.
OPTIONS: dict[str, dict[str, Any]] = {
    kind: {"num_heads": 2, "head_dim": 64, "head_v_dim": 64} for kind in ("gated_deltanet", "deltaproduct", "kda")
}


def run_train(config: LmConfig, job: Job | None = None) -> dict[str, Any]:
    """Train a model on a text; writes a run folder whose `model` folder `neurosim convert` takes.

    Returns:
        What `metrics.json` holds: validation_loss, parameters, history and more.

    Raises:
        NeurosimError: what is wrong with the text, a setting or the disk.
    """
    job = job or Job()
    if job.out is not None:
        check_out(job.out)
    file = config.text.file
    text = python_text() if file is None else read_text(file)
    shape = language_config(config)
    config.schedule().check(len(text))
    LanguageModel(shape)  # says what is wrong with it before a folder is made
    name = "Python's topics" if file is None else file
    with (
        threads(job.threads),
        record(config.model_dump(), f"lm-{config.model.kind}", job.out, job.command, job.say) as run,
    ):
        run.note(kind=CONVERT, command_kind="lm-train", data={"text": name}, threads=job.threads)
        history: list[dict[str, Any]] = []
        with job.clock("train"), bar("training", job.quiet) as report:

            def note(progress: TrainingProgress) -> None:
                if progress.validation is not None:
                    at = {"step": progress.step, "loss": progress.loss, "validation_loss": progress.validation}
                    history.append(at)
                if report is not None:
                    report(progress.step, progress.steps)

            model, loss = train_bytes(text, shape, config.schedule(), note, run.path / MODEL)
        result = {
            "kind": CONVERT,
            "command_kind": "lm-train",
            "network": config.model.kind,
            "layer_kinds": [layer.kind for layer in shape.layers],
            "width": shape.width,
            "parameters": model.parameter_count(),
            "text": name,
            "seed": config.seed,
            "validation_loss": loss,
            "history": history,
        }
        return finish(run, result, job)


def language_config(config: LmConfig) -> LanguageConfig:
    """The model a config describes.

    Raises:
        NeurosimInputError: an unknown kind or option.
    """
    given = config.model
    options_of(given.kind)
    defaults = OPTIONS.get(given.kind, {})
    layer = MixerSpec(given.kind, defaults if given.options is None else current_options(given.kind, given.options))
    return LanguageConfig((layer,) * given.layers, width=given.width, hidden=given.hidden)


def run_generate(
    path: Path, prompt: bytes, sampling: Sampling, execute: bool, job: Job | None = None
) -> dict[str, Any]:
    """Continue a prompt with the model of a folder, byte by byte; with `job.out`, also as `text.txt` there.

    Returns:
        prompt, text (what was written, undecodable bytes replaced), tokens_per_second, state_bytes (the same after
        every byte, but for a window of all tokens).

    Raises:
        NeurosimError: what is wrong with the model or a setting.
    """
    job = job or Job()
    model, spiking = _model(path, execute, job)
    written = bytearray()
    state_bytes: list[int] = []
    with threads(job.threads), bar("writing", job.quiet) as report:
        start = time.perf_counter()
        for token, held in _told(model, prompt, sampling, report):
            written.append(token)
            state_bytes.append(held)
        seconds = time.perf_counter() - start
    text = written.decode("utf-8", errors="replace")
    if job.out is not None:
        files.write_bytes(job.out / "text.txt", prompt + bytes(written))
    return {
        "model": str(path),
        "spiking": spiking,
        "executed": spiking and execute,
        "prompt": prompt.decode("utf-8", errors="replace"),
        "text": text,
        "tokens": len(written),
        "tokens_per_second": (len(prompt) + len(written)) / seconds,
        "state_bytes": state_bytes[-1] if state_bytes else 0,
        "seed": sampling.seed,
    }


def _model(path: Path, execute: bool, job: Job) -> tuple[LanguageModel, bool]:
    folder = model_folder(path)
    if not is_converted(folder):
        if execute:
            raise NeurosimInputError(
                f"{folder}: holds a dense model, and --execute adds rows for spikes; convert it first"
            )
        return read_model(folder), False
    made = read_converted(folder)
    made.execute(execute, threads=job.threads or torch.get_num_threads())
    return made.model, True


def _told(model: LanguageModel, prompt: bytes, sampling: Sampling, report: Any) -> Iterator[tuple[int, int]]:
    for done, (token, held) in enumerate(generate_tokens(model, prompt, sampling), 1):
        if report is not None:
            report(done, sampling.tokens)
        yield token, held
