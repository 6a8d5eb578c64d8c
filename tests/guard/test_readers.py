"""Recordings of every format come back event for event, whatever sensor, polarities and clock they have."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.encoders import ENCODERS
from guard.pairs_readers import cases, table
from guard.readings import hold


@pytest.mark.parametrize("name", ENCODERS)
def test_a_recording_of_each_format_comes_back(name: str, tmp_path: Path) -> None:
    hold(next(case for case in cases() if case.format == name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_every_pair_of_features_of_a_recording(name: str, tmp_path: Path) -> None:
    for number, case in enumerate(case for case in cases() if case.format == name):
        folder = tmp_path / str(number)
        folder.mkdir()
        hold(case, folder)


def test_every_pair_has_met() -> None:
    assert table().is_full(), table().render()
