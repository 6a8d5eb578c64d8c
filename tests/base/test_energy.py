"""Energy estimates against arithmetic by hand, the published tables, and profiles a user writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.layer_counts import LAYER

from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.base.measure.profiles import read
from neurosim.engine import PROFILES, EnergyRange, energy

HOROWITZ = PROFILES["horowitz45"]
PJ = 1e-12


def both(value: float) -> EnergyRange:
    return EnergyRange(pytest.approx(value), pytest.approx(value))


@pytest.mark.parametrize(
    ("kind", "bits", "mac"), [("float", 32, 4.6), ("float", 16, 1.5), ("int", 8, 0.23), ("int", 32, 3.2)]
)
def test_published_cost_of_a_mac(kind: str, bits: int, mac: float) -> None:
    cost = HOROWITZ.operation(kind, bits)
    assert cost is not None and cost.add + cost.multiply == pytest.approx(mac)


@pytest.mark.parametrize(("kind", "bits", "mac"), [("float", 32, 1.69), ("float", 16, 0.5), ("int", 8, 0.077)])
def test_published_cost_of_a_mac_in_7_nm(kind: str, bits: int, mac: float) -> None:
    cost = PROFILES["jouppi7"].operation(kind, bits)
    assert cost is not None and cost.add + cost.multiply == pytest.approx(mac)


def test_a_smaller_process_saves_arithmetic_more_than_memory() -> None:
    """The conclusion of the table of 7 nm: logic improved more than SRAM, and SRAM more than DRAM."""
    small = PROFILES["jouppi7"]
    assert small.memory is not None and HOROWITZ.memory is not None
    logic = [a.add / b.add for a, b in zip(HOROWITZ.arithmetic, small.arithmetic, strict=True)]
    sram = HOROWITZ.memory.per_bit(8192)[0] / small.memory.per_bit(8192)[0]
    assert min(logic) > sram > 1 and small.memory.dram[1] <= HOROWITZ.memory.dram[0]


def test_narrow_weights_use_the_next_wider_arithmetic() -> None:
    cost = HOROWITZ.operation("int", 4)
    assert cost is not None and cost.bits == 8
    assert HOROWITZ.operation("float", 64) is None


@pytest.mark.parametrize(("size", "cost"), [(1, 10), (8192, 10), (32768, 20), (1048576, 100)])
def test_memory_costs_are_the_table_at_its_points(size: int, cost: float) -> None:
    assert HOROWITZ.memory is not None
    assert HOROWITZ.memory.per_bit(size) == (pytest.approx(cost / 64), pytest.approx(cost / 64))


def test_memory_costs_rise_between_points_and_leave_the_chip_above() -> None:
    memory = HOROWITZ.memory
    assert memory is not None
    costs = [memory.per_bit(2**k)[0] for k in range(10, 21)]
    assert costs == sorted(costs)
    assert memory.per_bit(2**14)[0] * 64 == pytest.approx((10 * 20) ** 0.5)
    assert memory.per_bit(2**20 + 1) == (1300 / 64, 2600 / 64)
    # A 32-bit weight from SRAM costs 5 to 50 pJ.
    assert [memory.per_bit(size)[0] * 32 for size in (8192, 2**20)] == [pytest.approx(5), pytest.approx(50)]


def test_estimates_by_hand() -> None:
    found = energy([LAYER], samples=5)
    assert found.compute_only == both((15 * 0.9 + 30 * 4.6) * PJ / 5)
    moved = 15 * 32 + 2 * (15 * 32 + 30 * 32) + (10 + 6) * 2
    assert found.memory_aware == both((15 * 0.9 + 30 * 4.6 + moved * 10 / 64) * PJ / 5)
    assert found.dense_compute_only == both((240 + 60) * 4.6 * PJ / 5)
    dense = 240 * 32 + 2 * 60 * 32 + (4 * 20 + 60) * 32
    assert found.dense_memory_aware == both(((240 + 60) * 4.6 + dense * 10 / 64) * PJ / 5)


def test_operations_on_values_cost_a_mac() -> None:
    found = energy([replace(LAYER, binary_input=False)], samples=1)
    assert found.compute_only == both((15 + 30) * 4.6 * PJ)


def test_the_items_add_up() -> None:
    found = energy([LAYER, replace(LAYER, parameter_bytes=2**21)], samples=3)
    for view, name in (("as_run", "memory_aware"), ("dense", "dense_memory_aware")):
        parts = found.items[view].values()
        whole = getattr(found, name)
        for end in ("low", "high"):
            assert sum(getattr(item, end) for item in parts) == pytest.approx(getattr(whole, end))


def test_weights_too_large_for_the_chip_give_a_range() -> None:
    large = replace(LAYER, parameter_bytes=2**21)
    found = energy([large], samples=1)
    weights = found.items["as_run"]["weights"]
    assert (weights.low, weights.high) == pytest.approx((15 * 32 * 1300 / 64 * PJ, 15 * 32 * 2600 / 64 * PJ))
    assert found.memory_aware.low < found.memory_aware.high
    assert [m.weights_in for m in found.memories] == ["DRAM"]


def test_an_event_driven_run_as_busy_as_a_dense_one_saves_nothing_on_weights() -> None:
    busy = replace(LAYER, synaptic_operations=240, input_events=80, membrane_updates=60, binary_input=False)
    items = energy([busy], samples=1).items
    assert items["as_run"]["synapses"] == items["dense"]["synapses"]
    assert items["as_run"]["weights"] == items["dense"]["weights"]


@pytest.mark.parametrize(
    ("chip", "low", "high"),
    [("loihi", 23.6, 23.6), ("truenorth", 2.5, 26), ("spinnaker2", 10, 10), ("odin", 12.7, 12.7), ("seneca", 2.8, 2.8)],
)
def test_chips_cost_what_was_published(chip: str, low: float, high: float) -> None:
    found = energy([LAYER], samples=5, profile=chip)
    expected = EnergyRange(pytest.approx(15 * low * PJ / 5), pytest.approx(15 * high * PJ / 5))
    assert found.memory_aware == expected
    assert found.compute_only is None and "one figure per synaptic event" in found.reasons["compute_only"]
    beside = {p.profile: p.energy for p in energy([LAYER], samples=5).published}
    assert beside[chip] == expected


def test_an_unpublished_figure_is_blank() -> None:
    found = energy([LAYER], samples=1, profile="loihi2")
    assert found.memory_aware is None
    assert found.reasons["memory_aware"] == "no energy per synaptic event has been published"


def test_unknown_counts_and_widths_are_null_with_the_reason() -> None:
    unknown = replace(LAYER, membrane_updates=None, reasons={"membrane_updates": "not counted"})
    found = energy([unknown], samples=1)
    assert found.compute_only is None and found.reasons["compute_only"] == "hidden: not counted"
    assert found.dense_compute_only is not None
    wide = energy([replace(LAYER, weight_bits=64)], samples=1)
    assert wide.reasons["dense_memory_aware"] == "hidden: horowitz45 has no figure for 64-bit float arithmetic"


def test_every_profile_says_where_it_comes_from_and_goes_through_json() -> None:
    for name, profile in PROFILES.items():
        assert profile.title and profile.node and profile.source and profile.scope
        assert json.loads(json.dumps(energy([LAYER], 2, name).to_dict()))["profile"] == name


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(
        NeurosimInputError, match=r"energy profile: unknown name 'horowitz'; did you mean 'horowitz45'\?"
    ):
        energy([LAYER], 1, "horowitz")


CHIP = 'title = "Mine"\nnode = "5 nm"\nsource = "me"\nscope = "all"\n'


def test_a_user_adds_a_chip(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(CHIP + "[synaptic_event]\nlow = 1.0\nhigh = 2\n")
    for given in (path, str(path)):
        found = energy([LAYER], 1, given).memory_aware
        assert (found.low, found.high) == pytest.approx((15e-12, 30e-12))
    with pytest.raises(NeurosimMissingError, match=r"no\.toml: no such file"):
        energy([LAYER], 1, tmp_path / "no.toml")


ARITHMETIC = '[[arithmetic]]\ntype = "int"\nbits = 8\nadd = 1\nmultiply = 1\n'
MEMORY = "[memory]\naccess_bits = 64\nsram = [[8, 1.0]]\ndram = [1.0, 2.0]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", r"expected TOML"),
        (
            'title = "x"\n' + ARITHMETIC + MEMORY,
            r"profile: needs the fields node, source, scope \(got name",
        ),
        (CHIP, r"needs either \[\[arithmetic\]\] with \[memory\], or \[synaptic_event\] \(got none\)"),
        (CHIP + "[synaptic_event]\nlow = 0\nhigh = 1", r"\[synaptic_event\] low: must be a number > 0 \(got 0.0\)"),
        (
            CHIP + "[synaptic_event]\nlow = 3\nhigh = 1",
            r"low and high: must be \(low, high\), numbers > 0",
        ),
        (CHIP + "[synaptic_event]\nlow = true\nhigh = 1", r"profile.synaptic_event.low: must be a number \(got True\)"),
        (CHIP + "[synaptic_event]\nlow = 1\nhihg = 1", r"unknown key 'hihg'; did you mean 'high'\?"),
        (
            CHIP + "scoop = 1\n[synaptic_event]\nlow = 1\nhigh = 1",
            r"unknown key 'scoop'; did you mean 'scope'\?",
        ),
        (
            CHIP + ARITHMETIC,
            r"\[\[arithmetic\]\] with \[memory\], or \[synaptic_event\] \(got arithmetic\)",
        ),
        (CHIP + ARITHMETIC.replace("int", "bool") + MEMORY, r"profile.arithmetic\[0\].type: must be 'float' or 'int'"),
        (CHIP + ARITHMETIC + MEMORY.replace("[[8, 1.0]]", "[[8, 1], [8, 2]]"), r"\[memory\] sram: must be \[\[bytes"),
        (CHIP + ARITHMETIC + MEMORY.replace("[[8, 1.0]]", "[]"), r"\[memory\] sram: must be \[\[bytes"),
        (CHIP + ARITHMETIC + MEMORY.replace("[1.0, 2.0]", "[2.0, 1.0]"), r"\[memory\] dram: must be \(low, high\)"),
        (CHIP + ARITHMETIC + MEMORY.replace("[1.0, 2.0]", "[nan, 1.0]"), r"\[memory\] dram: must be \(low, high\)"),
    ],
)
def test_a_malformed_profile_names_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(NeurosimInputError, match=message) as error:
        read(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_an_estimate_is_had_by_name_or_its_absence_said() -> None:
    known = energy([LAYER], 1)
    assert known["compute_only"] is known.compute_only
    with pytest.raises(
        NeurosimInputError, match=r"EnergyEstimates: unknown name 'compute'; did you mean 'compute_only'"
    ):
        _ = known["compute"]
    chip = energy([LAYER], 1, "loihi")
    with pytest.raises(NeurosimInputError, match=r"EnergyEstimates\['compute_only'\]: is not known, because "):
        _ = chip["compute_only"]
