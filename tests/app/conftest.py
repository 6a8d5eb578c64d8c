"""Fixtures of runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.trained_once import train_once


@pytest.fixture(scope="session", autouse=True)
def trained_once() -> Iterator[None]:
    """Train the baselines of the same recordings once a session."""
    with pytest.MonkeyPatch.context() as patch:
        train_once(patch.setattr)
        yield
