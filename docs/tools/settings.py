"""The page of all settings, as tables, from the JSON Schemas of the configs."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

INTRODUCTION = """# Settings

What a config may hold, as JSON Schema and, but for networks, as tables. A setting is a key of a TOML file
(`--config`) or `--set KEY=VALUE`; `neurosim schema NAME` prints a schema, and `--show-config` the values of a run.
"""


@functools.cache
def schemas(root: Path) -> dict[str, Any]:
    """Return the JSON Schema of every config by name."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "neurosim", "schema", "--out", folder, "--quiet"]
        subprocess.run(command, check=True, cwd=root, capture_output=True)
        names = [path.stem for path in sorted(Path(folder).glob("*.json"))]
        return {name: json.loads((Path(folder) / f"{name}.json").read_text("utf-8")) for name in names}


def page(root: Path) -> str:
    """Return the page in Markdown."""
    parts = [INTRODUCTION]
    for name, tree in schemas(root).items():
        parts.append(f"## {name}\n\n[{name}.json](../schemas/{name}.json)\n")
        rows = [] if "$defs" in tree and "value" in tree["$defs"] else list(_rows(tree, tree.get("$defs", {})))
        if rows:
            parts.append("| key | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _rows(tree: Mapping[str, Any], tables: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, entry in tree.get("properties", {}).items():
        options = [_resolved(each, tables) for each in entry.get("anyOf", [entry])]
        inner = [each for each in options if "properties" in each]
        if inner:
            for each in inner:
                kind = each["properties"].get("kind", {}).get("const")
                yield from _rows(each, tables, f"{before}{name}{f'({kind})' if kind else ''}.")
            continue
        kinds = " or ".join(dict.fromkeys(_kind(each) for each in options))
        default = f"`{json.dumps(entry['default'])}`" if entry.get("default") is not None else ""
        words = entry.get("description", "").replace("|", "\\|")
        yield f"| `{before}{name}` | {kinds} | {default} | {words} |"


def _resolved(entry: Mapping[str, Any], tables: Mapping[str, Any]) -> Mapping[str, Any]:
    return tables[entry["$ref"].rpartition("/")[2]] if "$ref" in entry else entry


def _kind(entry: Mapping[str, Any]) -> str:
    if "enum" in entry or "const" in entry:
        return ", ".join(f"`{json.dumps(value)}`" for value in entry.get("enum", [entry.get("const")]))
    return {"null": "absent", "array": "list", "object": "table"}.get(entry.get("type", ""), entry.get("type", "any"))
