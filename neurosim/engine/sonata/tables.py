"""Nodes and edges of SONATA networks: tables of types (CSV), and HDF5 files whose groups override them."""

from __future__ import annotations

import csv
import math
import operator
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, NeurosimMissingError
from ...base.raw import text_of
from ...data.files.hdf5 import HDF5File, open_hdf5

Rows = Mapping[int, Mapping[str, str]]
# Names of the ids of nodes in conditions: those of SONATA, and of the Brain Modeling Toolkit.
IDS = ("node_id", "node_ids", "gid", "gids")
# Comparisons of a condition such as {"x": {"$lt": 90}}.
COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
# Names of the column of nodes in a table of spikes.
SPIKE_NODES = ("node_ids", "node_id", "gids")
# Words of a table for "no value", in upper case.
NO_VALUE = {"", "NULL", "NONE", "NA", "NAN", "<NA>"}


@dataclass(frozen=True, eq=False)
class NodeTable:
    """The nodes of one population.

    Attributes:
        name: of the population.
        ids: [nodes] int64.
        types: [nodes] number of the type of each.
        rows: attributes of the types, as text.
        columns: [nodes] attributes that a group of the file gives node by node; NaN or "" where another group does
            not.
    """

    name: str
    ids: NDArray[np.int64]
    types: NDArray[np.int64]
    rows: Rows
    columns: Mapping[str, NDArray[Any]]

    def texts(self, name: str) -> list[str]:
        """Return [nodes] an attribute in text: of the node, or else of its type; "" where neither has it."""
        values = {number: row.get(name, "") for number, row in self.rows.items()}
        of_types = [values.get(number, "") for number in self.types.tolist()]
        own = self.columns.get(name)
        if own is None or own.dtype != object:
            return of_types
        return [text or other for text, other in zip(own.tolist(), of_types, strict=True)]

    def has(self, name: str) -> bool:
        """Return whether nodes or types of nodes have an attribute."""
        return name in self.columns or any(name in row for row in self.rows.values())

    def select(self, conditions: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Return [nodes] whether all conditions hold.

        An attribute is a value, or among a list of values, or as a table of comparisons says: `$gt`, `$gte`, `$lt`,
        `$lte` of numbers, `$regex` of texts. A condition on an attribute that neither a node nor its type has holds for
        none.

        Raises:
            NeurosimFormatError: another comparison, or one with a value that it does not take.
        """
        chosen = np.ones(len(self.ids), bool)
        # Names of the format come before attributes of the same name, and columns of nodes before those of types.
        for name, value in conditions.items():
            wanted = value if isinstance(value, list) else [value]
            if isinstance(value, Mapping):
                for comparison, bound in value.items():
                    chosen &= self._compared(name, comparison, bound)
            elif name == "population":
                chosen &= self.name in wanted
            elif name in IDS:
                chosen &= np.isin(self.ids, np.asarray(wanted, np.int64))
            elif name == "node_type_id":
                chosen &= np.isin(self.types, np.asarray(wanted, np.int64))
            else:
                # A column of numbers has 1 and 0 for true and false.
                words = {_plain(str(each)) for each in wanted} | {
                    float(each) for each in wanted if isinstance(each, bool)
                }
                chosen &= np.array([each in words for each in self._values(name)], bool)
        return chosen

    def _values(self, name: str) -> list[str | float]:
        """Return [nodes] an attribute: of the node, or else of its type; "" where neither has it.

        Texts that are numbers are these: a type has 4.0 where a column of integers had a gap as it was written.
        """
        of_types = self.texts(name)
        own = self.columns.get(name)
        if own is None or own.dtype == object:
            return [_plain(text) for text in of_types]
        return [
            _plain(text) if math.isnan(number) else number for number, text in zip(own.tolist(), of_types, strict=True)
        ]

    def _compared(self, name: str, comparison: str, bound: Any) -> NDArray[np.bool_]:
        """Return [nodes] whether an attribute, of a node or else of its type, compares so; where it is absent, not."""
        label = f"node set: {name}"
        if comparison == "$regex":
            try:
                pattern = re.compile(bound)
            except (re.error, TypeError) as error:
                raise NeurosimFormatError(
                    f"{label}: $regex must be a pattern of text (got {bound!r}: {error})"
                ) from None
            return np.array([pattern.fullmatch(text) is not None for text in self.texts(name)], bool)
        if comparison not in COMPARISONS:
            known = ", ".join([*COMPARISONS, "$regex"])
            raise NeurosimFormatError(f"{label}: {comparison} is not available; choose from {known}")
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise NeurosimFormatError(f"{label}: {comparison} must have a number (got {bound!r})")
        if name in IDS:
            numbers = self.ids.astype(np.float64)
        else:
            # Where there is none, nothing compares.
            numbers = np.array([number_of(str(each) or "nan", label) for each in self._values(name)], np.float64)
        return np.asarray(COMPARISONS[comparison](numbers, bound), bool)


@dataclass(frozen=True, eq=False)
class EdgeTable:
    """The edges of one population of edges.

    Attributes:
        name: of the population of edges.
        source, target: names of populations of nodes.
        pre, post: [edges] ids of nodes.
        types: [edges] number of the type of each.
        rows: attributes of the types, as text.
        columns: [edges] attributes that a group of the file gives edge by edge; NaN where another group does not.
    """

    name: str
    source: str
    target: str
    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    types: NDArray[np.int64]
    rows: Rows
    columns: Mapping[str, NDArray[Any]]

    def numbers(self, name: str, values: Mapping[int, float]) -> NDArray[np.float64]:
        """Return [edges] an attribute: of the edge, or else of its type, from `values`; NaN where neither has it."""
        # Looked up once for each type: there are few types and millions of edges.
        of_types = np.array([values.get(number, np.nan) for number in self._kinds], np.float64)[self._places]
        own = self.columns.get(name)
        if own is None:
            return of_types
        return np.where(np.isnan(own), of_types, own)

    @property
    def _kinds(self) -> list[int]:
        kinds: list[int] = np.unique(self.types).tolist()
        return kinds

    @property
    def _places(self) -> NDArray[np.intp]:
        return np.searchsorted(np.unique(self.types), self.types)


def read_types(path: str | None, key: str) -> dict[int, dict[str, str]]:
    """Return the rows of a table of types, by the number in the column `key`; entries without a value are left out.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: no such column, a row of another length, or a number that is none.
    """
    if path is None:
        return {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            # Tables in use have tabs or several spaces between columns, where the format has one space.
            stripped = (line.strip().replace("\t", " ") for line in file)
            rows = [row for row in csv.reader(stripped, delimiter=" ", skipinitialspace=True) if row]
    except OSError:
        raise NeurosimMissingError(f"{path}: no such file; correct the path in the configuration") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise NeurosimFormatError(f"{path}: must be a table with spaces between its columns ({error})") from None
    if not rows or key not in rows[0]:
        raise NeurosimFormatError(f"{path}: must have a column {key} (got {' '.join(rows[0]) if rows else 'nothing'})")
    header, *others = rows
    types = {}
    for number, row in enumerate(others, 2):
        if len(row) != len(header):
            raise NeurosimFormatError(f"{path}: line {number}: must have {len(header)} entries (got {len(row)})")
        entry = dict(zip(header, row, strict=True))
        name = entry.pop(key)
        if not name.isdigit():
            raise NeurosimFormatError(f"{path}: line {number}: {key} must be an integer (got {name})")
        types[int(name)] = {column: text for column, text in entry.items() if text.upper() not in NO_VALUE}
    return types


def read_nodes(path: str, types: str | None) -> list[NodeTable]:
    """Return the populations of a file of nodes.

    Raises:
        NeurosimMissingError, NeurosimFormatError: a file that is not there, or damaged.
    """
    rows = read_types(types, "node_type_id")
    with _opened(path) as file:
        return [_nodes(file, name, rows) for name in file.names("nodes")]


def _nodes(file: HDF5File, name: str, rows: Rows) -> NodeTable:
    top = f"nodes/{name}"
    kinds = file.numbers(f"{top}/node_type_id", "iu").astype(np.int64)
    if file.has(f"{top}/node_id"):
        ids = file.numbers(f"{top}/node_id", "iu", len(kinds)).astype(np.int64)
    else:
        ids = np.arange(len(kinds))
    if len(np.unique(ids)) != len(ids):
        raise file.error(f"/{top}/node_id", "different numbers", "one that repeats")
    _check_types(file, top, kinds, rows)
    return NodeTable(name=name, ids=ids, types=kinds, rows=rows, columns=_columns(file, top, "node", len(kinds)))


def read_edges(path: str, types: str | None) -> list[EdgeTable]:
    """Return the populations of a file of edges.

    Raises:
        NeurosimMissingError, NeurosimFormatError: a file that is not there, or damaged.
    """
    rows = read_types(types, "edge_type_id")
    with _opened(path) as file:
        return [_edges(file, name, rows) for name in file.names("edges")]


def _edges(file: HDF5File, name: str, rows: Rows) -> EdgeTable:
    top = f"edges/{name}"
    pre = file.numbers(f"{top}/source_node_id", "iu").astype(np.int64)
    post = file.numbers(f"{top}/target_node_id", "iu", len(pre)).astype(np.int64)
    kinds = file.numbers(f"{top}/edge_type_id", "iu", len(pre)).astype(np.int64)
    _check_types(file, top, kinds, rows)
    ends = []
    for end in ("source_node_id", "target_node_id"):
        attributes = file.attributes(f"{top}/{end}", "node_population", "network")
        if not attributes:
            raise file.error(f"/{top}/{end}", "an attribute node_population", "none")
        ends.append(text_of(next(iter(attributes.values()))))
    return EdgeTable(
        name=name,
        source=ends[0],
        target=ends[1],
        pre=pre,
        post=post,
        types=kinds,
        rows=rows,
        columns=_columns(file, top, "edge", len(pre)),
    )


def _check_types(file: HDF5File, top: str, kinds: NDArray[np.int64], rows: Rows) -> None:
    unknown = set(np.unique(kinds).tolist()) - set(rows)
    if rows and unknown:
        raise file.error(f"/{top}", f"types among {sorted(rows)}", sorted(unknown))


def _columns(file: HDF5File, top: str, noun: str, count: int) -> dict[str, NDArray[Any]]:
    """Return [count] the numbers that groups give one by one: of group 0, 1, .. by the place in their group."""
    groups = [name for name in file.names(top) if name.isdigit()]
    if not groups:
        return {}
    # Without the datasets below, all are of group 0, in its order.
    number = np.zeros(count, np.int64)
    place = np.arange(count)
    if file.has(f"{top}/{noun}_group_id"):
        number = file.numbers(f"{top}/{noun}_group_id", "iu", count).astype(np.int64)
        place = file.numbers(f"{top}/{noun}_group_index", "iu", count).astype(np.int64)
    columns: dict[str, NDArray[Any]] = {}
    for group in groups:
        members = number == int(group)
        for path, name in _datasets(file, f"{top}/{group}"):
            values: NDArray[Any]
            library = f"{top}/{group}/@library/{name}"
            if file.has(library):
                values = _listed(file, path, library)
                nothing: Any = ""
            elif file.is_text(path):
                values = np.array(file.texts(path), object)
                nothing = ""
            else:
                values = file.array(path, "iufb")
                nothing = np.nan
            if values.ndim != 1:
                continue
            chosen = place[members]
            # Indices of 2^63 and more have become negative, and would count from the end.
            wrong = chosen[(chosen < 0) | (chosen >= len(values))]
            if wrong.size:
                raise file.error(f"/{path}", f"an entry {wrong[0]}, as {noun}_group_index says", f"{len(values)}")
            kind = object if values.dtype == object else np.float64
            column = columns.setdefault(name, np.full(count, nothing, kind))
            column[members] = values[chosen]
    return columns


def _listed(file: HDF5File, path: str, library: str) -> NDArray[Any]:
    """Return the texts that numbers stand for: places in a list of texts."""
    words = np.array(file.texts(library), object)
    places = file.numbers(path, "iu")
    if places.size and not 0 <= places.min() <= places.max() < len(words):
        raise file.error(
            f"/{path}", f"places in the {len(words)} texts of /{library}", f"{places.min()} to {places.max()}"
        )
    listed: NDArray[Any] = words[places]
    return listed


def _datasets(file: HDF5File, group: str) -> list[tuple[str, str]]:
    """Return path and name of the datasets of a group; those of dynamics_params have its name in front of theirs."""
    listed = []
    for name in file.names(group):
        path = f"{group}/{name}"
        if not file.groups(path):
            listed.append((path, name))
        elif name == "dynamics_params":
            listed += [(f"{path}/{each}", f"dynamics_params/{each}") for each in file.names(path)]
    return listed


def _opened(path: str | os.PathLike[str]) -> Any:
    if not Path(path).is_file():
        raise NeurosimMissingError(f"{path}: no such file; correct the path in the configuration")
    # Indices and constant columns compress a thousandfold.
    return open_hdf5(path, ratio=1 << 12)


def placed(ids: NDArray[np.int64], wanted: NDArray[np.int64], label: str) -> NDArray[np.int64]:
    """Return the places of ids among those of a population.

    Raises:
        NeurosimFormatError: an id that the population does not have.
    """
    order = np.argsort(ids, kind="stable")
    place = np.searchsorted(ids[order], wanted)
    found = place < len(ids)
    found[found] = ids[order][place[found]] == wanted[found]
    if not found.all():
        raise NeurosimFormatError(
            f"{label}: node {int(wanted[~found][0])} is not among the {len(ids)} of its population"
        )
    return order[place]


def _plain(text: str) -> str | float:
    """Return a text, or the number that it is."""
    try:
        return float(text)
    except ValueError:
        return text


def number_of(text: str, label: str) -> float:
    """Return the number in an entry of a table.

    Raises:
        NeurosimFormatError: it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise NeurosimFormatError(f"{label}: must be a number (got {text})") from None


def names_of(tables: Sequence[NodeTable]) -> dict[str, NodeTable]:
    """Return tables of nodes by the names of their populations.

    Raises:
        NeurosimFormatError: two of one name.
    """
    named: dict[str, NodeTable] = {}
    for table in tables:
        if table.name in named:
            raise NeurosimFormatError(f"networks.nodes: two populations are called {table.name}")
        named[table.name] = table
    return named


def read_spike_table(path: str, population: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return times in ms and nodes of the spikes of a population in a table: timestamps, population, node_ids.

    Raises:
        NeurosimFormatError: a column is missing, or an entry is no number.
    """
    header, entries = _spike_rows(path)
    nodes_name = next(name for name in SPIKE_NODES if name in header)
    entries = [entry for entry in entries if entry.get("population", population) == population]
    times = [number_of(entry.get("timestamps", ""), path) for entry in entries]
    nodes = [number_of(entry.get(nodes_name, ""), path) for entry in entries]
    return np.array(times, np.float64), np.array(nodes, np.int64)


def populations_of_spike_table(path: str) -> list[str] | None:
    """Return the populations of a table of spikes; None where it has no column of them.

    Raises:
        NeurosimFormatError: another column is missing.
    """
    header, entries = _spike_rows(path)
    if "population" not in header:
        return None
    return sorted({entry.get("population", "") for entry in entries})


def _spike_rows(path: str) -> tuple[list[str], list[dict[str, str]]]:
    """Return the names of the columns of a table of spikes, and its rows."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        stripped = (line.strip().replace(",", " ").replace("\t", " ") for line in file)
        rows = [row for row in csv.reader(stripped, delimiter=" ", skipinitialspace=True) if row]
    header = rows[0] if rows else []
    if "timestamps" not in header or not any(name in header for name in SPIKE_NODES):
        raise NeurosimFormatError(f"{path}: must have columns timestamps and node_ids (got {' '.join(header)})")
    return header, [dict(zip(header, row, strict=False)) for row in rows[1:]]


def scalar_if_equal(values: NDArray[np.float64]) -> Any:
    """Return a number if all values are equal, else the values."""
    array = np.asarray(values, np.float64)
    if array.size and bool((array == array[0]).all()):
        return float(array[0])
    return array
