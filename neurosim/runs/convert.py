"""A language model converted into spikes, beside the dense one: loss, agreement, spikes, operations, bytes, energy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import files, measure
from ..attention import LanguageModel, python_text, read_model, read_text
from ..attention.train import split
from ..convert import SCHEMES, Coding, Converted, convert, tune
from ..convert.checkpoint import SPIKING, is_converted, write_converted
from ..convert.comparison import check_execution, compare_models, each_layer_alone
from ..convert.costs import Histograms, energy_comparison, layer_costs, layer_counts, spike_totals
from ..convert.model import Calibration
from ..errors import NeurosimInputError, require
from .convert_config import ConvertConfig
from .folder import CONVERT, METRICS, RunFolder, check_out, record
from .progress import DELAY

if TYPE_CHECKING:
    pass

MODEL = "model"  # folder of the model in a run
VOCABULARY = 256  # text is read as bytes
Finish = Sequence[Callable[[Path], object]]


@dataclass
class Job:
    """One run, and the options that decide nothing.

    Attributes:
        out: the run folder; None makes a new one under `runs/`.
        threads: of torch and of the kernels; None means all cores.
        quiet: no progress bars.
        command: the command line, for the manifest.
        say: told what a user should know.
        finish: called with the folder when its results are written.
        seconds: wall-clock seconds of the parts done.
    """

    out: Path | None = None
    threads: int | None = None
    quiet: bool = True
    command: Sequence[str] = ()
    say: Callable[[str], None] = lambda line: None
    finish: Finish = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Take the time of a part."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 6)


@dataclass(frozen=True, eq=False)
class Source:
    """What is converted, and the text for it.

    Attributes:
        path: of the model's folder, as given.
        model: the dense model.
        name: of the text.
        learn, held: [n] tokens before and behind the border.
    """

    path: Path
    model: LanguageModel
    name: str
    learn: Tensor
    held: Tensor


def run_convert(path: Path, config: ConvertConfig, job: Job | None = None) -> dict[str, Any]:
    """Convert the model of a folder, and measure it beside the dense one; writes a run folder with the converted model.

    Args:
        path: a Hugging Face folder, one of our own, or the run folder of `lm-train`.

    Returns:
        What `metrics.json` holds: dense_loss, loss, perplexity_increase, agreement, spikes, silent, by_expansion,
        layers, operators, energy, baselines, execution and more.

    Raises:
        NeurosimError: what is wrong with the model, the text, a setting or the disk.
    """
    job = job or Job()
    with started(path, config, job, "convert") as (run, source):
        with job.clock("convert"):
            made = make(source, config, config.code(), job)
        result = {
            "kind": CONVERT,
            "command_kind": "convert",
            **about(source, config),
            "coding": asdict(made.coding),
            "sent_as": made.coding.sent_as,
            "planes": made.coding.sent_planes,
            "scheme": SCHEMES[made.coding.scheme].meaning,
            "price": made.price,
            "remarks": list(made.remarks),
            **_compared(source, made, config, job),
            **_layers_alone(source, made, config, job),
            "execution": _executed(source, made, config, job),
            "operators": [{"name": name, "what": what} for name, what in made.dense],
        }
        write_converted(run.path / MODEL, made)
        return finish(run, result, job)


@contextmanager
def started(path: Path, config: ConvertConfig, job: Job, name: str) -> Iterator[tuple[RunFolder, Source]]:
    """A run folder and the model and text, read before the folder is made."""
    if job.out is not None:
        check_out(job.out)
    with job.clock("load"):
        source = load(path, config)
    with (
        threads(job.threads),
        record(config.model_dump(), f"{name}-{Path(path).resolve().name}", job.out, job.command, job.say) as run,
    ):
        run.note(kind=CONVERT, command_kind=name, data={"model": str(path), "text": source.name}, threads=job.threads)
        yield run, source


def load(path: Path, config: ConvertConfig) -> Source:
    """The dense model of a folder and the text to convert it with.

    Raises:
        NeurosimInputError: a model that is converted already, that does not read bytes, or a text that is too short.
        NeurosimMissingError, NeurosimFormatError: as `attention.read_model` and `attention.read_text`.
    """
    folder = model_folder(path)
    if is_converted(folder):
        raise NeurosimInputError(f"{folder}: is converted already ({SPIKING}); give the dense model it was made from")
    model = read_model(folder)
    require(
        model.config.vocabulary == VOCABULARY,
        f"{folder}: vocabulary",
        "must be 256, for text is read as bytes",
        model.config.vocabulary,
    )
    file = config.text.file
    text = python_text() if file is None else read_text(file)
    least = round((config.calibration.length + 2) / min(config.text.held_out, 1 - config.text.held_out))
    require(len(text) >= least, f"text {file or ''}".strip(), f"must have at least {least} bytes", len(text))
    learn, held = split(text, config.text.held_out)
    return Source(Path(path), model, "Python's topics" if file is None else file, learn, held)


def model_folder(path: Path) -> Path:
    """The folder with `config.json`: the path itself, or `model` in a run folder."""
    inner = Path(path) / MODEL
    return inner if (inner / "config.json").is_file() and not (Path(path) / "config.json").is_file() else Path(path)


def make(
    source: Source, config: ConvertConfig, coding: Coding, job: Job, known: Calibration | None = None
) -> Converted:
    """The converted model, fine-tuned where the config asks for it."""
    sizes = config.calibration
    made = convert(source.model, coding, source.learn, config.seed, sizes.windows, sizes.length, job.say, known)
    for line in made.remarks:
        job.say(line)
    if config.tuning.steps:
        with job.clock("tune"), bar("fine-tuning", job.quiet) as report:
            told = None if report is None else lambda done, steps, loss: report(done, steps)
            spikes = coding.spikes if made.price else None
            tune(
                made.model,
                made.layers,
                source.learn,
                config.tune(made.price),
                told,
                spikes,
                source.model,
                coding.sent_as,
            )
    return made


def about(source: Source, config: ConvertConfig) -> dict[str, Any]:
    """What every run of a conversion says of what it worked on."""
    layers = [layer.kind for layer in source.model.config.layers]
    return {
        "model": str(source.path),
        "network": source.path.resolve().name,
        "layer_kinds": layers,
        "width": source.model.config.width,
        "parameters": source.model.parameter_count(),
        "text": source.name,
        "seed": config.seed,
    }


def _compared(source: Source, made: Converted, config: ConvertConfig, job: Job) -> dict[str, Any]:
    """Both models on the held-out text, and what went through every layer of the converted one."""
    with job.clock("compare"), bar("comparing", job.quiet) as report, made.counting() as histograms:
        found = compare_models(source.model, made.model, source.held[: config.text.tokens + 1], on_progress=report)
    return scores(made, histograms, found.tokens, config.energy.profile) | {
        "tokens": found.tokens,
        "dense_loss": found.dense,
        "loss": found.spiking,
        "perplexity_increase": found.perplexity_increase,
        "agreement": found.agreement,
    }


def scores(made: Converted, histograms: Histograms, tokens: int, profile: str) -> dict[str, Any]:
    """Spikes, operations, measures and energies from histograms over `tokens`."""
    layers = layer_counts(made, histograms)
    return {
        **spike_totals(made, histograms).to_dict(),
        "operations": sum(layer.synaptic_operations or 0 for layer in layers) / tokens,
        "dense_operations": sum(layer.dense_operations or 0 for layer in layers) / tokens,
        "layers": [each.to_dict() for each in layer_costs(made, histograms, layers, profile)],
        "measures": measure.measure(layers, tokens, 0.0, sum(layer.input_events or 0 for layer in layers)).to_dict(),
        "energy": measure.energy(layers, tokens, profile).to_dict(),
        "baselines": energy_comparison(layers, tokens, profile).to_dict(),
    }


def _layers_alone(source: Source, made: Converted, config: ConvertConfig, job: Job) -> dict[str, Any]:
    """Loss with each layer alone in spikes, on the first of the held-out text."""
    size = config.report.layer_tokens
    if not size:
        return {}
    with job.clock("layers"):
        found = each_layer_alone(source.model, made, source.held[: size + 1])
    return {
        "alone": {
            name: {"dense_loss": c.dense, "loss": c.spiking, "agreement": c.agreement} for name, c in found.items()
        },
        "alone_tokens": next(iter(found.values())).tokens,
    }


def _executed(source: Source, made: Converted, config: ConvertConfig, job: Job) -> dict[str, Any]:
    """The same tokens simulated and by adding rows of weights."""
    length = min(config.calibration.length, config.report.executed_tokens, len(source.held) // 2)
    streams = max(1, min(config.report.executed_tokens, len(source.held)) // length)
    tokens = source.held[: streams * length].view(streams, length)
    with job.clock("execute"):
        return check_execution(made, tokens, job.threads or torch.get_num_threads()).to_dict()


def finish(run: RunFolder, result: dict[str, Any], job: Job) -> dict[str, Any]:
    """Write the results and the page."""
    result |= {"run": str(run.path), "timings": {**job.seconds, "total": round(sum(job.seconds.values()), 6)}}
    files.write_json(run.path / METRICS, result)
    run.close("done")
    for step in job.finish:
        step(run.path)
    return result


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Hold torch to as many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def bar(what: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar; none if `quiet` or off a terminal."""
    if quiet:
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=what, delay=DELAY, disable=None, leave=False) as shown:

        def report(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield report
