"""The manifest of a run, manifest.json: what ran, how it ended, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from ....base import plain

FORMAT = "neurosim-run"
VERSION = 1
# Written only once they are known; all other fields are always written.
OPTIONAL = ("kind", "place", "data", "resumed")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The manifest of a run.

    Attributes:
        format, version: of the run folder.
        name: of the run.
        kind: of the run; runs of a dataset through a liquid name none.
        status: "running", "done", "interrupted" or "failed".
        reason: why it was interrupted or failed.
        command: the command line.
        started, ended: UTC, ISO 8601.
        seed: of everything random.
        config_hash: SHA-256 of the settings.
        versions: of neurosim, Python and packages.
        git_commit, git_changed: of the checkout of neurosim; None if it is installed.
        machine: processor, cores, memory, system.
        place: machine whose process holds a lock on the folder while the run is running, see `provenance.place`; None
            where there are no such locks.
        data: digests and sizes of the data. With it the run has begun, and it can be resumed.
        resumed: when and by which commands the run was resumed.
        facts: what the kind of run notes besides, such as `threads`, `spike_digest` or `checkpoint_every`.
    """

    format: str = FORMAT
    version: int = VERSION
    name: str = ""
    kind: str | None = None
    status: str = ""
    reason: str | None = None
    command: tuple[str, ...] = ()
    started: str | None = None
    ended: str | None = None
    seed: int | None = None
    config_hash: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    git_changed: bool | None = None
    machine: Mapping[str, object] = field(default_factory=dict)
    place: Mapping[str, str] | None = None
    data: Mapping[str, object] | None = None
    resumed: tuple[Mapping[str, object], ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)

    def to_dict(self) -> Mapping[str, object]:
        """Return the plain tree that manifest.json holds."""
        tree: dict[str, object] = plain.to_plain(self)
        facts = tree.pop("facts")
        written = {name: value for name, value in tree.items() if name not in OPTIONAL or value not in (None, [])}
        return {**written, **plain.to_plain(facts)}

    @classmethod
    def from_dict(cls, tree: Mapping[str, object]) -> Manifest:
        """Return the manifest that `to_dict` wrote; a field of another type keeps its default."""
        # Facts of the kind stand among the fields in manifest.json: all names that are no field are facts.
        known = plain.matching_fields(cls, tree)
        names = {f.name for f in fields(cls)}
        facts = {name: value for name, value in tree.items() if name not in names}
        return cls(**{**known, "facts": facts})

    def seconds(self, name: str) -> float | None:
        """Return a fact that is a number of seconds; None where it was not noted."""
        value = self.facts.get(name)
        if isinstance(value, int | float):
            return float(value)
        return None

    def known(self) -> Mapping[str, object]:
        """Return what is known, for the page; nothing if there is no manifest."""
        empty = Manifest().to_dict()
        return {name: value for name, value in self.to_dict().items() if value != empty.get(name)}
