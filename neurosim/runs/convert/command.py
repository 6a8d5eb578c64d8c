"""`neurosim convert ...`: a language model turned into spikes, its curve, and text written with it."""

from __future__ import annotations

from pathlib import Path

import click

from ...errors import NeurosimMissingError
from ..command import CPU_OR_CUDA, PROFILE, CommandOptions, CommandResult, at_least, common

CONVERT = "model"


class ConvertGroup(click.Group):
    """`neurosim convert MODEL ...` is short for `neurosim convert model MODEL ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        asks = {"-h", "--help"}
        if args and args[0] not in self.commands and not asks & {args[0]}:
            args = [CONVERT, *args]
        return super().parse_args(ctx, args)


def _needs_torch() -> None:
    """Raise `NeurosimMissingError` if torch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise NeurosimMissingError(
            f"neurosim convert: needs torch ({error}); run: pip install 'neurosim-spiking[train]'"
        ) from None


@click.group(cls=ConvertGroup, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Turn a language model into one that communicates in spikes, and run it by adding rows of weights.

    \b
    neurosim convert lm-train --out runs/lm          trains a byte model on the prose that ships with Python
    neurosim convert runs/lm --scheme ternary --k 3  converts it; also takes Hugging Face folders
    neurosim convert curve runs/lm                   loss against spikes, operations and energy
    neurosim convert generate RUN --prompt "The "    writes text

    MODEL may stand where a command does: 'neurosim convert MODEL' is 'neurosim convert model MODEL'.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


MODEL = click.argument("model", type=click.Path(path_type=Path))
TEXT = click.option(
    "--calibrate",
    "text",
    metavar="FILE",
    help="Text to calibrate and compare on; else the prose that ships with Python.",
)
STEPS = click.option(
    "--fine-tune", "steps", type=click.IntRange(0), metavar="N", help="Train N updates through the rounding."
)
TOKENS = click.option(
    "--tokens", type=int, callback=at_least(1, "must be >= 1"), metavar="N", help="Compare on at most N held-out bytes."
)


@command.command(CONVERT, short_help="Convert MODEL (the word may be left out).")
@MODEL
@click.option("--scheme", metavar="NAME", help="ternary, calibrated, learned, qcfs or stbif.")
@click.option("--k", type=float, metavar="K", help="Counts that a mean input is worth (ternary).")
@click.option("--levels", type=int, metavar="L", help="Largest count (qcfs, stbif).")
@click.option("--spikes", type=float, metavar="S", help="Mean spikes a channel (calibrated, learned).")
@click.option(
    "--expansion", metavar="NAME", help="How counts are sent: bitwise, canonical, unary_ternary or twos_complement."
)
@click.option("--weights", metavar="TYPE", help="float32 or int8.")
@click.option("--qk", is_flag=True, default=None, help="Code q and k too; the state is then updated lazily.")
@click.option("--state", is_flag=True, default=None, help="Code the state too, after every byte.")
@click.option("--head", is_flag=True, default=None, help="Code the output layer too.")
@TEXT
@STEPS
@TOKENS
@PROFILE
@common(CPU_OR_CUDA)
def model_command(
    options: CommandOptions,
    model: Path,
    scheme: str | None,
    k: float | None,
    levels: int | None,
    spikes: float | None,
    expansion: str | None,
    weights: str | None,
    qk: bool | None,
    state: bool | None,
    head: bool | None,
    text: str | None,
    steps: int | None,
    tokens: int | None,
    profile: str | None,
) -> CommandResult:
    """Convert the language model in the folder MODEL into spikes; writes a run folder with the model and a report.

    MODEL is a Hugging Face folder (config.json and safetensors), one of neurosim's own, or a run of 'convert lm-train'.
    Loss and agreement are of the last tenth of the text, which calibration and fine-tuning do not see.
    """
    _needs_torch()
    from . import KIND
    from .config import configure
    from .run import convert_model

    given = {
        "coding.scheme": scheme,
        "coding.k": k,
        "coding.levels": levels,
        "coding.spikes": spikes,
        "coding.expansion": expansion,
        "coding.weights": weights,
        "coding.qk": qk,
        "coding.state": state,
        "coding.head": head,
        "tuning.steps": steps,
        "text.tokens": tokens,
        **_common(options, text, profile),
    }
    config = configure(options.config, options.sets, given)
    return CommandResult.of(KIND, convert_model(model, config, options))


@command.command("curve", short_help="Loss against spikes, operations and energy.")
@MODEL
@TEXT
@STEPS
@TOKENS
@PROFILE
@common(CPU_OR_CUDA)
def curve(
    options: CommandOptions, model: Path, text: str | None, steps: int | None, tokens: int | None, profile: str | None
) -> CommandResult:
    """Convert MODEL with every scheme at several strengths, and draw loss against spikes, operations and energy.

    Schemes and strengths: --set curve.schemes=["ternary","calibrated"] --set curve.ks=[1.0,2.0,3.0]
    --set curve.levels=[7,15] --set curve.spikes=[0.4,0.6,0.9].
    """
    _needs_torch()
    from . import KIND
    from .config import configure
    from .curve import measure_curve

    given = {"tuning.steps": steps, "curve.tokens": tokens, **_common(options, text, profile)}
    return CommandResult.of(KIND, measure_curve(model, configure(options.config, options.sets, given), options))


@command.command("generate", short_help="Write text with a model, dense or converted.")
@MODEL
@click.option("--prompt", default="\n", metavar="TEXT", help="What the text starts with.")
@click.option("--tokens", type=click.IntRange(0), default=200, show_default=True, metavar="N", help="Bytes to write.")
@click.option("--temperature", type=float, default=0.8, show_default=True, metavar="T", help="0: the likeliest.")
@click.option("--top", type=int, default=0, metavar="N", help="Draw among the N likeliest; 0: all.")
@click.option("--execute/--simulate", default=False, help="Add rows of weights for spikes, or work on floats.")
@common(CPU_OR_CUDA)
def generate(
    options: CommandOptions, model: Path, prompt: str, tokens: int, temperature: float, top: int, execute: bool
) -> CommandResult:
    """Write text with MODEL, byte by byte, with memory that does not grow.

    MODEL is the folder of a conversion, or of a dense model.
    """
    _needs_torch()
    from ...convert.generate import Sampling
    from .text import write_text

    sampling = Sampling(tokens, temperature, top, options.seed or 0)
    result = write_text(model, prompt.encode(), sampling, options, execute=execute)
    return CommandResult(result.to_dict(), result.prompt + result.text)


@command.command("lm-train", short_help="Train a byte-level language model on a text.")
@click.option("--text", metavar="FILE", help="Any file; else the prose that ships with Python.")
@click.option("--kind", metavar="NAME", help="Kind of attention.")
@click.option("--steps", type=int, callback=at_least(1, "must be >= 1"), metavar="N", help="Updates.")
@common(CPU_OR_CUDA)
def lm_train(options: CommandOptions, text: str | None, kind: str | None, steps: int | None) -> CommandResult:
    """Train a byte-level language model on a text; its run folder is a MODEL for 'neurosim convert'.

    More settings: --set model.layers=2 --set model.width=96 --set training.length=256 --set training.rate=0.002.
    """
    _needs_torch()
    from . import KIND
    from .config import configure_lm
    from .text import train_language_model

    given = {"text.file": text, "model.kind": kind, "training.steps": steps, "seed": options.seed}
    config = configure_lm(options.config, options.sets, given)
    return CommandResult.of(KIND, train_language_model(config, options))


def _common(options: CommandOptions, text: str | None, profile: str | None) -> dict[str, object]:
    return {"text.file": text, "energy.profile": profile, "seed": options.seed}
