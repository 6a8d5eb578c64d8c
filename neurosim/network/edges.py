"""Tables of edges: synapses between neurons that have ids of the users' own, and the network that they make.

read_edges("edges.parquet", neurons="neurons.csv") -> Edges -> Network.from_edges(edges, LIF())
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, is_number, lookup, require
from ..base.shown import Shown
from ..data.files.columns import read_columns

# Bits of the first table of ids; one that is too small is doubled.
FIRST_BITS = 12
# Values of a column that an error shows.
EXAMPLES = 5


@final
@dataclass(frozen=True, eq=False)
class Edges(Shown):
    """Synapses between neurons that are named by ids; unit k of the network is the neuron `ids[k]`.

    It may be copied and pickled.

    Attributes:
        ids: [units] integers or texts, all different.
        pre, post: [edges] units.
        weight: of all edges, or [edges].
        delay: s, of all edges, or [edges].
        columns: further columns of the table of neurons by name, [units] each.

    Raises:
        NeurosimInputError: on construction: arrays of other lengths, ids that are not different, units that are not
            there.
    """

    ids: NDArray[Any]
    pre: NDArray[np.int32]
    post: NDArray[np.int32]
    weight: float | NDArray[np.float64] = 1.0
    delay: float | NDArray[np.float64] = 1e-3
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("pre", "post"):
            values = getattr(self, name)
            require(len(values) == len(self.pre), f"Edges.{name}", f"must hold {len(self.pre)} units", len(values))
            rule = f"must be units from 0 to {len(self.ids) - 1}"
            for extreme in (values.min(initial=0), values.max(initial=0)):
                fits = len(values) == 0 or 0 <= extreme < len(self.ids)
                require(bool(fits), f"Edges.{name}", rule, int(extreme))
        for name in ("weight", "delay"):
            values = getattr(self, name)
            fits = is_number(values) or np.shape(values) == (len(self.pre),)
            require(bool(fits), f"Edges.{name}", f"must be a number or hold {len(self.pre)}", np.shape(values))
        for name, values in self.columns.items():
            count = len(self.ids)
            require(len(values) == count, f"Edges.columns[{name!r}]", f"must hold {count} values", len(values))

    def __len__(self) -> int:
        return len(self.pre)

    @property
    def size(self) -> int:
        """Return the number of neurons."""
        return len(self.ids)

    @classmethod
    def between(
        cls,
        pre: NDArray[Any],
        post: NDArray[Any],
        weight: float | NDArray[Any] = 1.0,
        delay: float | NDArray[Any] = 1e-3,
        *,
        ids: NDArray[Any] | None = None,
        columns: Mapping[str, NDArray[Any]] | None = None,
    ) -> Edges:
        """Return edges between ids, such as two columns of a data frame.

        Args:
            pre, post: [edges] ids, integers or texts.
            weight, delay: a number, or [edges].
            ids: [units] all neurons, of which some may have no edge; None: those that have one, in ascending order.
            columns: properties of `ids`.

        Raises:
            NeurosimInputError: ids that are neither integers nor texts, twice in `ids`, or of an edge and not in `ids`.
        """
        ends = [_checked(values, f"Edges.{name}") for name, values in (("pre", pre), ("post", post))]
        if ids is not None:
            ids = _checked(ids, "Edges.ids")
        neurons: NDArray[Any]
        # Ids compare as texts as soon as one of the columns has texts, as a table read from CSV may.
        if any(values.dtype.kind == "U" for values in (*ends, *([] if ids is None else [ids]))):
            neurons, numbers = _by_text(ends, ids)
        else:
            neurons, numbers = _by_number(ends, ids)
        weights = _numbers(weight, "weight")
        delays = _numbers(delay, "delay")
        return cls(ids=neurons, pre=numbers[0], post=numbers[1], weight=weights, delay=delays, columns=columns or {})

    def units(self, chosen: Sequence[object] | NDArray[Any], name: str = "Edges.units") -> NDArray[np.int64]:
        """Return [n] the units of some neurons, ascending and each once.

        Args:
            chosen: ids, or texts "column=value" for all neurons with that value in a column of the table of neurons.
            name: stands before errors.

        Raises:
            NeurosimInputError: an id or a value that no neuron has, or an unknown column.
        """
        # Texts compare ids of both kinds: the command line knows no integers.
        by_id = {}
        if len(chosen):
            by_id = {str(id): unit for unit, id in enumerate(self.ids.tolist())}
        units: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        for each in chosen:
            text = str(each)
            column, equals, value = text.partition("=")
            if text in by_id:
                units.append(np.array([by_id[text]]))
            elif equals:
                values = lookup(self.columns, column, f"{name}: column")
                matching = np.flatnonzero(_equal(values, value))
                some = ", ".join(str(known) or "'' (empty)" for known in np.unique(values)[:EXAMPLES])
                require(
                    matching.size > 0, f"{name}: {column}", f"must be a value of this column, such as {some}", value
                )
                units.append(matching)
            else:
                several = "give each of several ids by itself; " if "," in text else ""
                raise NeurosimInputError(
                    f"{name}: must be the id of a neuron, or COLUMN=VALUE (got '{text}'); {several}the first id is "
                    f"{self.ids[0] if self.size else 'none'}"
                )
        return np.unique(np.concatenate(units))


@final
@dataclass(frozen=True, eq=False)
class Activation:
    """Input that makes some neurons of a table active: Poisson spikes of a source for each, a current, or both.

    Attributes:
        neurons: ids, or texts "column=value", see `Edges.units`.
        rate: spikes/s of each source.
        weight: of the spikes, in the unit of the receptor.
        current: A, from the start of the run on.
        receptor: name of an input of the model; None means its first.
    """

    neurons: Sequence[object] | NDArray[Any]
    rate: float = 0.0
    weight: float = 1.0
    current: float = 0.0
    receptor: str | None = None


def read_edges(
    path: str | os.PathLike[str],
    *,
    pre: str = "pre",
    post: str = "post",
    weight: str | float = "weight",
    delay: str | float = 1e-3,
    weight_scale: float = 1.0,
    delay_scale: float = 1.0,
    neurons: str | os.PathLike[str] | None = None,
    id: str = "id",
) -> Edges:
    """Return the edges of a table: a row for each synapse, columns with the ids of its two neurons.

    Args:
        path: .parquet, .feather (both by pyarrow), .csv or .tsv, also .csv.gz.
        pre, post: names of the columns of ids.
        weight: name of a column, or the weight of all edges.
        delay: name of a column, or the delay of all edges; s.
        weight_scale, delay_scale: factors of the columns, such as 1e-3 for a column in ms.
        neurons: a table with a row for each neuron; None: the neurons are those that have an edge.
        id: name of its column of ids; its other columns are properties to choose neurons by, which may be empty.

    Raises:
        NeurosimMissingError: no such file, or pyarrow is not installed.
        NeurosimFormatError: not a table of its format.
        NeurosimInputError: a column that is not there, or values that break their rule.
    """
    numbers = {f"edges.{key}": name for key, name in (("weight", weight), ("delay", delay)) if isinstance(name, str)}
    table = read_columns(path, {"edges.pre": pre, "edges.post": post, **numbers})
    ids = None
    columns: dict[str, NDArray[Any]] = {}
    if neurons is not None:
        columns = read_columns(neurons, full=[id])
        lookup(columns, id, f"{neurons}: column of edges.id")
        ids = columns.pop(id)
    # Before the scales, which would raise an error of numpy that names no column.
    for name in numbers.values():
        column = table[name]
        are_numbers = column.dtype.kind in "iufb"
        require(are_numbers, f"{path}: column {name}", "must be numbers", ", ".join(map(str, column[:3])))
    weights = table[weight] * weight_scale if isinstance(weight, str) else weight
    delays = table[delay] * delay_scale if isinstance(delay, str) else delay
    return Edges.between(table[pre], table[post], weights, delays, ids=ids, columns=columns)


def _equal(values: NDArray[Any], text: str) -> NDArray[np.bool_]:
    """Return where a column has the value of a text: 3 is 3.0, and true is True."""
    if values.dtype.kind == "b":
        return values.astype(np.str_) == text.capitalize()
    if values.dtype.kind == "f":
        try:
            return values == float(text)
        except ValueError:
            return np.zeros(len(values), np.bool_)
    return values.astype(np.str_) == text


def _checked(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Return ids as int64, or as texts where one is of 2^63 or more."""
    array = np.asarray(values)
    if array.dtype.kind == "O":
        array = np.array(array.tolist())
    # A table whose column once had an empty entry has its integers as floats.
    if array.dtype.kind == "f" and array.size and bool((array == np.rint(array)).all()) and np.abs(array).max() < 2**53:
        array = array.astype(np.int64)
    kind = array.dtype.kind
    valid = array.ndim == 1 and (kind in "iuU" or array.size == 0)
    if kind == "f" and array.size and np.abs(array).max() >= 2**53:
        raise NeurosimInputError(
            f"{name}: must be a vector of integers or texts (got {array.dtype}, which does not hold all digits of ids "
            "beyond 2^53); write the column as integers"
        )
    require(valid, name, "must be a vector of integers or texts", f"{array.dtype} {list(array.shape)}")
    if kind == "U":
        return array
    if array.size and int(array.max()) >= 2**63:
        return array.astype(np.str_)
    return np.ascontiguousarray(array, np.int64)


