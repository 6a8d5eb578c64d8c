"""Settings of a continual run that count for nothing beside the others: of the stream, of learners, of a grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ....base import plain
from ....base.errors import require
from ....learning.continual.learners import kind
from ....learning.continual.streams import STREAMS
from ..frame.config import refuse_unused, without_use
from .settings import ContinualConfig, Row, Tree

Reasons = Mapping[str, str]  # in words, by the name of a setting


def unused_of_stream(row: Row) -> Reasons:
    """Return the settings of a row's stream that count for nothing."""
    unused: Reasons = _recipe(row).unused()
    return unused


def unused_of_learner(row: Row) -> Reasons:
    """Return the settings of a row's learner that count for nothing; a learner of others need not say."""
    settings = plain.from_plain(kind(row.learner).SETTINGS, row.settings, row.learner)
    if not hasattr(settings, "unused"):
        return {}
    unused: Reasons = settings.unused(_recipe(row).images())
    return unused


def in_every_row(unused: Iterable[Reasons]) -> Reasons:
    """Return what counts for nothing in all of several rows; a grid may need a setting in some of them only."""
    first, *others = unused
    return {name: reason for name, reason in first.items() if all(name in each for each in others)}


def unused_by_learner(config: ContinualConfig) -> dict[str, Reasons]:
    """Return the settings that count for nothing in all rows of a learner, by learner."""
    return {
        name: in_every_row([unused_of_learner(row) for row in config.rows if row.learner == name])
        for name in config.learners
    }


def without_common(config: ContinualConfig, common: Tree, own: Mapping[str, Tree]) -> ContinualConfig:
    """Return a config in which keys of [common] are at their default in learners that have no use for them.

    Args:
        own: the tables of the learners, whose keys stay.
    """
    unused = unused_by_learner(config)
    defaults: dict[str, Tree] = {}
    for name in config.learners:
        shared = [key for key in unused[name] if key in common and key not in own.get(name, {})]
        usual = kind(name).SETTINGS()
        defaults[name] = {key: getattr(usual, key) for key in shared}
    learners = {name: {**settings, **defaults[name]} for name, settings in config.learners.items()}
    rows = tuple(replace(row, settings={**row.settings, **defaults[row.learner]}) for row in config.rows)
    return replace(config, learners=learners, rows=rows)


def check_uses(config: ContinualConfig, common: Tree, *, one_pass: bool) -> None:
    """Raise for a setting that counts for nothing beside the others in every row of the results.

    Args:
        common: the table [common]; empty where learners were left out, whose settings it may hold.
        one_pass: whether each item is met once, whatever the epochs.

    Raises:
        NeurosimInputError: the first such setting of the stream, of a learner, of [common] or of [sweep].
    """
    of_stream = in_every_row([unused_of_stream(row) for row in config.rows])
    _refuse("stream", of_stream, config.stream, vars(STREAMS[config.stream["kind"]]()))
    by_learner = unused_by_learner(config)
    for name, unused in by_learner.items():
        _refuse(f"learners.{name}", unused, config.learners[name], vars(kind(name).SETTINGS()))
    for key, value in common.items():
        having = [name for name, settings in config.learners.items() if key in settings]
        if having and all(key in by_learner[name] for name in having):
            usual = vars(kind(having[0]).SETTINGS())
            _refuse("common", {key: by_learner[having[0]][key]}, {key: value}, usual)
    for place, table in config.sweep.items():
        unused = of_stream if place == "stream" else by_learner[place]
        if one_pass and "epochs" in table:
            unused = {**unused, "epochs": "in one pass (online, or stream.boundaries false)"}
        for key, values in table.items():
            rule = f"has no use {unused.get(key)}; leave it out"
            require(key not in unused, f"sweep.{place}.{key}", rule, list(values))


def _recipe(row: Row) -> Any:
    """Return the stream of a row, not yet built."""
    settings = {key: value for key, value in row.stream.items() if key != "kind"}
    return plain.from_plain(STREAMS[row.stream["kind"]], settings, "stream")


def _refuse(table: str, unused: Reasons, mine: Tree, usual: Tree) -> None:
    """Raise for a setting of a table that counts for nothing and differs from its usual value."""
    rules: dict[str, str] = {}
    for name, reason in unused.items():
        rules |= without_use(reason, f"{table}.{name}")
    refuse_unused(rules, _dotted(table, mine), _dotted(table, usual))


def _dotted(table: str, values: Tree) -> dict[str, Any]:
    return {f"{table}.{key}": value for key, value in values.items()}
