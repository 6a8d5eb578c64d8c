"""Cases of which `make test` runs a sample and `make test-slow` the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def sampled(cases: Iterable[Any], quick: Iterable[Any]) -> list[Any]:
    """Mark every case `slow` that is not in `quick`; what is in `quick` must be a case."""
    cases = list(cases)
    quick = list(quick)
    unknown = [case for case in quick if case not in cases]
    assert not unknown, f"no such case: {unknown}"
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]
