"""The README's programs run, and the documents name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neurosim import catalog, files

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_programs_of_the_readme_run(elsewhere: None) -> None:
    torch = pytest.importorskip("torch")
    from neurosim.attention import LanguageConfig, LanguageModel, MixerSpec, write_model

    files.write_nmnist("recording.bin", catalog.load("digits", "test")[0])
    write_model("checkpoint", LanguageModel(LanguageConfig((MixerSpec("gla"),), 32, 32)))
    names: dict[str, object] = {"token": torch.tensor([1]), "state": None}
    # One epoch instead of twelve.
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(compile(block.replace("epochs=12", "epochs=1"), "README.md", "exec"), names)
    assert names["logits"].shape == (1, 32)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_the_programs_of_the_docs_run(path: Path, elsewhere: None) -> None:
    """A block that begins with an import is a program; others are fragments. Settings go into pipeline.toml."""
    names: dict[str, object] = {}
    for block in re.findall(r"```toml\n(.*?)```", path.read_text(), re.S):
        Path("pipeline.toml").write_text(block)
    for block in re.findall(r"```python\n((?:import|from) .*?)```", path.read_text(), re.S):
        exec(compile(block, path.name, "exec"), names)


def test_the_commands_of_the_readme_are_there() -> None:
    from neurosim.cli import COMMANDS

    named = set(re.findall(r"^neurosim ([a-z]+)", README, re.M))
    assert len(named) > 5 and named <= set(COMMANDS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_files_are_there(path: Path) -> None:
    text = path.read_text()
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert link.startswith("http") or (path.parent / link).exists(), link
    for name in re.findall(r"`((?:neurosim|kernels|datasets|tests|docs|examples|benchmarks)/[\w/.-]*)`", text):
        # NAME and KIND stand for any.
        assert re.search(r"/(NAME|KIND)/", name) or (ROOT / name).exists(), name


def test_the_walks_name_functions_that_are_there() -> None:
    walks = (ROOT / "CONTRIBUTING.md").read_text().split("# Three walks")[1]
    steps = re.findall(r"^ *([\w/]+\.py) +([A-Za-z_.]+)", walks, re.M)
    assert len(steps) > 25
    for name, function in steps:
        path = next(base / name for base in (ROOT, ROOT / "neurosim") if (base / name).is_file())
        for part in function.split("."):
            assert re.search(rf"^\s*(def|class) {part}\b", path.read_text(), re.M), f"{name}: {function}"
