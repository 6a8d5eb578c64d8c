import pickle

import numpy as np
import pytest

from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimWriteError
from neurosim.base.errors import MAX_TEXT, lookup, nearest, require, unit_hint


def test_check_names_thing_rule_and_value():
    with pytest.raises(NeurosimInputError, match=r"^LIF\.tau_mem: must be > 0 s \(got -0\.02\)$"):
        require(False, "LIF.tau_mem", "must be > 0 s", np.float64(-0.02))
    require(True, "LIF.tau_mem", "must be > 0 s", -1)


def test_pick_suggests_the_nearest_name():
    table = {"ridge": 1, "logistic": 2}
    assert lookup(table, "ridge", "readout.kind") == 1
    with pytest.raises(NeurosimInputError, match=r"did you mean 'ridge'\? choose from logistic, ridge"):
        lookup(table, "rigde", "readout.kind")
    with pytest.raises(NeurosimInputError, match=r"did you mean 'LIF'\?"):
        lookup(dict.fromkeys(["IF", "LI", "LIF"]), "LFI", "model")
    with pytest.raises(NeurosimInputError, match=r"unknown name 'zzzz'; choose from"):
        lookup(table, "zzzz", "readout.kind")


def test_exit_codes():
    assert NeurosimInputError("").exit_code == NeurosimFormatError("").exit_code == 2
    assert NeurosimWriteError("").exit_code == 1


@pytest.mark.parametrize(
    ("value", "written"),
    [("20 ms", "0.02"), ("20ms", "0.02"), ("1.5us", "1.5e-06"), ("3 kHz", "3000"), ("2 s", "2"), ("-70mV", "-0.07")],
)
def test_a_number_with_a_unit_is_met_with_its_si_value(value: str, written: str) -> None:
    assert unit_hint(value) == f"; numbers are in SI units, without the unit: {written}"


@pytest.mark.parametrize("value", ["ms", "20", "1.2.3 s", "twenty ms", "20 m", ".s", 20, None, True])
def test_other_values_get_no_hint_of_a_unit(value: object) -> None:
    assert unit_hint(value) == ""


def test_a_message_is_readable_on_any_terminal() -> None:
    error = NeurosimInputError("Network: two are named '\x1b[31mred\x07' in\n\u202e")
    assert str(error) == "Network: two are named '\\x1b[31mred\\x07' in\n\\u202e"
    long = str(NeurosimInputError("begin " + "x" * 200_000 + " end"))
    assert len(long) < MAX_TEXT + 60 and long.startswith("begin x") and long.endswith("x end")
    assert "characters left out" in long
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_name_of_another_program_leads_to_ours() -> None:
    assert nearest("size", ["spikes", "shape"]) == "shape" and nearest("dt", ["clock", "dx"]) == "clock"
    assert nearest("size", ["sizes"]) == "sizes"
    assert nearest("all_to_all", ["OneToOne", "AllToAll"]) == "AllToAll" and nearest("?", ["!"]) is None
