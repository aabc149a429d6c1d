"""Reads a probe from a file: npy, npz, csv or parquet. Nothing is unpickled."""

from __future__ import annotations

import csv
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


@dataclass(frozen=True)
class ProbeFile:
    """What a file holds.

    Attributes:
        x: the points, an array or a dict of arrays by the names of the model's inputs.
        y: known values of the function there, or `None`.
        names: of the columns, where the file has some.
    """

    x: Any
    y: Any = None
    names: tuple[str, ...] | None = None

    @property
    def points(self) -> Any:
        """As the library takes them."""
        return self.x if self.y is None else (self.x, self.y)


def read(path: Path, y: str | None = None) -> ProbeFile:
    """Reads a probe.

    Args:
        path: of the file; its ending says what it is.
        y: the known values: the name of columns of the file (several with commas between) or of
            an array in it, or another file.

    Raises:
        UnusableError: for a file that is missing, of another kind or not made of numbers.
    """
    probe = _reader(path)(path)
    if y is None:
        return probe
    if isinstance(probe.x, dict) and y in probe.x:
        rest = {name: array for name, array in probe.x.items() if name != y}
        return ProbeFile(_only(rest), probe.x[y])
    if probe.names is not None and set(y.split(",")) <= set(probe.names):
        return _parted(probe, y.split(","))
    if not Path(y).exists():
        there = list(probe.names or (probe.x if isinstance(probe.x, dict) else ()))
        raise UnusableError(
            f"--y must be a file, or one of the names in {path.name}: {there or 'it has none'}. "
            f"Received: {y!r}."
        )
    return ProbeFile(probe.x, _reader(Path(y))(Path(y)).x, probe.names)


def _reader(path: Path) -> Callable[[Path], ProbeFile]:
    readers = {".npy": _npy, ".npz": _npz, ".csv": _csv, ".parquet": _parquet}
    if path.suffix.lower() not in readers:
        raise UnusableError(
            f"A probe must be a file that ends in {', '.join(readers)}. Received: {path}."
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
    if set(arrays) == {"x", "y"}:
        return ProbeFile(arrays["x"], arrays["y"])
    return ProbeFile(_only(arrays))


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
            lines = file.readlines()
        first = next(filter(str.strip, lines), "")
        table = csv.reader(lines, delimiter=_separator(first))
        rows = [(number, row) for number, row in enumerate(table, 1) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableError(f"{path} cannot be read as csv: {error}") from error
    names = None
    if rows and not all(_is_number(cell) for cell in rows[0][1]):
        names = tuple(cell.strip() for cell in rows.pop(0)[1])
    if not rows:
        raise UnusableError(f"{path} holds no row of numbers.")
    width = len(names or rows[0][1])
    return ProbeFile(
        np.array([_numbers(path, number, row, width) for number, row in rows]), names=names
    )


def _separator(line: str) -> str:
    """Where numbers are written with a decimal comma, spreadsheets part columns otherwise."""
    return next((mark for mark in (",", ";", "\t") if mark in line), ",")


def _numbers(path: Path, number: int, row: Sequence[str], width: int) -> list[float]:
    if len(row) != width:
        raise UnusableError(
            f"{path}, line {number}: must have {width} cells. Received: {len(row)}."
        )
    for column, cell in enumerate(row, 1):
        if not _is_number(cell):
            raise UnusableError(
                f"{path}, line {number}, column {column}: must be a number. Received: {cell!r}."
            )
    return [float(cell) for cell in row]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parquet(path: Path) -> ProbeFile:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError as error:
        raise UnusableError(WITHOUT_A_READER.format(path=path)) from error
    try:
        table = parquet.read_table(path)
        columns = [np.asarray(column, dtype=np.float64) for column in table.columns]
    except (ArrowException, OSError, ValueError, TypeError) as error:
        raise UnusableError(f"{path} is no table of numbers: {error}") from error
    if not columns:
        raise UnusableError(f"{path} has no columns.")
    return ProbeFile(np.stack(columns, axis=1), names=tuple(table.column_names))


def _parted(probe: ProbeFile, wanted: Sequence[str]) -> ProbeFile:
    """Some columns are y, the others x."""
    assert probe.names is not None, "columns have names"
    is_y = np.array([name in wanted for name in probe.names])
    if is_y.all():
        raise UnusableError("--y names all columns: none is left for x.")
    names = tuple(name for name in probe.names if name not in wanted)
    order = [probe.names.index(name) for name in wanted]
    return ProbeFile(probe.x[:, ~is_y], probe.x[:, order], names)


def _only(arrays: dict[str, Any]) -> Any:
    """The array itself, if there is but one."""
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays
