"""`neurosim attention TASK`: kinds of attention side by side on a synthetic task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..frame.arguments import count, setting, setting_argument
from ..frame.command import run_command
from ..frame.command_options import CommandOptions

if TYPE_CHECKING:
    from . import AttentionKind


def _split(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    return [part.strip() for part in value.split(",")]


@run_command(resume="Continue a run that was interrupted or killed, in its own folder.")
@setting_argument("task.name", "[TASK]")
@setting(
    "--kinds", "model.kinds", callback=_split, metavar="A,B", help="Kinds or hybrids: 'gla,deltanet,gla*3+window'."
)
@count("--seeds", "seeds", "Models of each kind.")
@count("--steps", "training.steps", "Updates of each model.")
def command(options: CommandOptions) -> AttentionKind:
    """Train small models of attention kinds on TASK and compare them: a table, curves, and scores by bytes of state.

    \b
    neurosim attention recall --kinds gla,deltanet --steps 200

    \b
    recall       values of keys that were shown, by number of pairs
    joint        the same where a key has another value in each context
    copying      tokens among blanks, in order
    parity       of the bits so far; counting: their sum modulo 5
    words        products of permutations, --set 'task.options={group="S5"}' or A5, S4, S3
    regression   y = W x in context, --set task.options.period=16 for a W that switches; beside the
                 kinds stand least squares, ridge regression, and steps of gradient descent
    outliers     classification in context, by per cent of false examples
    episodes     classes of each sequence's own from few examples, by number of examples; beside the
                 kinds stand the nearest mean and the nearest example
    pixels       classes of images shown pixel by pixel: digits of 8 x 8, or 14 x 14 by --set
                 'task.options={dataset="mnist",trained=[14,14],sizes=[14]}'

    A kind may be a preset: based is a layer of linear attention by Taylor features below a window of 64 tokens.

    More settings: --set model.layers=2 --set model.width=32 --set model.options.gla.num_heads=1
    --set task.options.sizes=[16,32] --set training.optimizer=muon.
    """
    from . import KIND

    return KIND
