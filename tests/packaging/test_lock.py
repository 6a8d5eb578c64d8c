"""requirements.lock has tested versions of everything that pyproject.toml names; the start page has its extras."""

from __future__ import annotations

import sys
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Not in the environment of the tests, among them a part of the standard library from Python 3.11 on.
UNTESTED = {"dask", "dv-processing", "neurobench", "rosbags", "tomli"}


def named() -> list[Requirement]:
    extras = [text for listed in PROJECT["optional-dependencies"].values() for text in listed]
    every = [Requirement(text) for text in [*PROJECT["dependencies"], *extras]]
    return [each for each in every if each.name not in {*UNTESTED, PROJECT["name"]}]


def test_every_dependency_has_a_tested_version() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    pairs = [line.split("==") for line in lines]
    versions = {name.lower().replace("_", "-"): version for name, version in pairs}
    untested = [str(each) for each in named() if not each.specifier.contains(versions[each.name.lower()])]
    assert len(named()) > 50 and untested == []


def test_the_start_page_says_what_an_extra_is_for() -> None:
    rows = [line for line in (ROOT / "docs" / "start.md").read_text().splitlines() if line.startswith("| `")]
    extras = PROJECT["optional-dependencies"]
    assert [extra for extra in extras if not any(f"`{extra}`" in row.split("|")[1] for row in rows)] == []
