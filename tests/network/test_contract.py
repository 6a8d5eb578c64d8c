"""The contract of neurons holds for every model of the package, and finds every way of breaking it."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from helpers.samples import sampled

from neurosim import LIF
from neurosim.base import NeurosimInputError
from neurosim.network import IF, Neuron
from neurosim.network.neurons import NEURONS
from neurosim.network.neurons.contract import RULES, check_neuron, examine
from neurosim.network.neurons.trial import NeuronTrial

EXACT = {"LIF", "IF", "LI", "CubaLIF", "AlphaLIF", "AdaptiveLIF"}
# Every check compiles the model several times. The sample of the quick run: exact, and without spikes.
QUICK = {"LIF", "LI"}


@pytest.mark.parametrize("name", sampled(NEURONS, QUICK))
def test_every_model_holds_to_it(name: str) -> None:
    model = NEURONS[name]
    report = check_neuron(model())
    notes = {finding.rule: finding.note for finding in report.findings}
    assert tuple(notes) == RULES
    assert (notes["composes"] == "exact") == (model.__name__ in EXACT), notes
    assert "units at a time" in notes["vectors"]
    assert (notes["monotone"] == "never fires") == (model.__name__ == "LI"), notes


def imported(path: Path) -> Any:
    """A file of Python as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_holds_to_it() -> None:
    module = imported(Path(__file__).parents[2] / "examples" / "02_own_neuron.py")
    notes = {finding.rule: finding.note for finding in check_neuron(module.QIF()).findings}
    assert notes["composes"] == "order 1.0"


@dataclasses.dataclass(frozen=True)
class Good(Neuron):
    """A leaky integrator by Euler's method, to be broken below."""

    tau_mem: float = 0.02
    v_threshold: float = 1.0
    state: ClassVar[tuple[str, ...]] = ("v",)
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self) -> tuple[float, ...]:
        return (0.0,)

    def constants(self, dt: float) -> tuple[float, ...]:
        return 1 - dt / self.tau_mem, self.v_threshold

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        v = state[0]
        arrived = inputs[0]
        for i in range(spiked.size):
            u = v[i] * c[0] + arrived[i]
            fired = u > c[1]
            v[i] = c.dtype.type(0) if fired else u
            spiked[i] = fired


class Rates(Good):
    """Forgets dt."""

    def constants(self, dt: float) -> tuple[float, ...]:
        return 0.9, self.v_threshold


class Unequal(Good):
    def initial(self) -> tuple[float, ...]:
        return 0.0, 0.0


class Infinite(Good):
    def initial(self) -> tuple[float, ...]:
        return (np.inf,)


class Nameless(Good):
    state: ClassVar[tuple[str, ...]] = ("v", "v")


class Moody(Good):
    def constants(self, dt: float) -> tuple[float, ...]:
        return np.random.random(), 1.0  # noqa: NPY002 - that is what is wrong with it


class NotANumber(Good):
    def constants(self, dt: float) -> tuple[float, ...]:
        return np.nan, 1.0


class Uncompilable(Good):
    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        state[0] = sorted({}.items())


class Raises(Good):
    def constants(self, dt: float) -> tuple[float, ...]:
        raise ZeroDivisionError("dt")


class Beyond(Good):
    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        for i in range(spiked.size):
            state[0, i + 1] = inputs[0, i]
            spiked[i] = 0


class Unset(Good):
    """Leaves spiked as it was where nothing fires."""

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        for i in range(spiked.size):
            state[0, i] = state[0, i] * c[0] + inputs[0, i]
            if state[0, i] > c[1]:
                spiked[i] = 1


class Eats(Good):
    """Clears its inputs."""

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        for i in range(spiked.size):
            state[0, i] = state[0, i] * c[0] + inputs[0, i]
            inputs[0, i] = 0
            spiked[i] = 0


class Neighbours(Good):
    """Reads the unit before it."""

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        for i in range(spiked.size):
            state[0, i] = state[0, i] * c[0] + inputs[0, i] + state[0, max(i - 1, 0)] * c.dtype.type(0.01)
            spiked[i] = 0


