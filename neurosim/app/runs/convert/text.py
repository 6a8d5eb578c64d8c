"""Training of a byte-level language model for conversion, and writing text with a model, dense or in spikes."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from ....base.atomic import write_bytes
from ....base.errors import NeurosimInputError
from ....base.measure.estimates import energy
from ....base.measure.measures import measure
from ....base.plain import Record
from ....language.attention.chat import read_chat_template, read_ends
from ....language.attention.model import LanguageConfig, LanguageModel
from ....language.attention.text import python_text, read_text
from ....language.attention.tokenizer import Tokenizer, read_tokenizer
from ....language.attention.train import TrainingProgress, split_text, train_bytes
from ....language.conversion.checkpoint import is_converted, read_converted
from ....language.conversion.decoder.decoder import Decoder, chunk_for
from ....language.conversion.decoder.program import NotCompiledError
from ....language.conversion.generate import Sampling, generate_tokens
from ....language.conversion.model import Converted
from ....language.conversion.records import Speed
from ....language.conversion.speed import measure_speed
from ....language.conversion.state_work import dense_counts, uncounted_states
from ..frame.folder import RunFolder
from ..frame.kind import Inputs, Run
from ..frame.logs import Row, training_logs
from ..frame.options import DEFAULTS, RunOptions
from ..frame.progress import bar
from ..frame.timings import limit_threads
from .config import LmConfig
from .result import TrainingPoint, TrainingResult
from .source import BUILT_IN, MODEL, model_folder, pinned_model, text_model

LM_TRAIN = "lm-train"
STATE = "state.safetensors"  # the training at hand
COUNTED = 256  # bytes of the held-out text whose work is counted
TIMED = 64  # last tokens of a text that was written, over which the step is timed


@dataclass(frozen=True)
class TrainingText:
    """A text to learn, and its name."""

    text: bytes
    name: str


def load_text(config: LmConfig) -> Inputs[TrainingText]:
    """Return the text; raise where it is too short, or where the model cannot be built."""
    file = config.text.file
    if file is None:
        read = TrainingText(python_text(), BUILT_IN)
    else:
        read = TrainingText(read_text(file), file)
    config.schedule().check(len(read.text))
    # Built to be checked only: it raises the errors of kinds and their options before a run folder is made.
    LanguageModel(language_config(config))
    return Inputs(read, {"text": read.name}, {"command_kind": LM_TRAIN})


def follow_training(config: LmConfig, inputs: TrainingText, options: RunOptions, folder: RunFolder | None) -> None:
    """Train as a process that another leads, on this process's slice of every window."""
    state = None if folder is None else folder.path / STATE
    train_bytes(
        inputs.text,
        language_config(config),
        config.schedule(),
        device=options.device,
        checkpoint=state,
        sliced=True,
    )


def train_language_model(run: Run[LmConfig, TrainingText], *, sliced: bool = False) -> TrainingResult:
    """Train a model on a text; its folder `model` in the run folder is one that `neurosim convert` takes.

    Args:
        sliced: every window is cut over the processes of torchrun.
    """
    config = run.config
    options = run.options
    shape = language_config(config)
    history: list[TrainingPoint] = []
    rows: list[Row] = []
    with (
        run.time("train"),
        bar("training", "updates", options.quiet) as report,
        training_logs(options.logs, run.path) as log,
    ):

        def on_progress(progress: TrainingProgress) -> None:
            step = progress.step
            loss = progress.loss
            validation = progress.validation
            if validation is not None:
                history.append(TrainingPoint(step=step, loss=loss, validation_loss=validation))
            rows.append((step, {"loss": loss, "validation_loss": validation}))
            log(rows)
            if report is not None:
                report(step, progress.steps)

        # A resumed training reports its earlier validations first, so that the history is whole.
        state = run.path / STATE
        folder = run.path / MODEL
        model, loss = train_bytes(
            run.inputs.text,
            shape,
            config.schedule(),
            on_progress,
            folder=folder,
            device=options.device,
            checkpoint=state,
            sliced=sliced,
        )
    # Dense work is the same for any text: the beginning of the held-out part stands for all of it.
    sample = split_text(run.inputs.text, config.text.held_out)[1][:COUNTED]
    layers = dense_counts(model, sample[None].to(model.device))
    return TrainingResult(
        network=config.model.name,
        layer_kinds=tuple(layer.kind for layer in shape.layers),
        width=shape.width,
        parameters=model.parameter_count(),
        text=run.inputs.name,
        seed=config.seed,
        validation_loss=loss,
        history=tuple(history),
        remarks=uncounted_states(model),
        measures=measure(layers, len(sample), 0.0, len(sample)),
        energy=energy(layers, len(sample), config.energy.profile),
    )


def language_config(config: LmConfig) -> LanguageConfig:
    """Return the model that a config describes.

    Raises:
        NeurosimInputError: an unknown kind or option.
    """
    model = config.model
    return LanguageConfig(model.mixers(), width=model.width, hidden=model.hidden)


@dataclass(frozen=True)
class GeneratedText(Record):
    """Text that a model wrote.

    Attributes:
        model: path of its folder.
        spiking, executed: whether it is converted, and whether rows of weights were added for spikes.
        compiled: whether its step was one compiled program.
        prompt, text: the beginning, and its continuation; undecodable bytes are replaced.
        tokens: number of tokens that were written.
        tokens_per_second: of prompt and text.
        state_bytes: of the model's state: the same after every token, except for a window of all tokens.
        unit: what a token is, "byte" or "token".
        speed: of the compiled step; None where there is none.
        remarks: messages for the user.
    """

    model: str
    spiking: bool
    executed: bool
    compiled: bool
    prompt: str
    text: str
    tokens: int
    tokens_per_second: float
    state_bytes: int
    seed: int
    speed: Speed | None
    remarks: tuple[str, ...]
    unit: str = "byte"


