"""The gallery: examples that draw a picture are run, and each picture leads to its program."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
PLACE = "<!-- gallery -->"
DRAWS = re.compile(r"\.savefig\(\"([\w.]+)\"\)")


def examples() -> dict[str, Path]:
    """Return the picture that each example draws, by the name of the example."""
    found = {}
    for path in sorted((ROOT / "examples").glob("*.py")):
        drawn = DRAWS.search(path.read_text("utf-8"))
        if drawn:
            found[path.stem] = Path(drawn[1])
    return found


def run(name: str, folder: Path, changed: float) -> Path:
    """Run an example in a folder unless its picture there is newer than `changed`; return the picture.

    Raises:
        RuntimeError: the example failed, printed nothing, or drew no picture.
    """
    picture = folder / examples()[name]
    script = ROOT / "examples" / f"{name}.py"
    if picture.exists() and picture.stat().st_mtime >= max(changed, script.stat().st_mtime):
        return picture
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], check=False, cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{script.name}: failed\n{done.stderr}")
    if not done.stdout.strip():
        raise RuntimeError(f"{script.name}: printed nothing")
    if not _is_picture(picture):
        raise RuntimeError(f"{script.name}: drew no picture into {picture.name}")
    return picture


def _is_picture(path: Path) -> bool:
    """Return whether a file is there and, if it is SVG, whole."""
    if path.suffix != ".svg" or not path.exists():
        return path.exists()
    return ElementTree.parse(path).getroot().tag.endswith("svg")


def entries(suffix: str = ".txt") -> str:
    """Return the gallery in Markdown: of each example its words, and its picture below."""
    parts = []
    for name, picture in examples().items():
        tree = ast.parse((ROOT / "examples" / f"{name}.py").read_text("utf-8"))
        words = " ".join((ast.get_docstring(tree) or name).split("\n\n")[0].split())
        title = name.partition("_")[2].replace("_", " ").capitalize().replace("Stdp", "STDP")
        address = f"gallery-files/{name}{picture.suffix}#on-white"
        parts.append(f"## [{title}](examples/{name}.py{suffix})\n\n{words}\n\n![{words}]({address})\n")
    return "\n".join(parts)
