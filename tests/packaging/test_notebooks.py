"""Notebooks of the tutorials: valid, whole, and run by a kernel where one is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.docs_tools import ROOT, load_tool

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
notebooks = load_tool("notebooks")
gallery = load_tool("gallery")


def sources(tree: dict[str, Any], kind: str) -> list[str]:
    return [cell["source"] for cell in tree["cells"] if cell["cell_type"] == kind]


def test_a_notebook_is_written_for_each_tutorial(tmp_path: Path) -> None:
    assert len(TUTORIALS) >= 8
    notebooks.main(tmp_path, TUTORIALS)
    for path in TUTORIALS:
        tree = json.loads((tmp_path / path.name).with_suffix(".ipynb").read_text())
        assert (tree["nbformat"], tree["nbformat_minor"]) == (4, 5)
        names = [cell["id"] for cell in tree["cells"]]
        assert len(set(names)) == len(names)
        # What a reader without a checkout cannot have is written by a cell.
        commands = [source for source in sources(tree, "code") if source.startswith("!")]
        assert not any("examples/" in command for command in commands), path.name


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_notebook_has_every_program_of_its_page_in_order(path: Path) -> None:
    page = path.read_text()
    found = notebooks.programs.blocks(page)
    programs = [b.text.rstrip("\n") for b in found if b.language == "python" and not b.title]
    cells = [cell.removesuffix(";") for cell in sources(notebooks.notebook(page, {}, {}), "code")]
    assert [cell for cell in cells if cell in programs] == programs
    files = {b.title for b in found if b.title}
    assert files <= {cell.split("\n")[0].removeprefix("%%writefile ") for cell in cells}


def test_a_notebook_shows_the_text_and_the_pictures_of_the_run() -> None:
    page = "# Title\n\nWords, and [a link](../page.md).\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\nEnd.\n"
    tree = notebooks.notebook(page, {"0": {"text": "1\n", "pictures": ["figure.svg"]}}, {"figure.svg": "<svg/>"})
    text, install, program, end = tree["cells"]
    assert text["source"] == "# Title\n\nWords, and a link." and end["source"] == "End."
    assert "\n%pip install" in install["source"] and program["source"] == "print(1)"
    assert [output["output_type"] for output in program["outputs"]] == ["stream", "display_data"]


def test_a_notebook_installs_torch_only_where_its_page_says_so_and_shows_no_value_of_a_picture() -> None:
    program = "```python\naxes.set_title('x')\n```\n"
    for words, extras in (("", "[plot]"), ("Needs torch.", "[train,plot]")):
        install, drawn = sources(notebooks.notebook(f"# Title\n\n{words}\n\n{program}", {}, {}), "code")
        assert extras in install and drawn == "axes.set_title('x');"


def test_a_notebook_with_commands_finds_the_programs_of_its_environment() -> None:
    _, path, command = sources(notebooks.notebook("# Title\n\n```sh\nneurosim demo\n```\n", {}, {}), "code")
    assert command == "!neurosim demo" and 'os.environ["PATH"]' in path
    assert len(sources(notebooks.notebook("# Title\n\n```python\nprint(1)\n```\n", {}, {}), "code")) == 2


def test_the_gallery_has_a_picture_and_a_program_of_each_example_that_draws() -> None:
    page = gallery.entries()
    assert gallery.PLACE in (ROOT / "docs" / "gallery.md").read_text()
    assert len(gallery.examples()) >= 10
    for name, picture in gallery.examples().items():
        assert f"(examples/{name}.py.txt)" in page and f"(gallery-files/{name}{picture.suffix}#on-white)" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own-neuron", "own-data", "networks", "recordings"])
def test_a_kernel_runs_a_notebook(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs nbclient and ipykernel, which no extra installs: `pip install nbclient ipykernel`."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    tree = notebooks.notebook((ROOT / "docs" / "tutorials" / f"{name}.md").read_text(), {}, {})
    tree["cells"] = [cell for cell in tree["cells"] if "%pip" not in cell["source"]]
    for cell in tree["cells"]:
        # The command is not installed in the environment of the tests.
        cell["source"] = cell["source"].replace("!neurosim ", f"!{sys.executable} -m neurosim ")
    whole = nbformat.from_dict(tree)
    nbformat.validate(whole)
    done = nbclient.NotebookClient(
        whole, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    with done.setup_kernel():
        for number, cell in enumerate(whole.cells):
            done.execute_cell(cell, number)
    pictures = [
        output for cell in whole.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert pictures
