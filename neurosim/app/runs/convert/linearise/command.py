"""`neurosim convert linearise`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...frame.arguments import CPU_OR_CUDA, PROFILE, count, setting
from ...frame.command import run_command
from ...frame.command_options import CommandOptions

if TYPE_CHECKING:
    from . import LineariseKind

PATTERN = (
    "Students, bottom to top, repeated: window_linear, linear (Hedgehog), gla, mamba2, mmmamba, sea, or "
    "keep for a layer that stays; 'gla*3,keep'."
)


@run_command(
    "linearise",
    short_help="Replace softmax attention by linear kinds, then convert.",
    devices=CPU_OR_CUDA,
    resume="Continue a run that was interrupted or killed, in its own folder.",
)
@click.argument("model", type=click.Path(path_type=Path), required=False)
@setting("--pattern", "student.pattern", metavar="KINDS", help=PATTERN)
@setting("--text", "text.file", metavar="FILE", help="Text to learn from; else the prose that ships with Python.")
@setting("--match", "stages.match.steps", type=click.IntRange(0), metavar="N", help="Updates of the new parameters.")
@setting("--layer", "stages.layer.steps", type=click.IntRange(0), metavar="N", help="Updates of all of a layer.")
@setting("--tune", "stages.tune.steps", type=click.IntRange(0), metavar="N", help="Updates of the whole model.")
@count("--tokens", "text.tokens", "Compare on at most N held-out tokens.")
@PROFILE
def command(options: CommandOptions, model: Path | None) -> LineariseKind:
    """Replace the softmax attention of MODEL by linear kinds, then convert it into spikes; writes a run folder.

    First the new parameters of each layer learn the outputs of the layer it replaces, then (with --layer) all of its
    parameters, and at last low-rank changes of all linear layers learn the predictions of MODEL. The page says what
    each stage cost in loss, state, spikes and time.

    \b
    neurosim convert linearise MODEL --text FILE --pattern "window_linear*3,keep"
    neurosim convert linearise MODEL --text FILE --pattern gla --layer 300
    neurosim convert linearise MODEL --text FILE --pattern linear --set stages.match.attention=1
    neurosim convert linearise --resume RUN    continues to the same result, bit for bit
    neurosim convert RUN                       converts the linear model again, with other settings

    More settings: --set student.options.window_linear.window_size=32 --set stages.length=128 --set coding.k=2.0.
    """
    from . import LineariseKind

    if options.resumed is not None:
        options.check_resume(model)
    elif model is None:
        raise click.UsageError(
            "no MODEL given; the folder of a softmax model, e.g. of 'convert lm-train --kind window'"
        )
    return LineariseKind(model or Path())
