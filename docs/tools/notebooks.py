"""Notebooks of the tutorials: their text, their programs as cells, and the output that the programs had.

    python docs/tools/notebooks.py FOLDER

writes the notebooks of all tutorials, without outputs. The site has them with the outputs of its own run of the pages.
A program in Python is a cell, a file is written by `%%writefile`, and a command begins with `!`. A file of the
repository's examples that a command needs is written by a cell before it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import programs

TUTORIALS = programs.ROOT / "docs" / "tutorials"
# `!pip` is that of the shell, which may be of another environment than the notebook's kernel.
INSTALL = "# Where neurosim or one of these extras is missing:\n%pip install --quiet 'neurosim-spiking[{extras}]'"
# A kernel is started by its path, and `!neurosim` is looked for on the PATH of the program that started it.
PROGRAMS = """# Lines that begin with ! take the programs of this environment:
import os
import sys

os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]"""
# torch takes up to 5 GB on the disk: only the notebooks of pages that say so install it.
NEEDS_TORCH = "Needs torch"
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
# Pages of the repository that tutorials link to; a notebook lies somewhere else.
EXAMPLE = re.compile(r"examples/([\w.]+)")
NOTHING: Mapping[str, Any] = {"text": "", "pictures": []}
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")


def notebook(page: str, outputs: Mapping[str, Mapping[str, Any]], pictures: Mapping[str, str]) -> dict[str, Any]:
    """Return the notebook of a page.

    Args:
        page: Markdown.
        outputs: text and names of pictures by the number of the block, as `programs.main` writes them.
        pictures: SVG by name.
    """
    cells: list[dict[str, Any]] = []
    last = 0
    for number, block in enumerate(programs.blocks(page)):
        _add_text(cells, page[last : block.begin])
        last = block.end
        if block.language == "text":
            continue
        source = _source(block)
        if source is None:
            _add_text(cells, page[block.begin : block.end])
            continue
        for name in EXAMPLE.findall(source):
            text = (programs.ROOT / "examples" / name).read_text("utf-8")
            cells.append(_code(f"%%writefile {name}\n{text.rstrip()}", len(cells), NOTHING, {}))
        output = outputs.get(str(number), NOTHING)
        cells.append(_code(EXAMPLE.sub(r"\1", source), len(cells), output, pictures))
    _add_text(cells, page[last:])
    # After the title: what a machine without the package needs.
    extras = "train,plot" if NEEDS_TORCH in page else "plot"
    commands = any(cell["source"].startswith("!") for cell in cells)
    cells.insert(1, _code(INSTALL.format(extras=extras), len(cells), NOTHING, {}))
    if commands:
        cells.insert(2, _code(PROGRAMS, len(cells), NOTHING, {}))
    return {"cells": cells, "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 5}


def _source(block: programs.Block) -> str | None:
    """Return the cell of a block; None where it is shown and not run."""
    text = block.text.rstrip("\n")
    if block.title:
        return f"%%writefile {block.title}\n{text}"
    if block.language == "python":
        return _without_out(text)
    if block.language == "sh":
        return "\n".join(f"!{line}" for line in text.splitlines())
    return None


def _without_out(program: str) -> str:
    """Return a program whose last line shows no value under the pictures or the text that it makes."""
    last = ast.parse(program).body[-1]
    is_print = isinstance(last, ast.Expr) and ast.unparse(last).startswith("print(")
    if isinstance(last, ast.Expr) and not is_print:
        return f"{program};"
    return program


def _add_text(cells: list[dict[str, Any]], text: str) -> None:
    text = LINK.sub(r"\1", text).strip()
    if text:
        cells.append({"cell_type": "markdown", "id": _name(text, len(cells)), "metadata": {}, "source": text})


def _code(source: str, number: int, output: Mapping[str, Any], pictures: Mapping[str, str]) -> dict[str, Any]:
    shown: list[dict[str, Any]] = []
    if output["text"].strip():
        shown.append({"output_type": "stream", "name": "stdout", "text": output["text"]})
    for name in output["pictures"]:
        data = {"image/svg+xml": pictures[name]}
        shown.append({"output_type": "display_data", "metadata": {}, "data": data})
    return {
        "cell_type": "code",
        "id": _name(source, number),
        "metadata": {},
        "execution_count": None,
        "source": source,
        "outputs": shown,
    }


def _name(text: str, number: int) -> str:
    """Return the id of a cell, which stays the same as long as the cell does."""
    return hashlib.sha256(f"{number} {text}".encode()).hexdigest()[:12]


def main(folder: Path, pages: Sequence[Path]) -> None:
    """Write the notebook of each page, without outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages:
        tree = notebook(page.read_text("utf-8"), {}, {})
        (folder / page.with_suffix(".ipynb").name).write_text(json.dumps(tree, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sorted(TUTORIALS.glob("*.md")))
