"""Measures of a finished run, made again for `neurosim measure`; runs of several models have records of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from ....base import plain


@dataclass(frozen=True, kw_only=True)
class MeasuredRun(ABC):
    """Measures of a finished run, with energy under a profile.

    Attributes:
        heading: fields of the result that say which run it was, as `Kind.heading` names them.
        run: the path of its folder.
    """

    heading: Mapping[str, object]
    run: str

    def to_dict(self) -> Mapping[str, object]:
        """Return the plain tree that `neurosim measure` prints and writes; the heading comes first."""
        tree = plain.to_plain(self)
        return {**tree.pop("heading"), **tree}

    @abstractmethod
    def table(self) -> str:
        """Return the text that the command line prints."""
