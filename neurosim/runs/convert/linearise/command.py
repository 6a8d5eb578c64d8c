"""`neurosim convert linearise`."""

from __future__ import annotations

from pathlib import Path

import click

from ...frame.command import (
    CPU_OR_CUDA,
    PROFILE,
    CommandOptions,
    CommandResult,
    check_resume,
    common,
    count,
    resume_option,
    setting,
    show_config,
)

PATTERN = "Kinds, bottom to top, repeated: window_linear, linear, gla, simple_gla, mamba2, or keep; 'gla*3,keep'."


@click.command("linearise", short_help="Replace softmax attention by linear kinds, then convert.")
@click.argument("model", type=click.Path(path_type=Path), required=False)
@setting("--pattern", "student.pattern", metavar="KINDS", help=PATTERN)
@setting("--text", "text.file", metavar="FILE", help="Text to learn from; else the prose that ships with Python.")
@setting("--match", "stages.match.steps", type=click.IntRange(0), metavar="N", help="Updates of the first stage.")
@setting("--tune", "stages.tune.steps", type=click.IntRange(0), metavar="N", help="Updates of the second stage.")
@count("--tokens", "text.tokens", "Compare on at most N held-out tokens.")
@PROFILE
@resume_option("Continue a run that was interrupted or killed, in its own folder.")
@show_config
@common(CPU_OR_CUDA)
def command(options: CommandOptions, model: Path | None, resumed: Path | None) -> CommandResult:
    """Replace the softmax attention of MODEL by linear kinds, then convert it into spikes; writes a run folder.

    \b
    First each new layer learns the outputs of the layer it replaces, then low-rank changes of all linear layers learn
    the predictions of MODEL. The page says what each stage cost in loss, state, spikes and time.
    neurosim convert linearise MODEL --text FILE --pattern "window_linear*3,keep"
    neurosim convert linearise --resume RUN    continues to the same result, bit for bit
    neurosim convert RUN                       converts the linear model again, with other settings

    More settings: --set student.options.window_linear.window_size=32 --set stages.length=128 --set coding.k=2.0.
    """
    from . import KIND
    from .config import LineariseConfig
    from .run import linearise_model, resume

    if resumed is not None:
        check_resume(options, model)
        return CommandResult.of(KIND, resume(resumed, options))
    if model is None:
        raise click.UsageError(
            "no MODEL given; the folder of a softmax model, e.g. of 'convert lm-train --kind window'"
        )
    config = LineariseConfig.configure(options.config, options.sets, options.given)
    return CommandResult.of(KIND, linearise_model(model, config, options))
