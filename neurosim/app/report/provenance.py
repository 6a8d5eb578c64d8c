"""Origin of a result as pages show it, from the manifest of its run."""

from __future__ import annotations

from collections.abc import Mapping

from . import numbers
from .numbers import number


def table_of(value: object) -> Mapping[str, object]:
    """Return `value` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def about_run(manifest: Mapping[str, object]) -> list[str | None]:
    """Return the last words of a page's lead: seed, date, and the reason of a failure."""
    return [
        f"seed {manifest['seed']}" if "seed" in manifest else None,
        numbers.date(manifest.get("started")),
        f"the run failed: {manifest.get('reason')}" if manifest.get("status") == "failed" else None,
    ]


def provenance_facts(manifest: Mapping[str, object], digest: str | None = None) -> list[tuple[str, object]]:
    """Return (name, value) of the facts in a manifest.

    Args:
        digest: digest of the spikes, for a run whose manifest does not have it.
    """
    command = manifest.get("command")
    commit = manifest.get("git_commit")
    if commit and manifest.get("git_changed"):
        commit = f"{commit} (with uncommitted changes)"
    reading = manifest.get("reading")
    facts = {
        "Command": " ".join(map(str, command)) if isinstance(command, list) else None,
        "Started": manifest.get("started"),
        "Ended": manifest.get("ended"),
        "Status": manifest.get("status"),
        "Seed": manifest.get("seed"),
        "Spike digest": manifest.get("spike_digest") or digest or None,
        "Config hash": manifest.get("config_hash"),
        "Git commit": commit,
        "Reading": "; ".join(map(str, reading)) if isinstance(reading, list) else None,
        "Settings": _settings(manifest.get("settings_reason")),
        **{f"Data {name}": value for name, value in _flat(manifest.get("data"))},
        "Machine": _machine(table_of(manifest.get("machine"))),
        "Plugins": _listed(manifest.get("plugins")),
        "Versions": _listed(manifest.get("versions")),
    }
    return [(name, value) for name, value in facts.items() if value is not None]


def _machine(machine: Mapping[str, object]) -> str | None:
    """Return processor, cores, memory and system in words, as far as they are known."""
    cores = number(machine.get("cores"))
    memory = number(machine.get("memory_bytes"))
    words = (
        machine.get("processor") or machine.get("architecture"),
        f"{cores:.0f} cores" if cores else None,
        f"{memory / 2**30:.3g} GiB of memory" if memory else None,
        machine.get("system"),
    )
    return ", ".join(str(word) for word in words if word) or None


def _settings(reason: object) -> str | None:
    """Return why the settings that the user left out are as they are."""
    return reason.removeprefix("settings: ") if isinstance(reason, str) else None


def _listed(versions: object) -> str | None:
    """Return "name version" of each entry, None where there is none."""
    return ", ".join(f"{name} {value}" for name, value in _flat(versions)) or None


def _flat(value: object) -> list[tuple[str, object]]:
    """Return (name, value) of a table; entries of a table inside it have its name before their own."""
    pairs: list[tuple[str, object]] = []
    for name, entry in table_of(value).items():
        inner = _flat(entry)
        if inner:
            pairs += [(f"{name} {key}", leaf) for key, leaf in inner]
        else:
            pairs.append((str(name), entry))
    return pairs
