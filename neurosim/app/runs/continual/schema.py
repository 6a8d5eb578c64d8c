"""JSON Schema of the config of a continual run: every stream and every learner with its settings."""

from __future__ import annotations

import functools
import operator
from typing import Any, Literal

from pydantic import create_model

from ....base.schema import Schema
from ....learning.continual.learners import LEARNERS, kind
from ....learning.continual.streams import STREAMS
from ..frame.config import section_of
from ..frame.settings import Section
from .config import FILES, Head


def schema() -> Schema:
    """Return the JSON Schema of a file that `configure` reads; learners and streams of plugins are in it.

    Raises:
        NeurosimMissingError: learners need torch, which is not installed.
    """
    streams: list[Any] = []
    for name, recipe in STREAMS.every().items():
        # The first stream is that of a config without a kind.
        default = name if not streams else ...
        own: Any = {"kind": (Literal[name], default)}
        streams.append(create_model(f"Stream_{name}", __base__=section_of(recipe, FILES), **own))
    sections: Any = {name: (section_of(kind(name).SETTINGS), ...) for name in LEARNERS.every()}
    fields: Any = {
        "stream": (functools.reduce(operator.or_, streams), ...),
        "learners": (create_model("Learners", __base__=Section, **sections), ...),
        "common": (dict[str, Any], ...),
        "sweep": (dict[str, dict[str, list[Any]]], ...),
    }
    return create_model("Continual", __base__=Head, **fields).json_schema()
