"""Compiled code of modules that a program wrote is cached by their text and the text of what they import."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from numba import types as numba_types
from numba.core import config

from neurosim.kernels.tools import cache_folder, compiled, pointers, written
from neurosim.network import equations
from neurosim.network.neurons.trial import NeuronTrial

NUMBER = numba_types.float64


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Compile into an empty folder."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    cache_folder.cache_folder.cache_clear()
    yield cache_folder.cache_folder()
    cache_folder.cache_folder.cache_clear()


def written_module(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Run a text as a module, and make its text known."""
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(written.texts, name, text)
    exec(compile(text, f"<{name}>", "exec"), module.__dict__)
    return module


def test_the_same_text_is_compiled_once(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hits = []
    for text in ("def f(x):\n    return 2 * x\n",) * 2 + ("def f(x):\n    return 3 * x\n",):
        module = written_module("written_here", text, monkeypatch)
        made = written.callback(module.f, NUMBER(NUMBER))
        hits.append((made.ctypes(1.5), made.cache_hits))
        other = written.dispatcher(module.f)
        other.compile((NUMBER,))
        assert other(1.5) == made.ctypes(1.5)
    assert hits == [(3.0, 0), (3.0, 1), (4.5, 0)]
    assert all(file.name.startswith("written_here.f-") for file in own_folder.glob("*.nb*"))


def test_what_is_called_by_its_address_is_cached_too(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = written_module("written_there", "def add(x):\n    x[0] += 1\n", monkeypatch)
    address = pointers.address_of(module.add, numba_types.CPointer(NUMBER))
    assert address and list(own_folder.glob("written_there.add-*.nbc"))


def test_a_change_of_what_a_text_imports_changes_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = types.ModuleType("rates")
    rates.__file__ = str(tmp_path / "rates.py")
    monkeypatch.setitem(sys.modules, f"{compiled._ROOT}tools.rates", rates)
    digests = []
    for rate in (1, 2):
        (tmp_path / "rates.py").write_text(f"RATE = {rate}\n")
        for each in (compiled.digest, compiled._text, written.digest):
            each.cache_clear()
        for line in ("import tools, rates", "import rates"):
            digests.append(written.digest(f"from {compiled._ROOT}tools {line}\n"))
        digests.append(written.digest(f"from {compiled._ROOT}tools.rates import RATE\n"))
    assert len(set(digests)) == 6
    assert written.digest("from elsewhere import rates\n") not in digests


def test_a_function_without_text_and_file_is_compiled_without_a_cache() -> None:
    scope: dict = {"__name__": "nowhere"}
    exec("def f(x):\n    return x + 1\n", scope)
    made = written.dispatcher(scope["f"])
    made.compile((NUMBER,))
    assert made(1.0) == 2.0
    with pytest.raises(RuntimeError, match="cannot cache"):
        written.callback(scope["f"], NUMBER(NUMBER))


def test_equations_are_known_by_their_text() -> None:
    first, again, other = (equations(f"dv/dt = -v / tau_mem + {k}", parameters={"tau_mem": 0.02}) for k in (1, 1, 2))
    assert first is again and other is not first and written.texts[first.__module__] == first.source
    step = NeuronTrial.compile(first, np.dtype(np.float64))
    assert step is NeuronTrial.compile(again, np.dtype(np.float64))
    assert isinstance(step._cache, written.WrittenCache)
