"""What commands do with a run that has its results: its settings, its page, its measures again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import files, measure
from ..errors import NeurosimInputError, NeurosimMissingError, require
from . import kinds
from .config import sources_of
from .folder import MANIFEST, METRICS, REPORT, RunFolder, read_metrics
from .kind import HasEnergy


def reconfigure(
    run: RunFolder,
    file: Path | str | None = None,
    sets: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
    changeable: Sequence[str] = (),
) -> HasEnergy:
    """Return a run's own settings, changed in its `changeable` sections.

    Args:
        file: TOML. Later wins: the run's own, `file`, `sets`, `given`.
        sets: `key=value` texts.
        given: values by dotted key; None means not given.

    Raises:
        NeurosimInputError: a key that is unknown or breaks its rule, or one that the results depend on already.
    """
    return kinds.kind_of(run).reconfigure(run, sources_of(file, sets, given or {}), changeable)


def write_page(path: Path | str) -> Path:
    """Write `report.html` into a run folder, from what the folder holds; return its path.

    What is absent (no spikes, no config, no results) is said on the page.

    Raises:
        NeurosimMissingError: no such folder, or nothing of a run in it.
        NeurosimFormatError: a JSON file of the run is damaged.
        NeurosimWriteError: the page could not be written; an earlier one is still whole.
    """
    path = Path(path)
    require(not path.is_file(), "report", "needs the folder of a run, not a file", path)
    manifest, metrics = (_table(path / name) for name in (MANIFEST, METRICS))
    if not manifest and not metrics:
        raise NeurosimMissingError(f"{path}: holds no run (no manifest.json, no metrics.json); run 'neurosim simulate'")
    kind = kinds.kind(str(manifest.get("kind") or metrics.get("kind") or kinds.UNNAMED))
    files.write_text(path / REPORT, kind.page(RunFolder(path, manifest), kind.result.from_dict(metrics)))
    return path / REPORT


def measure_again(run: RunFolder, config: HasEnergy) -> dict[str, Any]:
    """Return measures and energy of a run from the counts it stored, energy under the profile of `config`.

    Raises:
        NeurosimInputError: the run's results lack the counts.
    """
    metrics = read_metrics(run)
    try:
        stored = metrics["measures"]
        layers = [measure.LayerCounts.from_dict(layer) for layer in stored["layers"]]
        samples, seconds = stored["samples"], stored["duration"]
        entered = None if stored["events_in"] is None else round(stored["events_in"] * samples)
        heading = {name: metrics[name] for name in kinds.kind_of(run).heading}
    except (KeyError, TypeError) as error:
        raise NeurosimInputError(
            f"{run.path / METRICS}: lacks the counts of the run ({error}); simulate again"
        ) from None
    return {
        **heading,
        "run": str(run.path),
        "measures": measure.measure(layers, samples, seconds, entered).to_dict(),
        "energy": measure.energy(layers, samples, config.energy.profile).to_dict(),
    }


def _table(path: Path) -> dict[str, Any]:
    found = files.read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}