def _by_number(
    ends: Sequence[NDArray[Any]], ids: NDArray[Any] | None
) -> tuple[NDArray[np.int64], list[NDArray[np.int32]]]:
    """Return the ids of all neurons, and the units of each of `ends`."""
    from ..kernels.engine.connect.ids.cpu import collect, find

    if ids is None:
        # Ascending, so that the network does not depend on the order of the edges.
        ids = np.sort(_distinct(ends))
    # Half of the entries stay free, so that a search is short.
    bits = max(FIRST_BITS, len(ids).bit_length() + 1)
    table = np.zeros(1 << bits, np.int32)
    distinct = np.empty(len(ids), np.int64)
    count = collect(ids, distinct, 0, table, bits)
    _check_different(len(ids), count)
    numbers = []
    for name, values in zip(("pre", "post"), ends, strict=True):
        units = np.empty(len(values), np.int32)
        find(values, distinct, table, bits, units)
        _check_there(values, units, name)
        numbers.append(units)
    return ids, numbers


def _distinct(ends: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Return the distinct ids of `ends`."""
    from ..kernels.engine.connect.ids.cpu import collect

    bits = FIRST_BITS
    # How many there are is not known before they are collected: a full table begins anew, 4 times larger.
    while True:
        table = np.zeros(1 << bits, np.int32)
        distinct = np.empty(1 << (bits - 1), np.int64)
        count = 0
        for values in ends:
            count = collect(values, distinct, count, table, bits)
            if count < 0:
                break
        else:
            return distinct[:count]
        bits += 2


def _by_text(
    ends: Sequence[NDArray[Any]], ids: NDArray[Any] | None
) -> tuple[NDArray[np.str_], list[NDArray[np.int32]]]:
    """Return all ids, and the unit numbers of both ends, of edges between ids that are texts."""
    texts = [values.astype(np.str_) for values in ends]
    if ids is None:
        ids = np.unique(np.concatenate(texts))
    else:
        ids = ids.astype(np.str_)
        _check_different(len(ids), len(np.unique(ids)))
    order = np.argsort(ids, kind="stable")
    numbers = []
    for name, values in zip(("pre", "post"), texts, strict=True):
        # A text above all others has no place in `order`.
        places = np.searchsorted(ids, values, sorter=order)
        units = np.full(len(values), -1, np.int32)
        inside = np.flatnonzero(places < len(ids))
        candidates = order[places[inside]]
        same = ids[candidates] == values[inside]
        units[inside[same]] = candidates[same]
        _check_there(values, units, name)
        numbers.append(units)
    return ids, numbers


def _check_different(size: int, count: int) -> None:
    require(count == size, "Edges.ids", "must all be different", f"{size - count} twice")


def _check_there(values: NDArray[Any], units: NDArray[np.int32], name: str) -> None:
    absent = units < 0
    if absent.any():
        id = values[int(np.argmax(absent))]
        raise NeurosimInputError(
            f"Edges.{name}: must be ids of the table of neurons (got {id}, in {int(absent.sum())} edges); add it there"
        )


def _numbers(values: float | NDArray[Any], name: str) -> float | NDArray[np.float64]:
    if is_number(values):
        return float(values)
    array = np.asarray(values)
    require(array.dtype.kind in "iuf", f"Edges.{name}", "must be numbers", array.dtype)
    return array.astype(np.float64)
