"""Random pipelines are the sum of their parts, whatever source, windowed population, readout and plasticity meet."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.samples import sampled

from guard.pairs_pipelines import cases, table
from guard.pipeline_checks import hold
from guard.pipelines import SOURCES


@pytest.mark.parametrize("source", sampled(SOURCES, [name for name in SOURCES if name != "folder of a run"]))
def test_a_pipeline_of_each_source_is_the_sum_of_its_parts(source: str, tmp_path: Path) -> None:
    hold(next(case for case in cases() if case.source == source), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("source", sampled(SOURCES, [name for name in SOURCES if name != "folder of a run"]))
def test_every_pair_of_features_in_a_pipeline(source: str, tmp_path: Path) -> None:
    for number, case in enumerate(case for case in cases() if case.source == source):
        folder = tmp_path / str(number)
        folder.mkdir()
        hold(case, folder)


def test_every_pair_has_met() -> None:
    assert table().is_full(), table().render()
