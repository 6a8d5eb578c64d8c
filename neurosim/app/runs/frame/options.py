"""The options of a run that decide nothing about its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ....engine.threads import core_count
from .recorder import check_out


def silent(line: str) -> None:
    """Ignore a message for the user."""


class ConfigShown(Exception):
    """Exception with all settings of a run, raised in its place for `--show-config`."""

    def __init__(self, config: Mapping[str, object]) -> None:
        super().__init__()
        self.config = config


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options that every kind of run takes; the results are the same for any values.

    Attributes:
        out: the run folder; None makes a new one below `runs/`.
        threads: of the engine, of linear algebra and of torch; None means all cores.
        device: where to compute.
        quiet: show no progress bars.
        command: the command line, for the manifest.
        say: is called with messages for the user.
        facts: what the manifest notes besides, such as the preset that the run repeats.
        logs: formats in which a training is logged, names in `frame.logs.LOGS`.
        show_config: end with `ConfigShown` in place of the run.
    """

    out: Path | None = None
    threads: int | None = None
    device: str = "cpu"
    quiet: bool = True
    command: Sequence[str] = ()
    say: Callable[[str], None] = silent
    facts: Mapping[str, object] = field(default_factory=dict)
    logs: Sequence[str] = ()
    show_config: bool = False

    @property
    def thread_count(self) -> int:
        """Number of threads: `threads`, or one for each core that this process may use."""
        return self.threads or core_count()

    def check_out(self) -> None:
        """Raise unless a run may go to `out`: call it before work that takes long.

        Raises:
            NeurosimInputError: `out` is a file, or a folder that holds something else than a run.
        """
        if self.out is not None:
            check_out(self.out)

    def show(self, config: Mapping[str, object]) -> None:
        """Raise `ConfigShown` if `show_config` is set: call it before work that takes long."""
        if self.show_config:
            raise ConfigShown(config)


DEFAULTS = RunOptions()
