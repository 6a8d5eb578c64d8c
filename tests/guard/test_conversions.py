"""Conversions are the plain coding, in every form, whatever kind, coding, weights, batch and threads meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.conversions import Conversion, hold
from guard.pairs_conversions import UNSIGNED, cases, table
from guard.spike_coding import SCHEMES as ROUNDING_OF
from neurosim.base import NeurosimInputError
from neurosim.language import SCHEMES, Coding

# One of each scheme, each of another kind; the others are slow.
KIND_OF = {
    "ternary": "gla",
    "calibrated": "gated_deltanet",
    "learned": "retention",
    "qcfs": "softmax",
    "stbif": "hgrn2",
}
QUICK = [next(case for case in cases() if (case.scheme, case.kind) == (s, k)) for s, k in KIND_OF.items()]


@pytest.fixture(autouse=True)
def brief_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurosim.language.conversion.convert.LEARNED_STEPS", 1)


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_a_conversion_of_each_scheme_is_the_plain_coding(case: Conversion, tmp_path: Path) -> None:
    hold(case, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in cases() if case not in QUICK], ids=str)
def test_every_pair_of_features_in_a_conversion(case: Conversion, tmp_path: Path) -> None:
    hold(case, tmp_path)


def test_every_pair_has_met() -> None:
    assert table().is_full(), table().render()


def test_reasons_of_the_table_are_true() -> None:
    assert {name: scheme.rounding for name, scheme in SCHEMES.items()} == ROUNDING_OF
    for expansion in UNSIGNED:
        with pytest.raises(NeurosimInputError, match=r"Coding\.expansion: must have a sign"):
            Coding(expansion=expansion)