class Explodes(Good):
    """A cubic without a bound."""

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        v = state[0]
        for i in range(spiked.size):
            u = v[i] + (c.dtype.type(1) - c[0]) * (v[i] * v[i] * v[i] - v[i]) + inputs[0, i]
            fired = u > c[1]
            v[i] = c.dtype.type(0) if fired else u
            spiked[i] = fired


class Tires(Good):
    """Much input silences it."""

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        v = state[0]
        for i in range(spiked.size):
            arrived = inputs[0, i]
            u = v[i] * c[0] + (arrived if arrived < c.dtype.type(0.015) else c.dtype.type(0))
            fired = u > c[1]
            v[i] = c.dtype.type(0) if fired else u
            spiked[i] = fired


BROKEN: dict[type[Good], tuple[str, str]] = {
    Rates: ("composes", "a step of dt / 64 moves the membrane 1 times as far as one of dt; multiply every rate by dt"),
    Unequal: ("declared", "initial() must give 1 numbers, one for each of state (got 2)"),
    Infinite: ("declared", "initial() must be finite"),
    Nameless: ("declared", "state must be different names"),
    Moody: ("declared", "the same numbers every time"),
    NotANumber: ("declared", "must hold no NaN"),
    Uncompilable: ("compiles", "raised TypingError"),
    Raises: ("declared", "raised ZeroDivisionError: dt"),
    Beyond: ("contained", "an index leaves its array"),
    Unset: ("contained", "was not set to 0 or 1"),
    Eats: ("contained", "its inputs or constants were written"),
    Neighbours: ("alone", "a unit's result depends on the other units in the call"),
    Explodes: ("finite", "v is not finite under an input of"),
    Tires: ("monotone", "if it is meant to, say monotone=False"),
}


@pytest.mark.parametrize("model", BROKEN, ids=lambda model: model.__name__)
def test_every_way_of_breaking_it_is_found(model: type[Good]) -> None:
    rule, words = BROKEN[model]
    with pytest.raises(NeurosimInputError) as caught:
        check_neuron(model())
    text = str(caught.value)
    assert text.startswith(f"{model.__name__}: breaks '{rule}' (") and words in text and "\n" not in text


def test_the_model_they_break_is_sound() -> None:
    notes = {finding.rule: finding.note for finding in check_neuron(Good()).findings}
    assert notes["composes"] == "order 1.0"


def test_what_is_meant_can_be_said() -> None:
    report = check_neuron(Tires(), monotone=False)
    assert "monotone" not in {finding.rule for finding in report.findings}


def test_several_faults_are_named_together() -> None:
    class Both(Rates):
        step = Explodes.step

    with pytest.raises(NeurosimInputError, match=r"breaks 'composes'.*; also broken: .*finite"):
        check_neuron(Both())


def test_the_report_reads() -> None:
    lines = str(examine(Rates())).splitlines()
    assert lines[0] == "Rates" and len(lines) == 1 + len(RULES)
    assert any(
        line.startswith("  composes     BROKEN  two half steps make a step: a step of dt / 64") for line in lines
    )
    assert any(line.startswith("  declared     holds   ") for line in lines)


def test_scales_are_found_by_trying() -> None:
    trial = NeuronTrial(NEURONS["CobaLIF"](), 1e-4)
    sizes = dict(zip(NEURONS["CobaLIF"].state, trial.sizes, strict=True))
    assert trial.range == pytest.approx(0.010) and sizes["refractory"] == 0
    assert 1e-10 < sizes["g_excitatory"] < 1e-7
    assert trial.fires and trial.neuron.receptors[trial.receptor] == "excitatory"
    assert NeuronTrial(LIF(v_threshold=-0.05, v_leak=-0.07, v_reset=-0.07), 1e-4).weight < 0.02
    assert not NeuronTrial(NEURONS["LI"](), 1e-4).fires
    assert NeuronTrial(IF(), 1e-3).fires


def test_the_page_on_adding_a_neuron_is_true(tmp_path: Path) -> None:
    """One screen, and its code holds to the contract."""
    page = (Path(__file__).parents[2] / "docs" / "adding-a-neuron.md").read_text()
    assert len(page.splitlines()) <= 61
    code = page.split("```python\n")[1].split("```")[0]
    path = tmp_path / "page.py"
    path.write_text(code)
    assert {finding.rule for finding in check_neuron(imported(path).QIF()).findings} == set(RULES)
