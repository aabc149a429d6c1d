"""Reads a probe from a file: npy, npz, csv or parquet. Nothing is unpickled."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from keras_curvature_cli.faults import UnusableError

WITHOUT_A_READER = (
    "{path} is a parquet file, and pyarrow, which reads it, is not installed. "
    "Install it (pip install pyarrow), or save the probe as csv or npy."
)


WITH_A_COMMA = r"[+-]?(\d{1,3}(\.\d{3})+|\d*)(,\d*)?([eE][+-]?\d+)?"
"""A number with a decimal comma; points stand between its thousands if anywhere."""

THOUSANDS = r"[+-]?[1-9]\d{0,2}(,\d{3})+"
"""A number that may have commas between its thousands."""

NAMELESS = "it has none"


@dataclass(frozen=True)
class ProbeFile:
    """What a file holds.

    Attributes:
        x: the points: an array; or a dict of arrays by the names of the model's inputs, or of
            columns `(n, 1)`, some of them text.
        y: known values of the function there, or `None`.
        names: of the columns, where the file has some.
        by_habit: whether arrays called x and y were taken for these unasked: a model may have
            inputs of these names.
    """

    x: Any
    y: Any = None
    names: tuple[str, ...] | None = None
    by_habit: bool = False

    @property
    def points(self) -> Any:
        """As the library takes them."""
        return self.x if self.y is None else (self.x, self.y)


def read(path: Path, y: str | None = None, x: str | None = None) -> ProbeFile:
    """Reads a probe.

    Args:
        path: of the file; its ending says what it is.
        y: the known values: the name of columns of the file (several with commas between) or of
            an array in it, or another file.
        x: the names of the columns or arrays that are the points, with commas between; all that
            are no known values if left out.

    Raises:
        UnusableError: for a file that is missing, of another kind or not made of numbers.
    """
    probe = _reader(path)(path)
    there = probe.names or tuple(probe.x if isinstance(probe.x, dict) else ())
    pair = set(there) == {"x", "y"} and probe.names is None
    by_habit = pair and y is None and x is None
    y = "y" if by_habit else y
    values, known = None, tuple((y or "").split(","))
    points = there
    if y is not None and set(known) <= set(there):
        values = _numbers_only(_chosen(probe, known)[0], y)
        points = tuple(name for name in there if name not in known)
    elif y is not None and not Path(y).exists():
        raise UnusableError(
            f"--y must be a file, or one of the names in {path.name}: {list(there) or NAMELESS}. "
            f"Received: {y!r}."
        )
    elif y is not None:
        values = _only(_reader(Path(y))(Path(y)).x)
        if isinstance(values, dict):
            raise UnusableError(f"--y {y} must hold one array. Received: {', '.join(values)}.")
        points = ("x",) if pair else there
    if x is not None:
        points = tuple(x.split(","))
        if not set(points) <= set(there):
            raise UnusableError(
                f"--x must be names in {path.name}: {list(there) or NAMELESS}. Received: {x!r}."
            )
    if there and not points:
        raise UnusableError("--y names all columns: none is left for x.")
    if points == there:
        whole = probe.x if probe.names is not None else _only(probe.x)
        return ProbeFile(whole, values, probe.names)
    chosen, names = _chosen(probe, points)
    return ProbeFile(chosen, values, names, by_habit)


def _chosen(probe: ProbeFile, wanted: Sequence[str]) -> tuple[Any, tuple[str, ...] | None]:
    """Some arrays or columns of a file, and the names of the columns."""
    if not isinstance(probe.x, dict):
        assert probe.names is not None, "what can be chosen has a name"
        return probe.x[:, [probe.names.index(name) for name in wanted]], tuple(wanted)
    parts = {name: probe.x[name] for name in wanted}
    if probe.names is None:
        return _only(parts), None
    return _side_by_side(parts), tuple(wanted)


def _side_by_side(columns: dict[str, np.ndarray]) -> Any:
    """One array, where all columns `(n, 1)` are of numbers."""
    if any(column.dtype.kind == "U" for column in columns.values()):
        return columns
    return np.hstack(list(columns.values()))


def _numbers_only(values: Any, y: str) -> Any:
    if isinstance(values, dict):
        raise UnusableError(f"--y must name numbers. Received: {y!r}, where there is text.")
    return values


def _reader(path: Path) -> Callable[[Path], ProbeFile]:
    readers = {".npy": _npy, ".npz": _npz, ".csv": _csv, ".parquet": _parquet}
    if path.suffix.lower() not in readers:
        raise UnusableError(
            f"A probe must be a file that ends in {', '.join(readers)}. Received: {path}."
            + (" The model comes first." if path.suffix == ".keras" else "")
        )
    if not path.is_file():
        raise UnusableError(f"There is no file {path}.")
    return readers[path.suffix.lower()]


def _npy(path: Path) -> ProbeFile:
    array = _loaded(path)
    if not isinstance(array, np.ndarray):
        raise UnusableError(f"{path} holds several arrays: its name must end in .npz.")
    return ProbeFile(array)


def _npz(path: Path) -> ProbeFile:
    archive = _loaded(path)
    if isinstance(archive, np.ndarray):
        raise UnusableError(f"{path} holds one array: its name must end in .npy.")
    with archive:
        try:
            arrays = {name: archive[name] for name in archive.files}
        except ValueError as error:
            raise _not_numbers(path) from error
    return ProbeFile(arrays)


def _loaded(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:
        raise _not_numbers(path) from error
    except (OSError, EOFError, BadZipFile) as error:
        raise UnusableError(f"{path} cannot be read: {error}") from error


def _not_numbers(path: Path) -> UnusableError:
    return UnusableError(
        f"{path} is no array of numbers: it is damaged, or holds pickled objects, which are not "
        "loaded because they can run any code. Save plain numbers with numpy.save or numpy.savez."
    )


def _csv(path: Path) -> ProbeFile:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            mark, table = _separated(file.readlines())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableError(f"{path} cannot be read as csv: {error}") from error
    rows = [(number, row) for number, row in enumerate(table, 1) if row]
    number_in = _numbers_of(path, mark, [cell for _, row in rows for cell in row])
    names = None
    if rows and None in map(number_in, rows[0][1]):
        names = tuple(cell.strip() for cell in rows.pop(0)[1])
    if not rows:
        raise UnusableError(f"{path} holds no row of numbers.")
    width = len(names or rows[0][1])
    for number, row in rows:
        if len(row) != width:
            raise UnusableError(
                f"{path}, line {number}: must have {width} cells. Received: {len(row)}."
            )
    columns = [
        _column(path, [(number, row[i]) for number, row in rows], i, number_in)
        for i in range(width)
    ]
    named = dict(zip(names or map(str, range(width)), columns, strict=True))
    if len(named) < width:
        raise UnusableError(f"{path}: its columns must have different names. Received: {names}.")
    return ProbeFile(_side_by_side(named), names=names)


def _separated(lines: Sequence[str]) -> tuple[str, list[list[str]]]:
    """What stands between the cells, and the cells.

    Commas come last: where they are decimal, spreadsheets part columns otherwise.
    """
    tables = {mark: list(csv.reader(lines, delimiter=mark)) for mark in (";", "\t", ",")}
    for mark, table in tables.items():
        widths = {len(row) for row in table if row}
        if len(widths) == 1 and widths != {1}:
            return mark, table
    first = next(filter(str.strip, lines), "")
    mark = next((mark for mark in tables if mark in first), ",")
    return mark, tables[mark]


def _numbers_of(path: Path, mark: str, cells: Sequence[str]) -> Callable[[str], float | None]:
    """What turns a cell into its number, or into `None`, in a file of such cells."""
    commas = [cell for cell in cells if "," in cell and re.fullmatch(WITH_A_COMMA, cell.strip())]
    if mark == "," or not commas:
        return _number
    if mark == "\t" and all(re.fullmatch(THOUSANDS, cell.strip()) for cell in commas):
        raise UnusableError(
            f"{path}: it cannot be told whether the comma in {commas[0]!r} is a decimal one. Write "
            "decimal points, and nothing between thousands."
        )

    def number(cell: str) -> float | None:
        cell = cell.strip()
        if not any(map(str.isdigit, cell)):
            return _number(cell)  # nan, inf
        if not re.fullmatch(WITH_A_COMMA, cell):
            return None  # a decimal point among decimal commas
        return _number(cell.replace(".", "").replace(",", "."))

    return number


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _column(
    path: Path,
    cells: Sequence[tuple[int, str]],
    index: int,
    number_in: Callable[[str], float | None],
) -> np.ndarray:
    """One column, `(n, 1)`, of numbers or, if no cell is a number, of text."""
    numbers = [number_in(cell) for _, cell in cells]
    if all(number is None for number in numbers):
        return np.array([[cell.strip()] for _, cell in cells])
    if None in numbers:
        line, cell = cells[numbers.index(None)]
        raise UnusableError(
            f"{path}, line {line}, column {index + 1}: must be a number. Received: {cell!r}."
        )
    return np.array(numbers, dtype=np.float64)[:, None]


def _parquet(path: Path) -> ProbeFile:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError as error:
        raise UnusableError(WITHOUT_A_READER.format(path=path)) from error
    try:
        table = parquet.read_table(path)
        arrays = {
            name: np.asarray(column)[:, None]
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
        columns = {
            name: array.astype(str if _is_text(array) else np.float64)
            for name, array in arrays.items()
        }
    except (ArrowException, OSError, ValueError, TypeError) as error:
        raise UnusableError(f"{path} is no table of numbers: {error}") from error
    if not columns:
        raise UnusableError(f"{path} has no columns.")
    return ProbeFile(_side_by_side(columns), names=tuple(columns))


def _is_text(array: np.ndarray) -> bool:
    return all(isinstance(entry, str) for entry in array.flat)


def _only(arrays: Any) -> Any:
    """The array itself, if there is but one in a dict."""
    alone = isinstance(arrays, dict) and len(arrays) == 1
    return next(iter(arrays.values())) if alone else arrays
