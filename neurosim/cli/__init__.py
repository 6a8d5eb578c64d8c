"""The command line: parse, call, print. Every command answers `--json`, and every error is one line."""

from __future__ import annotations

import click

from .. import __version__
from .program import Entry, Program

# Modules are imported when their command runs, so these lines are all that `neurosim --help` needs.
COMMANDS = {
    "simulate": Entry("simulate", "command", "Simulate a dataset or a network: run, measure, report."),
    "train": Entry("train", "command", "Train a spiking network on a dataset and run it event by event."),
    "measure": Entry("measure", "command", "Print a run's measures and energy estimates again."),
    "report": Entry("report", "command", "Write a run's report page again."),
    "demo": Entry("demo", "command", "Simulate the embedded digits and explain the figures."),
    "memory": Entry("memory", "group", "Store a dataset in a single-trial memory and recall from it."),
    "continual": Entry("continual", "group", "Learn one task after the other, and see what is forgotten."),
    "convert": Entry("convert", "group", "Turn a language model into one that communicates in spikes."),
    "datasets": Entry("datasets", "group", "List, describe, make, fetch and verify datasets."),
    "completion": Entry("completion", "command", "Print the shell's completion script."),
}


@click.group(
    "neurosim",
    cls=Program,
    entries=COMMANDS,
    package=__name__,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="neurosim")
@click.pass_context
def main(context: click.Context) -> None:
    """Spiking networks and sparse distributed representations, event by event.

    Start with `neurosim demo`, then `neurosim datasets list`.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
