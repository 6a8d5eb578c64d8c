"""The files of a release agree: version, name, licence, dependencies, addresses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import neurosim

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = (ROOT / "recipes" / "conda-forge" / "meta.yaml").read_text()


def test_versions_agree() -> None:
    citation = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M)
    recipe = re.search(r'{% set version = "(.*)" %}', RECIPE)
    assert citation and recipe
    assert PROJECT["version"] == neurosim.__version__ == citation[1] == recipe[1]


def test_authors_and_licence_agree() -> None:
    (author,) = PROJECT["authors"]
    archive = json.loads((ROOT / ".zenodo.json").read_text())
    assert author["name"] == archive["creators"][0]["name"] == "neurosim developers"
    assert f"name: {author['name']}" in (ROOT / "CITATION.cff").read_text()
    assert f"name: {author['name']}" in (ROOT / "paper.md").read_text()
    assert PROJECT["license"] == archive["license"] and f"license: {PROJECT['license']}" in RECIPE


def test_the_recipe_needs_what_the_package_needs() -> None:
    run = RECIPE.split("  run:\n")[1].split("  run_constrained:")[0]
    listed = dict(re.findall(r"- ([\w-]+) (>=\S+)", run))
    listed.pop("python", None)
    expected = {each.name: str(each.specifier) for each in map(Requirement, PROJECT["dependencies"])}
    assert listed == expected


def test_the_licence_of_everything_that_is_installed_is_on_the_page() -> None:
    page = (ROOT / "docs" / "licences.md").read_text()
    expected = [
        *PROJECT["dependencies"],
        *(each for extra in PROJECT["optional-dependencies"].values() for each in extra),
    ]
    names = {Requirement(each).name for each in expected} - {PROJECT["name"]}
    rows = {name for row in re.findall(r"^\| ([^|]*) \|", page, re.M) for name in re.split(r", | \(.*?\)", row)}
    assert {"numpy", "torch"} <= names and names - rows == set()


def test_badges_say_what_the_metadata_say() -> None:
    versions = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)]
    pictures = ROOT / "docs" / "pictures"
    assert f">{versions[0]} to {versions[-1]}</text>" in (pictures / "badge-python.svg").read_text()
    assert f">{PROJECT['license']}</text>" in (pictures / "badge-licence.svg").read_text()
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", (pictures / "badge-python.svg").read_text())


def test_every_extra_is_tried_and_described() -> None:
    extras = set(PROJECT["optional-dependencies"])
    script = (ROOT / "recipes" / "try_extra.py").read_text()
    build = (ROOT / "recipes" / "build.sh").read_text()
    tried = set(re.findall(r"[a-z]\w+", " ".join(re.findall(r'^(?:ALL|EXTRAS)="(.*)"$', build, re.M)))) - {"ALL"}
    page = (ROOT / "docs" / "start.md").read_text()
    described = {name for row in re.findall(r"^\| (`.*?) \|", page, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert extras <= tried and extras <= described
    assert all(f"def {extra}()" in script for extra in extras - {"all"})


def test_the_paper_has_the_sections_of_its_journal_and_its_references() -> None:
    paper = (ROOT / "paper.md").read_text()
    headings = re.findall(r"^# (.*)$", paper, re.M)
    assert {"Summary", "Statement of need", "State of the field", "Acknowledgements", "References"} <= set(headings)
    assert len(paper.split()) < 1_750
    keys = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "paper.bib").read_text(), re.M))
    assert set(re.findall(r"@(\w+)[\];]", paper)) == keys


@pytest.mark.slow
def test_one_variable_gives_all_addresses(tmp_path: Path) -> None:
    address = "https://example.org/neurosim"
    environment = {**os.environ, "NEUROSIM_REPOSITORY": address + "/"}
    program = "import sys; from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", program, tmp_path]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (metadata,) = tmp_path.glob("*.dist-info/METADATA")
    lines = metadata.read_text().splitlines()
    urls = [line.removeprefix("Project-URL: ") for line in lines if line.startswith("Project-URL: ")]
    assert len(urls) == 4 and all(address + "/" in f"{url}/" for url in urls)
    assert "Author: neurosim developers" in lines
