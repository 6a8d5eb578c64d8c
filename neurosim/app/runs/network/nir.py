"""The option `--nir` of runs of networks: the network as a NIR graph, and what NIR cannot say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ....base.errors import NeurosimInputError
from ....engine.description.description import Description


@dataclass(frozen=True)
class NirExport:
    """A network written as NIR, for the manifest.

    Attributes:
        file: its path.
        left_out: a line for each thing that NIR cannot say.
    """

    file: str
    left_out: tuple[str, ...]


def export_nir(path: Path, description: Description, say: Callable[[str], None]) -> NirExport:
    """Write what NIR can say of a network, as it is before it learns; `say` is called with what it cannot.

    Raises:
        NeurosimInputError: continuous time, or a network of which nothing is left.
        NeurosimMissingError: the `nir` package is not installed.
        NeurosimWriteError: the disk refuses.
    """
    from ....network.nir.files import write_nir
    from ....network.nir.partial import expressible
    from ....network.nir.save import to_nir

    settings = description.settings
    if settings.clock is None:
        raise NeurosimInputError("--nir: needs a run on a grid of steps (got clock continuous); give simulation.clock")
    part = expressible(description.network)
    write_nir(path, to_nir(part.network, dt=settings.clock, seed=settings.seed))
    for line in part.left_out:
        say(f"{path}: without {line}")
    return NirExport(str(path), part.left_out)
