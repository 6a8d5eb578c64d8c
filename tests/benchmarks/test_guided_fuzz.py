"""The guided fuzzer sees which lines of the package a file reaches, and keeps files by their content."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from fuzz import keep, reached_lines

import neurosim
from neurosim import NeurosimError
from neurosim.base.json_toml import read_json

PACKAGE = Path(neurosim.__file__).parent


def test_a_broken_file_reaches_other_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    reached = {}
    for name, text in (("sound", '{"a": 1}'), ("same", '{"b": 22}'), ("broken", '{"a": ')):
        path.write_text(text)

        def read() -> object:
            with contextlib.suppress(NeurosimError):
                return read_json(path)
            return None

        before = sys.gettrace()
        found, reached[name] = reached_lines(read)
        assert sys.gettrace() is before
        assert found == {"sound": {"a": 1}, "same": {"b": 22}, "broken": None}[name]
    assert reached["sound"] == reached["same"] and reached["broken"] - reached["sound"]
    assert all(Path(file).is_relative_to(PACKAGE) for file, _, _ in reached["broken"])


def test_files_are_kept_once(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    mutant = tmp_path / "mutant"
    for text in ("a", "b", "a"):
        mutant.write_text(text)
        assert keep(mutant, corpus).read_text() == text
    assert len(list(corpus.iterdir())) == 2
