"""Tables with named columns: what is written is read, types are found, and damaged tables are refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.data.files import columns
from neurosim.data.files.columns import read_columns, write_columns

TABLE = {
    "id": np.array([720575940600000017, -3, 5]),
    "rate": np.array([0.1, 1e-300, 12345.678901234567]),
    "name": np.array(["a, b", 'c "d"', "é"]),
}


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "pq", "feather", "arrow"])
def test_a_table_is_read_as_it_was_written(ending: str, tmp_path: Path) -> None:
    if ending not in ("csv", "tsv"):
        pytest.importorskip("pyarrow")
    path = tmp_path / f"table.{ending}"
    write_columns(path, TABLE)
    found = read_columns(path)
    assert list(found) == list(TABLE)
    for name, values in TABLE.items():
        assert np.array_equal(found[name], values), name
        assert found[name].dtype.kind == values.dtype.kind
    some = read_columns(path, ["rate", "id", "rate"])
    assert list(some) == ["rate", "id"] and np.array_equal(some["id"], TABLE["id"])
    with pytest.raises(NeurosimInputError, match=r"column: unknown name 'rat'; did you mean 'rate'"):
        read_columns(path, ["rat"])


def test_dictionaries_and_empty_entries_of_arrow(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = pyarrow.array(["x", "y", "x"]).dictionary_encode()
    parquet.write_table(pyarrow.table({"name": names, "weight": [1, None, 2]}), tmp_path / "t.parquet")
    assert read_columns(tmp_path / "t.parquet", ["name"])["name"].tolist() == ["x", "y", "x"]
    with pytest.raises(NeurosimFormatError, match="column weight: expected a value in each row, got 1 empty"):
        read_columns(tmp_path / "t.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-9])
    with pytest.raises(NeurosimFormatError, match=r"cut\.parquet: file: expected a table in the format parquet"):
        read_columns(tmp_path / "cut.parquet")


def test_types_hold_for_all_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "BLOCK", 3)
    lines = [f"{k},{k / 2 if k == 9 else k},{'x' if k == 10 else k}" for k in range(11)]
    (tmp_path / "t.csv").write_text("\n".join([" a ,b,c", *lines, "", ""]))
    found = read_columns(tmp_path / "t.csv")
    assert [found[name].dtype.kind for name in "abc"] == ["i", "f", "U"]
    assert found["a"].tolist() == list(range(11)) and found["b"][9] == 4.5 and found["c"][10] == "x"
    (tmp_path / "none.csv").write_text("a,b\n")
    assert [len(values) for values in read_columns(tmp_path / "none.csv").values()] == [0, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n1\n", "line 3: expected 2 entries, as in the line of names, got 1"),
        ("a,b\n1,2\n\n1,\n", "line 4, b: expected a value, got an empty entry"),
        ("a,a\n1,2\n", "two columns have one name (got a, a)"),
    ],
)
def test_damaged_lines_are_named(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(NeurosimInputError, match=re.escape(words)):
        read_columns(tmp_path / "t.csv")


def test_what_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NeurosimMissingError, match="no such file"):
        read_columns(tmp_path / "absent.csv")
    with pytest.raises(NeurosimInputError, match=r"ending: unknown name '\.xls'"):
        read_columns(tmp_path / "t.xls")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(NeurosimMissingError, match=r"pip install .*\[edges\]', or give the table as CSV"):
        read_columns(tmp_path / "t.parquet")