def write_text(
    path: Path,
    prompt: bytes,
    sampling: Sampling,
    options: RunOptions = DEFAULTS,
    *,
    execute: bool | None = None,
    chat: bool = False,
) -> GeneratedText:
    """Continue a prompt with the model of a folder, token by token; write it to `text.txt` in `options.out`, if given.

    The text ends at a token that the tokenizer's configuration says ends one.

    Args:
        chat: put the prompt as what a user says into the model's chat template.
        execute: False works on floats by torch; True refuses dense models. Otherwise a CPU runs the compiled step, or
            says why there is none.

    Raises:
        NeurosimError: what is wrong with the model or a setting.
    """
    path = pinned_model(path, options.say)
    model, spiking = _model(path, options, execute=execute)
    remarks: list[str] = []
    stepped = _stepped(model)
    folder = model_folder(path)
    tokenizer = read_tokenizer(folder, stepped.config.vocabulary)
    ends = read_ends(folder, tokenizer)
    if chat:
        prompt = _conversation(folder, prompt)
    prompt_tokens = tokenizer.encode_prompt(prompt)
    writer: LanguageModel | Decoder = stepped
    if execute is not False:
        writer = _executed(model, len(prompt_tokens), options, remarks)
    written = _write(writer, prompt_tokens, sampling, ends, options, unit=tokenizer.unit)
    continuation = _continuation(tokenizer, prompt_tokens, written.tokens)
    if options.out is not None:
        write_bytes(options.out / "text.txt", prompt + continuation)
    compiled = isinstance(writer, Decoder)
    whole = prompt_tokens + written.tokens
    return GeneratedText(
        model=str(path),
        spiking=spiking,
        executed=spiking and execute is not False,
        compiled=compiled,
        prompt=prompt.decode("utf-8", errors="replace"),
        text=continuation.decode("utf-8", errors="replace"),
        tokens=len(written.tokens),
        # Of the prompt, too, which was read in the same time.
        tokens_per_second=len(whole) / written.seconds,
        state_bytes=written.state_bytes,
        seed=sampling.seed,
        speed=measure_speed(model, whole[-TIMED:], options.threads or 1) if compiled and len(whole) > 1 else None,
        remarks=tuple(remarks),
        unit=tokenizer.unit,
    )


class _Written(NamedTuple):
    """Tokens behind a prompt, bytes of state after them, and the seconds that prompt and tokens took."""

    tokens: list[int]
    state_bytes: int
    seconds: float


def _write(
    writer: LanguageModel | Decoder,
    prompt: Sequence[int],
    sampling: Sampling,
    ends: Collection[int],
    options: RunOptions,
    *,
    unit: str,
) -> _Written:
    """Read a prompt and continue it, with a bar of the tokens, which are called `unit`."""
    tokens: list[int] = []
    state_bytes = 0
    with limit_threads(options.threads), bar("writing", f"{unit}s", options.quiet) as report:
        start = time.perf_counter()
        for token, size in generate_tokens(writer, prompt, sampling, ends):
            tokens.append(token)
            state_bytes = size
            if report is not None:
                report(len(tokens), sampling.tokens)
        seconds = time.perf_counter() - start
    return _Written(tokens, state_bytes, seconds)


def _executed(
    model: Converted | LanguageModel, prompt: int, options: RunOptions, remarks: list[str]
) -> LanguageModel | Decoder:
    """Return the compiled step of a model on a CPU, or the model, which executes layer by layer if it is converted.

    Args:
        prompt: number of tokens of the prompt, which are read in chunks.
        remarks: gets a sentence where a model has no compiled step.
    """
    stepped = _stepped(model)
    if options.device == "cpu":
        try:
            return Decoder(stepped, threads=options.threads or 1, chunk=chunk_for(prompt))
        except NotCompiledError as error:
            remarks.append(f"{error}; it runs layer by layer, which is slower")
    if isinstance(model, Converted):
        model.execute(threads=options.threads or torch.get_num_threads())
    return stepped


def _stepped(model: Converted | LanguageModel) -> LanguageModel:
    """Return the model that takes tokens: a converted model holds one."""
    if isinstance(model, Converted):
        return model.model
    return model


def _continuation(tokenizer: Tokenizer, prompt: list[int], written: list[int]) -> bytes:
    """Return the text of what was written: behind the prompt, for the first word of a text may lose its space."""
    before = tokenizer.decode(prompt)
    whole = tokenizer.decode(prompt + written)
    if whole.startswith(before):
        return whole[len(before) :]
    return tokenizer.decode(written)


def _conversation(folder: Path, prompt: bytes) -> bytes:
    """Return the prompt that the model's chat template makes of what a user says.

    Raises:
        NeurosimInputError: the model has no template, or its template refuses the message.
    """
    template = read_chat_template(folder)
    if template is None:
        raise NeurosimInputError(
            f"{folder}: has no chat template (tokenizer_config.json, chat_template.jinja); write it into --prompt"
        )
    return template.render([{"role": "user", "content": prompt.decode(errors="replace")}]).encode()


def _model(path: Path, options: RunOptions, *, execute: bool | None) -> tuple[Converted | LanguageModel, bool]:
    """Return the model of a folder, and whether it is converted."""
    folder = model_folder(path)
    if not is_converted(folder):
        if execute:
            raise NeurosimInputError(
                f"{folder}: holds a dense model, and --execute adds rows for spikes; convert it first"
            )
        return text_model(folder).to(options.device), False
    return read_converted(folder).to(options.device), True
