"""The kinds that have no folder of the frame yet; this file goes when they have."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .folder import RunFolder
from .kind import Kind, Result
from .settings import ConfigSource


@dataclass(frozen=True, kw_only=True)
class RawResult(Result):
    """A metrics.json as it is."""

    tree: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return dict(self.tree)

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> RawResult:
        return cls(tree=tree)


def _kind(name: str, title: str, config: str, heading: Sequence[str], resume: str | None = None) -> Kind[RawResult]:
    def reconfigure(run: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]) -> Any:
        return getattr(importlib.import_module(config, __package__), f"reconfigure_{name}")(run, sources, changeable)

    def page(folder: RunFolder, result: RawResult) -> str:
        module = importlib.import_module(f"neurosim.report.{name}")
        text: str = module.render_page(folder.path, folder.manifest.known(), result.tree)
        return text

    return Kind(
        name=name,
        title=title,
        resume=resume,
        result=RawResult,
        reconfigure=reconfigure,
        page=page,
        table=lambda result: "",
        heading=heading,
    )


UNPORTED = {
    "convert": _kind("convert", "a conversion", ".convert_config", ("network", "seed")),
}
