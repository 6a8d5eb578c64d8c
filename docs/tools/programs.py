"""Runs the programs of a page of Markdown, for the site and for the tests.

Fences with a language are programs, and all of them are run, in their order, in one folder:
    python             one namespace a page; `text` right after it is what it must print
    ... title="NAME"   a file, written before the first program, which may import or name it
    toml               settings: parsed
    sh                 lines that begin with `neurosim` or `python` are run, each in a process; `--help` in this one
Figures of matplotlib that a program leaves open are saved as SVG, as a notebook shows them, and closed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)(?: +title=\"([^\"]+)\")?[^\n`]*\n(.*?)^```$\n?", re.DOTALL | re.MULTILINE)
LANGUAGES = {"", "python", "toml", "sh", "text", "json"}
NOT_RUN = ("pip", "make", "git", "export", "torchrun", "#")  # first words of a line for a shell that changes a machine
PICTURES, REPORTS = "*.svg", "runs/*/report.html"


@dataclass(frozen=True)
class Block:
    """A fence of a page: its language, the file it is, its text, and where it begins and ends in the page."""

    language: str
    title: str | None
    text: str
    begin: int
    end: int


@dataclass
class Output:
    """Words, pictures and reports that a program left, as paths below the folder."""

    text: str = ""
    pictures: list[str] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)


def blocks(page: str) -> list[Block]:
    """Return the fences of a page in their order."""
    return [Block(m[1], m[2], m[3], m.start(), m.end()) for m in FENCE.finditer(page)]


def run(path: Path) -> dict[int, Output]:
    """Run the programs of a page here; return the output of each block by its number.

    Raises:
        AssertionError: a program printed something else than the page says, or a language is not known.
    """
    found = blocks(path.read_text("utf-8"))
    for block in found:
        assert block.language in LANGUAGES, f"{path.name}: no program is written in {block.language}"
        if block.title:
            Path(block.title).write_text(block.text, "utf-8")
    if not Path("examples").exists():
        Path("examples").symlink_to(ROOT / "examples")
    sys.path.insert(0, str(Path.cwd()))  # programs import the files that the page wrote
    page = sys.modules["page"] = ModuleType("page")  # dataclasses look for their module
    outputs = {}
    for number, block in enumerate(found):
        before = {*Path().glob(PICTURES), *Path().glob(REPORTS)}
        text = _run(block, vars(page), f"{path.name}, program {number}")
        _save_figures(f"figure-{number}")
        after = sorted({*Path().glob(PICTURES), *Path().glob(REPORTS)} - before)
        shown = [[str(file) for file in after if file.suffix == suffix] for suffix in (".svg", ".html")]
        outputs[number] = Output(text, *shown)
        wanted = found[number + 1] if number + 1 < len(found) else None
        if wanted is not None and block.language == "python" and wanted.language == "text":
            assert text.split() == wanted.text.split(), f"{path.name}: prints {text!r}, not {wanted.text!r}"
    return outputs


def _run(block: Block, names: dict[str, Any], name: str) -> str:
    printed = StringIO()
    if block.language == "python" and not block.title:
        with redirect_stdout(printed):
            exec(compile("from __future__ import annotations\n" + block.text, name, "exec"), names)
    elif block.language == "toml":
        _parse_toml(block.text)
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "sh":
        for line in block.text.splitlines():
            printed.write(_shell(line, name))
    return printed.getvalue()


def _save_figures(name: str) -> None:
    """Save the open figures of pyplot as SVG, each with its title as the words for screen readers, and close them."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        titles = [axes.get_title() or axes.get_ylabel() for axes in figure.axes]
        path = Path(f"{name}-{number}.svg")
        figure.savefig(path, bbox_inches="tight", metadata={"Title": "; ".join(filter(None, titles)), "Date": None})
        pyplot.close(figure)


def _parse_toml(text: str) -> None:
    if sys.version_info >= (3, 11):
        import tomllib as toml
    else:
        import tomli as toml
    toml.loads(text)


def _shell(line: str, name: str) -> str:
    words = shlex.split(line, comments=True)
    if not words or words[0] in NOT_RUN:
        return ""
    assert words[0] in {"neurosim", "python"}, f"{name}: no command is run that begins with {words[0]}"
    if words[0] == "neurosim" and words[-1] == "--help":
        return _help(words[1:])
    command = [sys.executable, *(["-m", "neurosim"] if words[0] == "neurosim" else []), *words[1:]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{name}: {line}: {done.stderr}"
    return done.stdout


def _help(words: list[str]) -> str:
    """Return the help of a command, asked in this process: a process for each of 31 takes half a minute."""
    from neurosim.app.cli import main

    printed = StringIO()
    with redirect_stdout(printed):
        main(words, standalone_mode=False)
    return printed.getvalue()


def main(path: Path, folder: Path) -> None:
    """Run a page in a folder and leave `outputs.json` there."""
    # Set before matplotlib is imported: no window, and the same bytes each time.
    os.environ["MPLBACKEND"] = "svg"
    path = path.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    sys.path.insert(0, str(ROOT))
    outputs = {number: vars(output) for number, output in run(path).items()}
    Path("outputs.json").write_text(json.dumps(outputs), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
