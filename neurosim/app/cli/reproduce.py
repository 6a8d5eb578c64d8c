"""`neurosim reproduce`: published experiments with their own settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ...base.errors import NeurosimInputError, require
from ...base.plain import to_plain
from ..runs.frame.arguments import show_config
from ..runs.frame.command import Command, CommandResult, common, run_kind
from ..runs.frame.command_options import CommandOptions
from ..runs.frame.kind import Kind
from ..runs.frame.registry import find_kind
from ..runs.frame.tables import grid, table
from ..runs.presets.preset import Preset, config_of, presets, share


@click.command(cls=Command)
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--list", "listed", is_flag=True, help="List the presets with published and measured figures.")
@click.option("--model", type=click.Path(path_type=Path), metavar="FOLDER", help="Language model, for spikingbrain-k.")
@show_config
@common()
def command(options: CommandOptions, name: str | None, listed: bool, model: Path | None) -> CommandResult:
    """Run the published experiment NAME with its own settings; print its figure beside the published one.

    \b
    neurosim reproduce --list                      the presets, with published and measured figures
    neurosim reproduce sparsey                     a run folder with a report
    neurosim reproduce hlop --set stream.train_limit=5000     smaller; the figure names the change

    A preset is a config: neurosim reproduce NAME --show-config prints it. Some take hours; an interrupted run says
    which command continues it.
    """
    if listed:
        return CommandResult({key: to_plain(preset) for key, preset in presets().items()}, _listing())
    if name is None:
        raise click.UsageError("no NAME given; 'neurosim reproduce --list' names them")
    config = config_of(name)
    preset = presets()[name]
    require(options.config is None, "--config", "cannot be combined with NAME, which has its own", options.config)
    kind = _kind(name, preset, model)
    settings = {key: value for key, value in options.settings.items() if value is not None}
    changed = (*options.sets, *(f"{key}={value}" for key, value in settings.items()))
    # For the manifest: pages and commands then show the published figure beside the run's.
    facts: dict[str, object] = {"preset": name}
    if changed:
        facts["preset_changed"] = changed
    return run_kind(kind, replace(options, config=config, facts=facts))


def _listing() -> str:
    heads = ("preset", "published", "ours", "date", "runs")
    rows = [(name, share(p.published), share(p.ours), p.date or "-", p.kind) for name, p in presets().items()]
    about = [(name, f"{p.title}. {p.source}. Ours: {p.how}") for name, p in presets().items()]
    return f"{grid(heads, rows)}\n\n{table(about)}"


def _kind(name: str, preset: Preset, model: Path | None) -> Kind[Any, Any, Any]:
    """Return the kind of run that repeats a preset, with its arguments.

    Raises:
        NeurosimInputError: the preset needs a language model, and there is none.
    """
    if preset.needs_model:
        if model is None:
            raise NeurosimInputError(
                f"{name}: needs a language model, and none comes with neurosim; give --model FOLDER (a Hugging Face "
                "folder, or a run of 'neurosim convert lm-train')"
            )
        from ..runs.convert import CurveKind

        return CurveKind(model)
    return find_kind(preset.kind)
