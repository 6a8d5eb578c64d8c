"""`neurosim memory associative`: what associative memories hold, simulated beside the theory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...frame.arguments import count, setting_argument
from ...frame.command import run_command
from ...frame.command_options import CommandOptions

if TYPE_CHECKING:
    from . import AssociativeKind


def _experiments(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from .....memory.associative.experiments import EXPERIMENTS

    return [name for name in EXPERIMENTS if name.startswith(incomplete)]


@run_command("associative", short_help="Simulate what associative memories hold, beside the theory.")
@setting_argument("experiment", "[EXPERIMENT]", shell_complete=_experiments)
@count("--seeds", "seeds", "Simulations of each point; default 5.")
def command(options: CommandOptions) -> AssociativeKind:
    """Simulate an EXPERIMENT on associative memories, and show each point beside its theory.

    \b
    neurosim memory associative hopfield --seeds 2

    \b
    hopfield      overlap of recall and pattern against patterns a unit (default)
    dense         wrong bits against patterns, memories of order 2, 3 and 4
    examples      wrong bits of archetypes that are made of noisy examples, with labels and without
    multitasking  overlaps with three diluted patterns that are recalled at once
    multitasking-examples  the same, of archetypes that are made of noisy examples
    multitasking-phases  the same at a temperature, and the diagram of its phases
    dense-phases  overlap of dense memories at a temperature, and the diagrams of their phases
    detection     wrong bits of archetypes made of 4,000 poor examples each
    pairs         error of values read by their keys, Hebbian and delta rule
    depth         error of values that pass through layers of memories, of one head and of four
    sparse        wrong bits read from a sparse distributed memory, from whole and from noisy cues
    tail          probability of the rarest class under five optimisers
    """
    from . import KIND

    return KIND
