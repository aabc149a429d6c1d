"""Probes from files: what is read, and what is said of what cannot be."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from keras_curvature_cli.faults import UnusableError
from keras_curvature_cli.probes import read

X = np.arange(6.0).reshape(3, 2)
Y = np.array([[7.0], [8.0], [9.0]])
TABLE = "width,height,price\n0,1,7\n2,3,8\n4,5,9\n"


@pytest.fixture
def save(tmp_path):
    """Writes a file of the kind that its name says."""

    def write(name, content):
        path = tmp_path / name
        if isinstance(content, (str, bytes)):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        elif isinstance(content, dict):
            np.savez(path, **content)
        else:
            np.save(path, content, allow_pickle=True)
        return path

    return write


def test_npy(save):
    np.testing.assert_array_equal(read(save("x.npy", X)).points, X)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ({"x": X, "y": Y}, {}),
        ({"x": X, "y": Y}, {"y": "y"}),
        ({"x": X, "y": Y}, {"y": "y", "x": "x"}),
        ({"y": X, "x": Y}, {"y": "x", "x": "y"}),
        ({"inputs": X, "y": Y}, {"y": "y"}),
    ],
    ids=str,
)
def test_npz_with_known_values(save, content, options):
    probe = read(save("xy.npz", content), **options)
    np.testing.assert_array_equal(probe.points[0], X)
    np.testing.assert_array_equal(probe.points[1], Y)


def test_npz_of_one_and_of_several_inputs(save):
    np.testing.assert_array_equal(read(save("one.npz", {"anything": X})).x, X)
    several = read(save("two.npz", {"a": X, "b": Y}))
    assert set(several.x) == {"a", "b"}


def test_csv_with_a_header(save):
    probe = read(save("t.csv", TABLE), "price")
    assert probe.names == ("width", "height")
    np.testing.assert_array_equal(probe.x, X)
    np.testing.assert_array_equal(probe.y, Y)


def test_several_columns_of_known_values_come_in_the_order_asked_for(save):
    probe = read(save("t.csv", TABLE), "price,width")
    np.testing.assert_array_equal(probe.y, [[7, 0], [8, 2], [9, 4]])
    assert probe.names == ("height",)


@pytest.mark.parametrize("mark", [",", ";", "\t"], ids=["comma", "semicolon", "tabulator"])
def test_csv_without_a_header_from_a_spreadsheet(mark, save):
    text = "\ufeff0,1\r\n2,3\r\n\r\n4,5\r\n".replace(",", mark)
    probe = read(save("t.csv", text))
    np.testing.assert_array_equal(probe.x, X)
    assert probe.names is None


DECIMAL_COMMAS = {
    "semicolons": ("a;b\n0,5;-1\n2;3,25e1\n", [[0.5, -1], [2, 32.5]]),
    "without a header": ("0,5;1,5\n2,5;3,5\n", [[0.5, 1.5], [2.5, 3.5]]),
    "tabulators": ("a\tb\n0,5\t1\n2\t3,25\n", [[0.5, 1], [2, 3.25]]),
    "thousands": ("a;b\n1.234;0,5\n1.234.567,25;2\n", [[1234, 0.5], [1234567.25, 2]]),
    "three digits": ("a;b\n0,125;1,234\n2,5;nan\n", [[0.125, 1.234], [2.5, np.nan]]),
    "none of them": ("a;b\n1.234;0.5\n1e3;2\n", [[1.234, 0.5], [1000, 2]]),
    "commas between cells": ("a;1,b\n1.5,2\n3,4.5\n", [[1.5, 2], [3, 4.5]]),
}


@pytest.mark.parametrize("name", DECIMAL_COMMAS)
def test_decimal_commas(name, save):
    text, numbers = DECIMAL_COMMAS[name]
    np.testing.assert_array_equal(read(save("t.csv", text)).x, numbers)


TOWNS = "town,width,price\nBern,0,7\nRome,2,8\n"


def test_text_columns(save):
    """They are inputs by their names, or left out."""
    probe = read(save("t.csv", TOWNS), "price")
    assert probe.names == ("town", "width")
    assert probe.x["town"].tolist() == [["Bern"], ["Rome"]]
    np.testing.assert_array_equal(probe.x["width"], [[0], [2]])
    probe = read(save("t.csv", TOWNS), "price", "width")
    assert probe.names == ("width",)
    np.testing.assert_array_equal(probe.x, [[0], [2]])
    np.testing.assert_array_equal(probe.y, [[7], [8]])


def test_points_are_the_columns_or_arrays_asked_for_in_that_order(save):
    probe = read(save("t.csv", TABLE), x="price,width")
    assert (probe.names, probe.y) == (("price", "width"), None)
    np.testing.assert_array_equal(probe.x, [[7, 0], [8, 2], [9, 4]])
    probe = read(save("t.npz", {"a": X, "b": X + 1, "c": Y}), "c", "b")
    np.testing.assert_array_equal(probe.x, X + 1)
    np.testing.assert_array_equal(probe.y, Y)


def test_known_values_in_another_file(save):
    probe = read(save("x.npy", X), str(save("y.npy", Y)))
    np.testing.assert_array_equal(probe.y, Y)
    for name, content in (("xy.npz", {"x": X, "y": X}), ("one.npz", {"anything": X})):
        probe = read(save(name, content), str(save("known.npz", {"known": Y})))
        np.testing.assert_array_equal(probe.x, X)
        np.testing.assert_array_equal(probe.y, Y)
    with pytest.raises(UnusableError, match="must hold one array"):
        read(save("x.npy", X), str(save("ab.npz", {"a": X, "b": Y})))


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"width": X[:, 0], "height": X[:, 1].astype("float32"), "price": [7, 8, 9]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    probe = read(tmp_path / "t.parquet", "price")
    np.testing.assert_array_equal(probe.x, X)
    np.testing.assert_array_equal(probe.y, Y)
    towns = {**columns, "town": ["Bern", "Rome", "Bern"]}
    parquet.write_table(pyarrow.table(towns), tmp_path / "towns.parquet")
    assert read(tmp_path / "towns.parquet").x["town"].tolist() == [["Bern"], ["Rome"], ["Bern"]]
    np.testing.assert_array_equal(read(tmp_path / "towns.parquet", "price", "width").x, X[:, :1])
    parquet.write_table(pyarrow.table({"lists": [[1], [2, 3]]}), tmp_path / "lists.parquet")
    with pytest.raises(UnusableError, match="no table of numbers"):
        read(tmp_path / "lists.parquet")


def test_parquet_without_its_reader(save, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnusableError, match="pyarrow, which reads it, is not installed"):
        read(save("t.parquet", "PAR1"))


class Harmful:
    def __reduce__(self):
        return (print, ("code from the file was run",))


UNUSABLE = {
    "missing": (None, None, "There is no file"),
    "model.keras": ("", None, "Received: .*model.keras. The model comes first"),
    "x.txt": ("1 2", None, "must be a file that ends in .npy, .npz, .csv, .parquet"),
    "damaged.npy": (b"\x93NUMPY\x01", None, "damaged|cannot be read"),
    "empty.npy": (b"", None, "cannot be read|damaged"),
    "fake.npz": (b"PK\x03\x04 no zip", None, "damaged|cannot be read"),
    "zip.npy": (b"PK\x03\x04 no zip", None, "cannot be read"),
    "pickled.npy": (np.array([Harmful()], dtype=object), None, "pickled objects"),
    "pickled.npz": ({"x": np.array([Harmful()], dtype=object)}, None, "pickled objects"),
    "empty.csv": ("", None, "no row of numbers"),
    "header.csv": ("a,b\n", None, "no row of numbers"),
    "word.csv": ("a,b\n1,2\n3,four\n", None, "line 3, column 2: must be a number.*'four'"),
    "ragged.csv": ("1,2\n3\n", None, "line 2: must have 2 cells. Received: 1"),
    "binary.csv": (b"\xff\xfe\x00", None, "cannot be read as csv"),
    "unnamed.csv": (TABLE, "cost", "'width', 'height', 'price'.*Received: 'cost'"),
    "all.csv": ("a\n1\n", "a", "none is left for x"),
    "both.csv": ("a;b\n1,5;0.5\n2;1\n", None, "line 2, column 2: must be a number.*'0.5'"),
    "unclear.csv": ("a\tb\n1,234\t5,678\n", None, "whether the comma in '1,234' is a decimal one"),
    "towns.csv": (TOWNS, "town", "--y must name numbers. Received: 'town'"),
    "twice.csv": ("a,a\n1,2\n", None, "must have different names"),
    "broken.parquet": (b"no parquet", None, "no table of numbers"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used(name, save, tmp_path, capfd):
    content, y, message = UNUSABLE[name]
    path = tmp_path / "missing.npy" if content is None else save(name, content)
    with pytest.raises(UnusableError, match=message):
        read(path, y)
    assert "was run" not in capfd.readouterr().out
