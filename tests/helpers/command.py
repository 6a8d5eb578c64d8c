"""The command line called in the process of the tests."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from neurosim.app.cli import main


def neurosim(*words: object, expect: int = 0) -> Result:
    """Run `neurosim WORDS`; it must exit with `expect`."""
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == expect, result.output
    return result


def result_of(*words: object) -> dict[str, Any]:
    """Return what `neurosim WORDS --json --quiet` prints."""
    found: dict[str, Any] = json.loads(neurosim(*words, "--json", "--quiet").stdout)
    return found


def refused(*words: object, expect: int = 2) -> str:
    """Return the one line on stderr of a command that fails; stdout must be empty."""
    result = neurosim(*words, expect=expect)
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr.rstrip()
