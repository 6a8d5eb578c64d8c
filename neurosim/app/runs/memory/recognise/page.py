"""The page of a recogniser's run."""

from __future__ import annotations

from collections.abc import Mapping

from ...frame.folder import RunFolder
from .result import RecogniseResult

WORDS = {"image": "images", "camera": "recordings of a camera", "sound": "sounds"}


def fill(folder: RunFolder, result: RecogniseResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    return {"items": WORDS.get(result.view, "items")}
