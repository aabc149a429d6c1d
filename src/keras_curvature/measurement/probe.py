"""What a probe may be: the points at which a model is watched while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.api import (
    NUMBERS,
    BoundModel,
    Layout,
    Options,
    by_column,
    by_index,
    checked_columns,
    columns_of,
    is_text,
    labels_of,
    matched,
    names_of_columns,
    numbers_in,
    side_by_side,
    xp,
)
from keras_curvature.engines.backend import FlatFunction
from keras_curvature.measurement import batches
from keras_curvature.measurement.named_columns import columns_like, order_of
from keras_curvature.typing import Model, Structure, Wrt

Names = Sequence[str] | Mapping[str, str | Sequence[str]]
"""`feature_names=`: of the inputs in their order, or by input."""


@dataclass(frozen=True)
class Probe:
    """Points at which to measure, and what is known there.

    Attributes:
        x: the points, in the structure that the model takes.
        y: known values of the function there, or `None`.
        columns: names of the inputs where `x` brought some (a data frame), or `None`.
        from_batches: whether it was read in batches.
        unfit: what is wrong with a data frame as an array. Then `x` has its columns by name: a
            model may have no input for the one to blame.
    """

    x: Structure
    y: Any
    columns: tuple[str, ...] | None
    from_batches: bool = False
    unfit: Exception | None = None

    @property
    def size(self) -> int:
        """How many points there are."""
        return len(keras.tree.flatten(self.x)[0])


def make_probe(given: Any) -> Probe:
    """Checks a probe and copies it, so that it stays what it was at the start.

    Args:
        given: an array or the model's structure of arrays; a tuple `(x, y)` of points and
            known values, or `(x, y, weights)`; or batches of either as Keras reads them, which
            have to end.

    Raises:
        ValueError: for an empty probe, NaN or infinity in it, or `y` of another length.
        TypeError: for something that is not numbers, and for a generator. For a column of a data
            frame that is no numbers `fitted` raises, which knows what the model takes of it.
    """
    from_batches = batches.in_batches(given)
    x, y, weights = _parted(batches.joined(given) if from_batches else given)
    columns = names_of_columns(x)
    x, unfit = (_as_array(x), None) if columns is None else _frame(x)
    beside = len(keras.tree.flatten(x)) > 1  # there are numbers to differentiate by, beside text
    if unfit is None:
        x = keras.tree.map_structure(
            lambda leaf: np.array(leaf) if beside and is_text(leaf) else _numbers(leaf, "probe"), x
        )
    leaves = keras.tree.flatten(x)
    sizes = {leaf.shape[0] if leaf.ndim else 0 for leaf in leaves}
    if not leaves or 0 in sizes:
        raise ValueError(
            "`probe` must hold at least one example, with the batch as the first axis. "
            f"Received: shapes {[leaf.shape for leaf in leaves]}."
        )
    if len(sizes) > 1:
        raise ValueError(
            "All arrays of `probe` must hold the same number of examples. "
            f"Received: shapes {[leaf.shape for leaf in leaves]}."
        )
    (size,) = sizes
    y, _ = (
        None if part is None else _per_point(_as_array(part), what, size)
        for part, what in ((y, "y"), (weights, "weights"))
    )
    return Probe(x, y, columns, from_batches, unfit)


def fitted(probe: Probe, model: Model, names: Names | None = None, wrt: Wrt = None) -> Probe:
    """The probe as the model takes it: columns of a data frame as the inputs of their names.

    Args:
        probe: that was given.
        model: what takes it.
        names: `feature_names`, into whose order the columns of a data frame are put for a model
            of one array.
        wrt: what is differentiated by.

    Raises:
        ValueError: for more arrays or columns than the model takes, or fewer, for columns of other
            names than were given, and for a dataset of single examples, which only the model can
            tell.
        TypeError: for a column of a data frame that is not numbers.
    """
    if probe.columns is not None:
        table: Any = probe.x
        whole = probe.unfit is None
        columns = dict(zip(probe.columns, table.T, strict=True)) if whole else table
        x: Any = by_column(model, table, columns)
        if x is table:
            probe = _in_order(probe, columns, model, names, wrt)
        else:
            taken = {
                name: column if is_text(column) else _numbers(column, f"probe's column {name!r}")
                for name, column in x.items()
            }
            probe = replace(probe, x=taken, columns=None, unfit=None)
    given, declared = matched(model, probe.x)
    leaves = keras.tree.flatten(given)
    _require_meant(probe, len(leaves), declared)
    for leaf, tensor in zip(leaves, declared, strict=False):
        if probe.from_batches and leaf.ndim == len(tensor.shape) - 1:
            raise ValueError(
                f"`probe` must give batches of shape {('n', *tensor.shape[1:])}, as the model's "
                f"input {tensor.name!r} takes. Received: elements of {leaf.ndim} axes, as of a "
                "dataset of single examples. Batch it first: `dataset.batch(n)`."
            )
    return probe


def _in_order(
    probe: Probe, columns: Mapping[str, Any], model: Model, names: Names | None, wrt: Wrt
) -> Probe:
    """A data frame as the array that a model of one input takes."""
    assert probe.columns is not None, "it is a data frame"
    declared = getattr(model, "inputs", None) or []
    order = order_of(probe.columns, names, wrt, [tensor.name for tensor in declared])
    width = declared[0].shape[-1] if declared and len(declared[0].shape) == 2 else None
    if width is not None and len(order) != width:
        known = columns_like(probe.y, columns)
        too_many = f", of which {known} hold the known values y" if known else ""
        leave_out = known if len(known) == len(order) - width else "..."
        advice = f" Leave out what it does not take: `frame.drop(columns={leave_out})`."
        raise ValueError(
            f"`probe` must have {width} column{'s' * (width > 1)}, as many as the model takes. "
            f"Received: a data frame of {len(order)}, {list(probe.columns)}{too_many}."
            f"{advice if len(order) > width else ''}"
        )
    if probe.unfit is not None:
        raise probe.unfit
    table: Any = probe.x
    x = np.array(table[:, order])
    x.flags.writeable = False
    return replace(probe, x=x, columns=tuple(probe.columns[i] for i in order))


def _require_meant(probe: Probe, count: int, declared: Sequence[Any]) -> None:
    """Tuples and lists mean different things, which only the model can tell apart."""
    if len(declared) == 1 and count == 2 and isinstance(probe.x, list):
        raise ValueError(
            "`probe` as a list must hold the model's inputs, and the model takes one. Received: a "
            "list of two. Points and known values go in a tuple: (x, y)."
        )
    if len(declared) > 1 and count == 1 and probe.y is not None:
        names = [tensor.name for tensor in declared]
        example = ", ".join(f"{name!r}: ..." for name in names)
        raise ValueError(
            "`probe` as a tuple must be (x, y), points and known values. Received: one array x for "
            f"a model of {len(names)} inputs, {names}. These go in a dict by name or in a list: "
            f"{{{example}}}, with known values ({{{example}}}, y)."
        )


def _parted(given: Any) -> tuple[Any, Any, Any]:
    """A tuple is `(x, y, weights)`, as everywhere in Keras; several inputs come in a list or dict.

    The weights weigh nothing here, as in Keras's own `metrics`.
    """
    if not isinstance(given, tuple):
        return given, None, None
    if not 1 <= len(given) <= 3:
        raise ValueError(
            "`probe` as a tuple must be (x,), (x, y) or (x, y, weights). Several inputs go in a "
            f"list or a dict. Received: a tuple of {len(given)}."
        )
    x, y, weights = (*given, None, None)[:3]
    return x, y, weights


def _per_point(given: Any, what: str, size: int) -> Any:
    """Arrays with something for each point."""
    arrays = keras.tree.map_structure(lambda leaf: _numbers(leaf, f"probe's {what}"), given)
    for leaf in keras.tree.flatten(arrays):
        if leaf.ndim == 0 or leaf.shape[0] != size:
            raise ValueError(
                f"`probe` has {size} points x, but {what} of shape {leaf.shape}. "
                f"Give one {what} per point. Several inputs go in a list, not in a tuple."
            )
    return arrays


def _frame(table: Any) -> tuple[Structure, Exception | None]:
    """A data frame as an array; as its columns where it is none, and why.

    Raises:
        ValueError: for NaN or infinity in a column of numbers, whether or not a model takes it.
    """
    try:
        return _numbers(table, "probe"), None
    except TypeError as error:
        columns = {name: np.array(column) for name, column in columns_of(table).items()}
        for name, column in columns.items():
            if column.dtype.kind in NUMBERS:
                _require_finite(column[:, None], "probe", [name])
        return columns, error


def _as_array(value: Any) -> Any:
    """Nested lists of plain numbers are an array, not a structure of arrays."""
    leaves = keras.tree.flatten(value) if isinstance(value, (list, tuple)) else []
    plain = leaves and all(isinstance(leaf, (int, float)) for leaf in leaves)
    return np.asarray(value) if plain else value


def _numbers(leaf: Any, what: str) -> np.ndarray[Any, Any]:
    given = numbers_in(leaf, what)
    if xp.is_tensor(given) and not xp.has_numbers(given):
        raise ValueError(
            f"`{what}` must hold numbers before training starts. Received: {given!r}, which has "
            "none yet, inside of a function that is being traced. Make the monitor outside of it."
        )
    array = np.array(xp.to_numpy(given))
    _require_finite(array, what, names_of_columns(leaf))
    array.flags.writeable = False  # TensorFlow may read from this very memory
    return array


def _require_finite(array: Any, what: str, columns: Sequence[str] | None) -> None:
    bad = np.argwhere(~np.isfinite(array))
    if not len(bad):
        return
    at = tuple(int(i) for i in bad[0])
    if columns is None:
        where, leave = f"at index {at}", ""
    else:
        where = f"in row {at[0]}, counted from 0, of the column {columns[at[1]]!r}"
        leave = ", or leave out a column that the model does not take"
    raise ValueError(
        f"`{what}` holds {len(bad)} value(s) that are NaN or infinite, the first {where}. Drop or "
        f"fill them{leave}: no derivative means anything there."
    )


def columns_by_index(options: Options, given: Names | None, probe: Probe) -> Options:
    """The options with the indexes of columns in the place of names, of the user or the probe.

    Raises:
        ValueError: for a name that no column has.
    """
    columns = checked_columns(options.columns)
    if columns is None:
        return options
    names: Any = probe.columns if given is None else given
    if isinstance(names, Mapping):
        names = names.get(options.wrt) if len(names) > 1 else next(iter(names.values()))
    inputs = list(probe.x) if isinstance(probe.x, Mapping) else []
    names = [names] if isinstance(names, str) else names
    return replace(options, columns=by_index(columns, names, inputs))


def names_given(given: Names | None, probe: Probe, f: FlatFunction) -> tuple[str, ...] | None:
    """One name per input number, `None` if nobody gave any: user, columns, or several inputs."""
    # The columns of a probe are not the outputs of a layer.
    columns = probe.columns if f.layer is None else None
    inputs = f.inputs
    nameless = len(inputs.shapes) == 1 and inputs.subset is None and not inputs.beside
    if given is None and columns is None and nameless:
        return None
    return feature_names(given, columns, f.inputs)


def feature_names(
    given: Names | None, columns: Sequence[str] | None, inputs: Layout
) -> tuple[str, ...]:
    """One name per input number.

    Args:
        given: the user's names: a sequence, or a dict by the names of the inputs that has one name
            for an input of one column and a sequence for one of several; or `None`.
        columns: the probe's own names, or `None`.
        inputs: what is differentiated by; of some columns the names are of all.

    Raises:
        ValueError: for names of a wrong number or not unique, and for a sequence where the inputs
            have no order.
    """
    if inputs.subset is not None:
        of_all = feature_names(given, columns, inputs.whole)
        return tuple(of_all[i] for i in inputs.subset.indexes)
    own = [_own_names(inputs, i) for i in range(len(inputs.shapes))]
    flat = tuple(name for names in own for name in names)
    if given is None:
        names = columns if columns is not None and len(columns) == len(flat) else flat
    elif isinstance(given, Mapping):
        names = _by_input(given, own, inputs)
    elif inputs.ordered or set(map(str, given)) == set(flat):
        names = given if inputs.ordered else flat  # matched by name
    else:
        example = ", ".join(f"{name!r}: ..." for name in inputs.names)
        raise ValueError(
            "`feature_names` must be a dict by the names of the inputs where the model takes a "
            "dict, whose keys Keras sorts: a list would lay the names over the wrong numbers. "
            f"Received: {given!r}. Write {{{example}}}, or leave it out: the inputs have names."
        )
    if isinstance(names, str) or len(names) != len(flat) or len(set(names)) != len(names):
        raise ValueError(
            f"`feature_names` must be {len(flat)} different names, one per input of the model. "
            f"Received: {given if given is not None else names!r}."
        )
    return tuple(str(name) for name in names)


def whole_input(bound: BoundModel) -> Layout:
    """All that the model takes, whatever it is differentiated by; without masks and labels."""
    inputs, labels = bound.inputs, labels_of(bound.model)
    count = len(inputs.names) - labels
    shapes = [tuple(leaf.shape[1:]) for leaf in inputs.leaves[:count]]
    structure = inputs.structure[0] if labels else inputs.structure
    return side_by_side(shapes, structure, inputs.names[:count])


def names_of_all(
    given: Names | None, columns: Sequence[str] | None, f: FlatFunction, whole: Layout
) -> tuple[str, ...]:
    """One name per number of the model's whole input, whichever are differentiated by.

    Args:
        given: the user's names, of the inputs that are differentiated by.
        columns: the probe's own names, or `None`.
        f: what is differentiated, and by what.
        whole: all that the model takes.
    """
    if f.layer is not None:
        return feature_names(None, columns, whole)
    by = f.inputs.whole
    flat, named = feature_names(given, columns, by), dict[str, Sequence[str]]()
    for name, size in zip(by.names, by.sizes, strict=True):
        named[name], flat = flat[:size], flat[size:]
    own = (named.get(name, _own_names(whole, i)) for i, name in enumerate(whole.names))
    return tuple(name for names in own for name in names)


def _by_input(
    given: Mapping[str, Any], own: Sequence[Sequence[str]], inputs: Layout
) -> tuple[str, ...]:
    """The names of a dict; inputs that it lacks keep their own."""
    unknown = sorted(set(given) - set(inputs.names))
    if unknown:
        raise ValueError(
            f"`feature_names` as a dict must be by the names of the inputs {list(inputs.names)}. "
            f"Received: {unknown}."
        )
    found: list[str] = []
    for name, before in zip(inputs.names, own, strict=True):
        names = given.get(name, before)
        names = list(names) if np.ndim(names) else [names]
        if len(names) != len(before):
            raise ValueError(
                f"`feature_names` must hold {len(before)} names for the input {name!r}. Received: "
                f"{given[name]!r}."
            )
        found += names
    return tuple(found)


def _own_names(inputs: Layout, i: int) -> list[str]:
    """The names that the numbers of one of the inputs have by themselves."""
    alone, shape = len(inputs.shapes) == 1 and not inputs.beside, inputs.shapes[i]
    base = "x" if alone else inputs.names[i]
    if shape in ((), (1,)):
        return [base]
    if len(shape) == 1 and alone:
        return [f"x{k}" for k in range(shape[0])]
    return [f"{base}[{','.join(map(str, index))}]" for index in np.ndindex(*shape)]
