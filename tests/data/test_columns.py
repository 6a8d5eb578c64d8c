"""Tables with named columns: what is written is read, types are found, and damaged tables are refused by name."""

from __future__ import annotations

import gzip
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
    some = read_columns(path, {"weight": "rate", "pre": "id", "delay": "rate"})
    assert list(some) == ["rate", "id"] and np.array_equal(some["id"], TABLE["id"])
    with pytest.raises(NeurosimInputError, match=r"column of weight: unknown name 'rat'; did you mean 'rate'"):
        read_columns(path, {"weight": "rat"})


def test_dictionaries_and_empty_entries_of_arrow(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = pyarrow.array(["x", "y", "x"]).dictionary_encode()
    parquet.write_table(pyarrow.table({"name": names, "weight": [1, None, 2]}), tmp_path / "t.parquet")
    assert read_columns(tmp_path / "t.parquet", {"pre": "name"})["name"].tolist() == ["x", "y", "x"]
    with pytest.raises(NeurosimFormatError, match="column weight: expected a value in each row, got 1 empty"):
        read_columns(tmp_path / "t.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-9])
    with pytest.raises(NeurosimFormatError, match=r"cut\.parquet: file: expected a table in the format parquet"):
        read_columns(tmp_path / "cut.parquet")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_entries_may_be_empty_outside_of_full_columns(ending: str, tmp_path: Path) -> None:
    """Numbers with a fraction have NaN there, and integers keep all digits, as texts."""
    path = tmp_path / f"t.{ending}"
    big = 720575940600000017
    if ending == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        rows = {"id": [1, 2], "kind": [None, "sugar"], "root": [big, None], "size": [None, 0.5], "at": [[1, 2], [3]]}
        parquet.write_table(pyarrow.table(rows), path)
    else:
        text = f"id,kind,root,size\n1,,{big},\n2,sugar,,0.5\n".encode()
        path.write_bytes(gzip.compress(text) if ending == "csv.gz" else text)
    found = read_columns(path, full=["id"])
    assert list(found) == ["id", "kind", "root", "size"]
    assert found["id"].tolist() == [1, 2] and found["kind"].tolist() == ["", "sugar"]
    assert found["root"].tolist() == [str(big), ""]
    assert np.isnan(found["size"][0]) and found["size"][1] == 0.5
    with pytest.raises(NeurosimFormatError, match="kind: expected a value"):
        read_columns(path, full=["id", "kind"])


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 999)[:-9])
    with pytest.raises(NeurosimFormatError, match="file: expected a text of gzip"):
        read_columns(path)
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(NeurosimFormatError, match="file: expected a text of gzip"):
        read_columns(path)


def test_types_hold_for_all_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "BLOCK", 3)
    lines = [f"{k},{k / 2 if k == 9 else k},{'x' if k == 10 else k}" for k in range(11)]
    (tmp_path / "t.csv").write_text("\n".join([" a ,b,c", *lines, "", ""]))
    found = read_columns(tmp_path / "t.csv")
    assert [found[name].dtype.kind for name in "abc"] == ["i", "f", "U"]
    assert found["a"].tolist() == list(range(11)) and found["b"][9] == 4.5 and found["c"][10] == "x"
    (tmp_path / "none.csv").write_text("a,b\n")
    assert [len(values) for values in read_columns(tmp_path / "none.csv").values()] == [0, 0]


def test_names_with_underscores_are_texts(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,part,month\n1,1_0.5,2024_01\n2,2,202401\n")
    columns_read = read_columns(tmp_path / "t.csv")
    assert [columns_read[name].tolist() for name in ("part", "month")] == [["1_0.5", "2"], ["2024_01", "202401"]]
    assert columns_read["id"].tolist() == [1, 2]


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
