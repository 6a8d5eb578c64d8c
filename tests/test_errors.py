import numpy as np
import pytest

from neurosim.errors import NeurosimFormatError, NeurosimInputError, NeurosimWriteError, lookup, require


def test_check_names_thing_rule_and_value():
    with pytest.raises(NeurosimInputError, match=r"^LIF\.tau_mem: must be > 0 s \(got -0\.02\)$"):
        require(False, "LIF.tau_mem", "must be > 0 s", np.float64(-0.02))
    require(True, "LIF.tau_mem", "must be > 0 s", -1)


def test_pick_suggests_the_nearest_name():
    table = {"ridge": 1, "logistic": 2}
    assert lookup(table, "ridge", "readout.kind") == 1
    with pytest.raises(NeurosimInputError, match=r"did you mean 'ridge'\? choose from logistic, ridge"):
        lookup(table, "rigde", "readout.kind")
    with pytest.raises(NeurosimInputError, match=r"unknown name 'zzzz'; choose from"):
        lookup(table, "zzzz", "readout.kind")


def test_exit_codes():
    assert NeurosimInputError("").exit_code == NeurosimFormatError("").exit_code == 2
    assert NeurosimWriteError("").exit_code == 1
