"""Settings, page and measures of a finished run, made again for commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....base.atomic import write_text
from ....base.errors import NeurosimInputError, NeurosimMissingError, require
from ....base.json_toml import read_json
from ....base.measure import estimates
from ....base.measure.estimates import EnergyEstimates
from ....base.measure.measures import DEFINITIONS, Measures, measure
from . import registry
from .config import sources_of
from .folder import MANIFEST, METRICS, REPORT, RunFolder, read_metrics
from .kind import HasEnergy
from .manifest import Manifest
from .measured import MeasuredRun
from .tables import energy_rows, joules, quantity, table

# More events than a sum of 64 bits holds are a damaged file.
MAX_EVENTS = 2**63


def reconfigure(
    run: RunFolder,
    file: Path | str | None = None,
    sets: Sequence[str] = (),
    values: Mapping[str, object] | None = None,
    changeable: Sequence[str] = (),
) -> HasEnergy | None:
    """Return a run's own settings, changed in its `changeable` sections.

    Args:
        file: TOML. Later wins: the run's own, `file`, `sets`, `values`.
        sets: `key=value` texts.
        values: settings by dotted key; one that is None is left out.

    Raises:
        NeurosimInputError: a key that is unknown or breaks its rule, or one that the results depend on already.
    """
    return registry.kind_of(run).reconfigure(run, sources_of(file, sets, values or {}), changeable)


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
    # Either file may be absent: a run that is killed has no metrics, and copied results may lack the manifest.
    kind = registry.find_kind(str(manifest.get("kind") or metrics.get("kind") or registry.UNNAMED))
    folder = RunFolder(path, Manifest.from_dict(manifest))
    result = kind.result.from_dict(metrics)
    if not metrics:
        result = kind.so_far(folder) or result
    write_text(path / REPORT, kind.render_page(folder, result))
    return path / REPORT


@dataclass(frozen=True, kw_only=True)
class MeasuredAgain(MeasuredRun):
    """Measures and energy of a finished run of one model.

    Attributes:
        sample: what measures and estimates are of, such as "recall" or "run".
        measures: from the counts that the run stored.
        energy: under the profile.
    """

    sample: str
    measures: Measures
    energy: EnergyEstimates

    def table(self) -> str:
        """Return every measure with its unit, then energy; what is unknown says why."""
        heading = self.heading
        measures = self.measures
        if "network" in heading:
            head = f"{heading['network']}, from {self.run}"
        else:
            head = f"{heading['dataset']} {heading['split']}: {heading['samples']} recordings, from {self.run}"
        rows = []
        for name, definition in DEFINITIONS.items():
            value = measures[name]
            unit = "B" if definition.unit == "bytes" else definition.unit.replace("sample", self.sample)
            if unit == "B":
                known = quantity(value, "B")
            else:
                known = f"{quantity(value)} {unit}".rstrip()
            unknown = f"- ({measures.reasons.get(name, 'not recorded')})"
            rows.append((definition.title, unknown if value is None else known))
        published = [
            (f"  on {chip.title}", joules(chip.energy) if chip.energy else f"- ({chip.reason})")
            for chip in self.energy.published
        ]
        energy = energy_rows(self.energy, f"per {self.sample}")
        return table([*rows, *energy, ("Published figures per event", ""), *published], head)


def measure_again(run: RunFolder, config: HasEnergy | None) -> MeasuredRun:
    """Return measures and energy of a run from the counts it stored, energy under the profile of `config`.

    Raises:
        NeurosimInputError: the run's results lack the counts.
    """
    kind = registry.kind_of(run)
    result = kind.result.from_dict(read_metrics(run))
    heading = {name: getattr(result, name) for name in kind.heading}
    if config is not None:
        several = kind.measured(heading, str(run.path), result, config.energy.profile)
        if several is not None:
            return several
    stored = getattr(result, "measures", None)
    if config is None or not isinstance(stored, Measures):
        raise NeurosimInputError(f"{run.path / METRICS}: lacks the counts of the run ('measures'); run it again")
    # A mean a sample, of which `measure` takes the sum over samples.
    if stored.events_in is None:
        entered = None
    else:
        events = stored.events_in * stored.samples
        name = f"{run.path / METRICS}: measures.events_in"
        require(0 <= events < MAX_EVENTS, name, "must be a number of events; run it again", stored.events_in)
        entered = round(events)
    return MeasuredAgain(
        heading=heading,
        run=str(run.path),
        sample=kind.sample(result),
        measures=measure(stored.layers, stored.samples, stored.duration, entered),
        energy=estimates.energy(stored.layers, stored.samples, config.energy.profile),
    )


def _table(path: Path) -> Mapping[str, object]:
    content = read_json(path) if path.is_file() else {}
    return content if isinstance(content, dict) else {}
