"""Fixtures of the tests of language models."""

from __future__ import annotations

import pytest
from helpers.convert_models import model_of

from neurosim.language import LanguageModel


@pytest.fixture(scope="module")
def dense() -> LanguageModel:
    return model_of("gated_deltanet", "gla")
