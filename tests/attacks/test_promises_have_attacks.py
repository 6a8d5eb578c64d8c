"""The table of SECURITY.md names every file of attacks, and no other."""

from __future__ import annotations

import re
from pathlib import Path


def test_each_promise_has_its_file() -> None:
    here = Path(__file__)
    text = (here.parents[2] / "SECURITY.md").read_text()
    named = re.findall(r"\| \[`(test_\w+\.py)`\]\(tests/attacks/\1\) \|", text)
    assert sorted(named) == sorted(file.name for file in here.parent.glob("test_*.py") if file != here)
    for name in named:
        assert (here.parent / name).read_text().startswith('"""Promise: ')
