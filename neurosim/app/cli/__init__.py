"""The command line: parse, call, print. Every command answers `--json`, and every error is one line."""

from __future__ import annotations

import click

from ... import __version__
from ..runs.frame.plugin_option import plugin_option
from ..runs.frame.registry import KINDS
from .program import CommandEntry, Program

_KINDS = {
    name: CommandEntry(f"neurosim.app.runs.{kind.package}.command", kind.help)
    for name, kind in KINDS.items()
    if kind.help
}
# Modules are imported when their command runs, so these lines are all that `neurosim --help` needs.
COMMANDS = {
    "simulate": CommandEntry("neurosim.app.cli.simulate", "Simulate a dataset or a network: run, measure, report."),
    **_KINDS,
    "serve": CommandEntry("neurosim.app.cli.serve", "Serve a language model over HTTP, in the form of OpenAI's API."),
    "live": CommandEntry("neurosim.app.cli.live", "Answer events as they come: a file, a stream, a camera."),
    "reproduce": CommandEntry("neurosim.app.cli.reproduce", "Run published experiments with their own settings."),
    "view": CommandEntry("neurosim.app.cli.view", "Play a recording, or the stored recordings of a run, on a page."),
    "runs": CommandEntry("neurosim.app.cli.runs", "List, show, open, compare, repeat and remove runs.", "group"),
    "measure": CommandEntry("neurosim.app.cli.measure", "Print a run's measures and energy estimates again."),
    "report": CommandEntry("neurosim.app.cli.report", "Write a run's report page again."),
    "schema": CommandEntry("neurosim.app.cli.schema", "Print the JSON Schema of a config."),
    "demo": CommandEntry("neurosim.app.cli.demo", "Simulate the embedded digits and explain the figures."),
    "datasets": CommandEntry("neurosim.app.cli.datasets", "List, describe, make, fetch and verify datasets.", "group"),
    "completion": CommandEntry("neurosim.app.cli.completion", "Print the shell's completion script."),
}


@click.group(
    "neurosim",
    cls=Program,
    entries=COMMANDS,
    extended=True,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@plugin_option()
@click.version_option(__version__, prog_name="neurosim")
@click.pass_context
def main(context: click.Context) -> None:
    """Spiking networks and sparse distributed representations, event by event.

    Start with `neurosim demo`, then `neurosim datasets list`.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
