"""JSON Schema of the config of a continual run: every stream and every learner with its settings."""

from __future__ import annotations

from ....base.schema import Schema, SchemaMaker, settings_schema
from ....learning.continual.learners import LEARNERS, kind
from ....learning.continual.streams import STREAMS
from .settings import Head


def config_schema() -> Schema:
    """Return the JSON Schema of a file that `configure` reads; learners and streams of plugins are in it.

    Raises:
        NeurosimMissingError: learners need torch, which is not installed.
    """
    maker = SchemaMaker()
    streams: list[Schema] = []
    for name, recipe in STREAMS.every().items():
        table = maker.table(recipe)
        tag = {"const": name, "description": "Kind of the stream."}
        if not streams:  # a config without a kind has the first stream
            tag["default"] = name
        streams.append({**table, "properties": {**table["properties"], "kind": tag}})
    learners = {name: maker.table(kind(name).SETTINGS) for name in LEARNERS.every()}
    lists = {"type": "object", "additionalProperties": {"type": "array"}}
    own = {
        "stream": {"anyOf": streams, "description": "The tasks."},
        "learners": {
            "type": "object",
            "description": "The learners, with their settings.",
            "properties": learners,
            "additionalProperties": False,
        },
        "common": {"type": "object", "description": "Settings of every learner that has them."},
        "sweep": {
            "type": "object",
            "description": "Lists of values by the place they belong to: a learner, common or stream.",
            "additionalProperties": lists,
        },
    }
    head = settings_schema(Head)
    return {**head, "properties": {**head["properties"], **own}}
