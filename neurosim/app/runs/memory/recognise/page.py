"""The page of a recogniser's run."""

from __future__ import annotations

from collections.abc import Mapping

from ...frame.folder import RunFolder
from .result import RecogniseResult


def fill(folder: RunFolder, result: RecogniseResult) -> Mapping[str, object]:
    """Return what fills the template: nothing beside the overview, the result and the manifest."""
    return {}
