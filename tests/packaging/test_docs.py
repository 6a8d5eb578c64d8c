"""The README's programs run, and the documents name what is there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

import pytest
from helpers.browser import Browser
from helpers.docs_tools import ROOT, load_tool

NUMBERS = re.compile(r"(-?\d+\.\d+)")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text()
programs = load_tool("programs")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# `make docs` runs the programs of every page below docs/, as this does: one of them is the sample of the quick tests.
RUN_HERE = [
    pytest.param(ROOT / "README.md", id="README.md", marks=pytest.mark.slow),
    pytest.param(ROOT / "docs" / "files.md", id="files.md"),
]
# Words of a goal that a reader does not know, and of a figure that no script here prints.
COMMISSION = re.compile(
    r"found outside|upper bound|\(asked|(?<!-)\basked [.\d]|\basked (above|below)|\bAsked[:,]|\b(is|are) asked[.:;,)]"
    r"|\| asked|\baim [.\d]|\bthe goal of\b"
)


@pytest.mark.parametrize("path", RUN_HERE)
def test_the_programs_of_a_page_run(path: Path, elsewhere: None) -> None:
    """Every fence with a language is a program; what follows as `text` is what it prints."""
    pytest.importorskip("torch")
    command = [sys.executable, ROOT / "docs" / "tools" / "programs.py", path, "page"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pages_say_what_was_measured_and_no_goal() -> None:
    lines = [(path.name, line) for path in PAGES for line in path.read_text().splitlines()]
    assert [(name, line) for name, line in lines if COMMISSION.search(line)] == []


def test_words_of_a_goal_are_recognised() -> None:
    for text in ("5.5 (asked 4)", "| asked | measured |", "where .97 is asked.", "joint (upper bound)", ": aim .80 |"):
        assert COMMISSION.search(text), text
    for text in ("the readout is asked about others", "memory is asked for by size", "times as many are asked again"):
        assert not COMMISSION.search(text), text


def test_a_page_whose_program_fails_or_prints_something_else_is_refused(elsewhere: None) -> None:
    for text, words in (
        ("```python\n1 / 0\n```\n", "division by zero"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "prints '1"),
        ("```sh\nneurosim simulate nowhere\n```\n", "nowhere"),
        ("```sh\nrm -r runs\n```\n", "begins with rm"),
        ("```rust\n```\n", "written in rust"),
        ("```toml\n[a\n```\n", "line 1"),
    ):
        Path("page.md").write_text(text)
        with pytest.raises(Exception, match=words):
            programs.run(Path("page.md"))


def test_pages_of_the_site_are_named_and_what_is_named_is_there() -> None:
    named = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    here = {path.relative_to(ROOT / "docs").as_posix() for path in PAGES[1:]}
    assert {name for name in named if not name.startswith(("reference/", "about/"))} == here
    rooms = {name for name in named if name.startswith("reference/")} - {
        "reference/neurosim.md",
        "reference/settings.md",
        "reference/interop.md",
    }
    for room in rooms:
        assert (ROOT / "neurosim" / Path(room).stem / "__init__.py").is_file(), room


def test_the_picture_of_the_readme_is_small_and_drawn() -> None:
    picture = ROOT / "docs" / "pictures" / "overview.svg"
    assert picture.stat().st_size < 100_000
    text = picture.read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg") and "<image" not in text


@pytest.mark.slow
def test_the_picture_of_the_readme_is_what_its_script_draws(elsewhere: None) -> None:
    script = ROOT / "docs" / "pictures" / "overview.py"
    subprocess.run([sys.executable, script, "here.svg"], check=True)
    drawn, kept = (NUMBERS.split(path.read_text()) for path in (Path("here.svg"), script.with_suffix(".svg")))
    assert drawn[::2] == kept[::2]
    # The last digit of a place is not the same on all processors.
    assert [float(number) for number in drawn[1::2]] == pytest.approx([float(n) for n in kept[1::2]], abs=0.011)


def test_the_commands_of_the_readme_are_there() -> None:
    from neurosim.app.cli import COMMANDS

    named = set(re.findall(r"(?:^|`)neurosim ([a-z]+)", README, re.M))
    assert len(named) > 5 and named <= set(COMMANDS)


def test_the_commands_of_the_page_of_kinds_have_their_options() -> None:
    """Read all settings of each, by --show-config; commands with a word to be filled in, as TASK, are left out."""
    pytest.importorskip("torch")
    from click.testing import CliRunner

    from neurosim.app.cli import main

    text = (ROOT / "docs" / "kinds.md").read_text().replace("\\\n", " ")
    named = sorted(set(re.findall(r"(?:^|`)neurosim ([^`\n]+)", text, re.M)))
    commands = [shlex.split(words) for words in named if not re.search(r"\b[A-Z]{2,}\b", words)]
    runs = [words for words in commands if len(words) > 2]
    assert len(runs) >= 6
    for words in runs:
        outcome = CliRunner().invoke(main, [*words, "--show-config"])
        assert outcome.exit_code == 0, (words, outcome.output)


def test_links_and_files_are_there() -> None:
    missing = []
    for path in DOCUMENTS:
        text = path.read_text()
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            # Pages of the reference are made with the site.
            made = link.startswith(("http", "reference/", "../reference/"))
            if not made and not (path.parent / link).exists():
                missing.append(f"{path.name}: {link}")
        for name in re.findall(r"`((?:neurosim|kernels|datasets|tests|docs|examples|benchmarks)/[\w/.-]*)`", text):
            # NAME and KIND stand for any.
            if not re.search(r"/(NAME|KIND)/", name) and not (ROOT / name).exists():
                missing.append(f"{path.name}: {name}")
    assert missing == []


def count_claims(page: str) -> dict[str, int]:
    """Return how many rows of claims of the page of kinds have each verdict; a claim with a condition holds, too."""
    table = page.split("## Which claims hold here")[1].split("## Notes", maxsplit=1)[0]
    rows = re.findall(r"^\| .* \| ([^|]+) \|$", table, re.M)[1:]
    begins = {
        "holds": r"holds\b",
        "with a condition": r"holds(?! \()\W*\w",
        "in part": r"in part\b",
        "does not": r"does not (come out|hold)\b",
        "cannot be told": r"cannot be told\b",
        "not tried": r"not tried\b",
    }
    counts = {name: sum(bool(re.match(words, row)) for row in rows) for name, words in begins.items()}
    assert sum(counts.values()) - counts["with a condition"] == len(rows), "a verdict begins with other words"
    return counts


def test_the_readme_counts_kinds_and_claims_as_their_page_does() -> None:
    pytest.importorskip("torch")
    from neurosim.language import KINDS

    page = (ROOT / "docs" / "kinds.md").read_text()
    assert f"neurosim has {len(KINDS)};" in page
    count = count_claims(page)
    tried = sum(count.values()) - count["with a condition"] - count["not tried"]
    told = f", {count['cannot be told']} cannot be told" if count["cannot be told"] else ""
    assert (
        f"| {len(KINDS)} | of {tried} claims of the sources that were tried here, {count['holds']} hold "
        f"({count['with a condition']} with a condition), "
        f"{count['in part']} in part, {count['does not']} do not{told}: [tables]"
    ) in README


def test_claims_that_do_not_come_out_say_what_to_use_instead() -> None:
    page = (ROOT / "docs" / "kinds.md").read_text()
    table, notes = page.split("## Which claims hold here")[1].split("## Notes", maxsplit=1)
    rows = re.findall(r"^\| .*\]\(#([\w-]+)\) \|.*\| (?:in part|does not)[^|]*\|$", table, re.M)
    bodies = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-"): body
        for title, body in re.findall(r"^### (.*)\n((?:(?!^###? ).*\n)*)", notes, re.M)
    }
    assert len(rows) >= 15
    for note in set(rows):
        assert bodies[note].count("**Instead.**") == rows.count(note), note


WALKS = (ROOT / "CONTRIBUTING.md").read_text().split("# Four walks")[1]


def steps_of(walk: str) -> list[tuple[Path, str]]:
    """Return the file and the dotted name of each function of a walk, in its order."""
    steps = []
    for name, functions in re.findall(r"^ *([\w/]+\.py) +([\w.]+(?:, _\w+)*)", walk, re.M):
        path = next(base / name for base in (ROOT, ROOT / "neurosim") if (base / name).is_file())
        steps += [(path, function) for function in functions.split(", ")]
    return steps


def test_the_walks_name_functions_that_are_there() -> None:
    steps = steps_of(WALKS)
    assert len(re.findall("^## ", WALKS, re.M)) == 4 and len(steps) > 60
    for path, function in steps:
        for part in function.split("."):
            assert re.search(rf"^\s*(def|class) {part}\b", path.read_text(), re.M), f"{path}: {function}"


def test_the_walk_of_a_parameter_is_the_order_of_calls(tmp_path: Path) -> None:
    """All functions of the walk but the compiled ones are called in its order."""
    from click.testing import CliRunner

    from neurosim.app.cli import main

    walk = WALKS.split("## A parameter, ")[1]
    steps = steps_of(walk)
    files = {path for path, _ in steps}
    assert f"It passes {len(files)} files" in walk
    config = tmp_path / "net.toml"
    config.write_text(
        "[simulation]\nduration = 0.01\nclock = 1e-3\n"
        '[[population]]\nname = "cells"\nshape = 3\nmodel = "LIF"\ntau_mem = 0.01\n'
    )
    calls: list[tuple[str, str]] = []
    names = {str(path) for path in files}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename in names:
            calls.append((frame.f_code.co_filename, frame.f_code.co_name))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        outcome = CliRunner().invoke(main, ["simulate", "--config", str(config), "--out", str(tmp_path / "run")])
    finally:
        sys.setprofile(before)
    assert outcome.exit_code == 0, outcome.output
    left = iter(calls)
    for path, function in steps:
        if "kernels" not in path.parts and function != "LIF.step":
            step = (str(path), function.rpartition(".")[2])
            assert step in left, f"{path}: {function} is not called here"


def test_the_site_fetches_nothing_for_its_search() -> None:
    """The plugin `offline` adds an address of another site unless a script of that name is given."""
    config = (ROOT / "mkdocs.yml").read_text()
    assert re.search(r"^  - search\n  - offline$", config, re.M) and "https:" not in config
    assert (ROOT / "docs" / re.search(r"polyfills: \[(.*iframe-worker\.js)\]", config)[1]).is_file()  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.browser
def test_a_page_from_a_file_has_a_worker(chromium: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "docs" / "assets" / "iframe-worker.js", tmp_path)
    (tmp_path / "part.js").write_text("const twice = (n) => 2 * n\n")
    (tmp_path / "work.js").write_text(
        "addEventListener('message', ({ data }) => importScripts('part.js').then(() => postMessage(twice(data))))\n"
    )
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><body><script src='iframe-worker.js'></script><script>\n"
        "const worker = new Worker('work.js')\n"
        "worker.addEventListener('message', ({ data }) => console.error('answer', data))\n"
        "worker.postMessage(21)\n</script></body>"
    )
    with Browser(chromium) as browser:
        said: list[str] = []
        for _ in range(20):
            said = [line for line in browser.open(page).console if "answer" in line]
            if said:
                break
    assert said == ["answer 42"]
