"""`neurosim completion bash`: click's own completion script."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from ...base.errors import lookup
from ..runs.frame.command import Command, CommandResult, common
from ..runs.frame.command_options import NO_RUN, CommandOptions

SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
INSTALL = {
    "bash": 'eval "$(neurosim completion bash)"  in ~/.bashrc',
    "zsh": 'eval "$(neurosim completion zsh)"  in ~/.zshrc',
    "fish": "neurosim completion fish > ~/.config/fish/completions/neurosim.fish",
}


@click.command(cls=Command, epilog="Install with: " + "; ".join(INSTALL.values()))
@click.argument("shell", metavar="bash|zsh|fish")
@common(without=NO_RUN)
def command(options: CommandOptions, shell: str) -> CommandResult:
    """Print the completion script of a shell."""
    from . import main

    kind = lookup(SHELLS, shell, "shell")
    script = kind(main, {}, "neurosim", "_NEUROSIM_COMPLETE").source()
    return CommandResult({"shell": shell, "script": script, "install": INSTALL[shell]}, script)
