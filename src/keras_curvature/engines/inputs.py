"""What a model is given: checked against what it takes, and flattened."""

from __future__ import annotations

import copy
import functools
import inspect
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.data_frames import (
    as_array,
    columns_of,
    names_of_columns,
    only_numbers,
    what_to_do,
)
from keras_curvature.engines.keras_calls import LIBRARIES, library_of
from keras_curvature.engines.layout import fits, in_own_order, keys_in_order
from keras_curvature.engines.losses import labels_of
from keras_curvature.engines.masks import mask_of, packed
from keras_curvature.typing import Model, Structure, Tensor

ALONE = (
    "Give the points alone, as an array; known values `y` go beside them only in a monitor's "
    "probe, the tuple (x, y)."
)


@dataclass(frozen=True)
class Inputs:
    """A batch as the model takes it.

    Attributes:
        leaves: the tensors, in the dtype that they came in, and after them their masks.
        specs: for each, the dtype and the shape without the batch in which the model is traced.
        structure: the structure they came in.
        names: a name for each that is no mask.
        columns: for each, the names of its columns where it came as a data frame.
        masked: for each mask, the index of the tensor that it is of.
        batch: how many examples the model's inputs say that it takes at a time, or `None`.
        counted: whether an index means the input that a user finds by counting: the keys of a dict
            may have been written in another order than the one in which Keras sorts them.
    """

    leaves: tuple[Tensor, ...]
    specs: tuple[Any, ...]
    structure: Any
    names: tuple[str, ...]
    columns: tuple[tuple[str, ...] | None, ...]
    masked: tuple[int, ...] = ()
    batch: int | None = None
    counted: bool = True

    def packed(self, leaves: Sequence[Any]) -> Any:
        """Nests things in the place of the leaves as the model takes them."""
        return packed(self.structure, leaves, self.masked)


def prepare(model: Model, x: Structure) -> Inputs:
    """Checks a batch and converts it.

    Args:
        model: the model that is to take it.
        x: a tensor or the model's structure of tensors, all with the batch in front. Masks that
            Keras hung on them are what the model is called with.

    Raises:
        ValueError: for an unbuilt model, an empty batch, or a shape that does not fit.
        TypeError: for something that is not numbers, or not a model.
    """
    _require_model(model)
    _require_built(model)
    given = x
    x, declared = matched(model, x)
    leaves = keras.tree.flatten(x)
    if leaves and all(isinstance(leaf, numbers.Number) for leaf in leaves):
        x = numbers_in(x, "x")  # nested lists of numbers are an array, not a structure
        leaves = [x]
    if not leaves:
        raise ValueError(f"`x` holds no array. Received: {x!r}.")
    _require_as_many(declared, leaves)
    tensors, specs = [], []
    for i, leaf in enumerate(leaves):
        target = declared[i] if declared else None
        tensor, spec = _convert(model, leaf, target)
        tensors.append(tensor)
        specs.append(spec)
    masks = {i: mask_of(leaf) for i, leaf in enumerate(leaves) if mask_of(leaf) is not None}
    for mask in map(xp.array, masks.values()):
        tensors.append(mask)
        specs.append(xp.spec([None, *mask.shape[1:]], mask.dtype))
    _require_one_batch(tensors)
    batch = next((t.shape[0] for t in declared if t.shape[0] is not None), None)
    _require_whole_batches(tensors[0].shape[0], batch)
    return Inputs(
        leaves=tuple(tensors),
        specs=tuple(specs),
        structure=keras.tree.map_structure(lambda _: None, x),
        names=_names(x, declared, len(leaves), labels_of(model)),
        columns=tuple(names_of_columns(leaf) for leaf in leaves),
        masked=tuple(masks),
        batch=batch,
        counted=_counts(model, given, x, declared),
    )


def _require_model(model: Any) -> None:
    method = model
    while isinstance(method, functools.partial):
        method = method.func
    owner = getattr(method, "__self__", None)
    if isinstance(owner, keras.Layer) and hasattr(keras.Model, method.__name__):
        # They are there for arrays (`predict`), or skip what Keras does around a call (`call`).
        received = f"the method `{method.__name__}` of {owner.name!r}. Give the model itself"
    elif inspect.isclass(model) or not callable(model):
        is_array = hasattr(model, "shape")
        received = f"an array, {tuple(model.shape)}. The model comes first" if is_array else ""
        received = received or repr(model)
    else:
        return
    raise TypeError(
        f"`model` must be a Keras model or layer, or a function of tensors. Received: {received}."
    )


def _require_built(model: Model) -> None:
    if isinstance(model, keras.Layer) and not model.built:
        raise ValueError(
            f"The model {model.name!r} has no build shape yet, so it has no weights to "
            "differentiate. Give it a `keras.Input`, call `model.build(shape)`, or call it "
            "once on data."
        )


def matched(model: Model, x: Structure) -> tuple[Structure, list[Any]]:
    """What a model takes of `x`, and the Keras tensors that it declares, in the same order.

    Of a dict it takes what it has inputs for, by their keys, and of a data frame the columns that
    have their names, where there are several. Keras itself goes by position, in the order of the
    alphabet, where the model was made of a dict and `x` has a key too many.

    Returns:
        `x` and no tensors for a model that is neither functional nor Sequential.

    Raises:
        ValueError: for a dict or a data frame that lacks an input.
    """
    declared = _declared(model)
    if names_of_columns(x) is not None and len(declared) > 1:
        x = by_column(model, x, columns_of(x))
    if not isinstance(x, dict) or not declared:
        return x, declared
    by_key = _by_key(model, declared)
    if not set(by_key) <= set(x):
        raise ValueError(
            f"The model takes one input, {declared[0].name!r}. Received: a dict with "
            f"{sorted(map(str, x))}. {ALONE}"
            if len(declared) == 1
            else f"The model's inputs are called {sorted(by_key)}. Received: a dict with "
            f"{sorted(map(str, x))}."
        )
    taken = copy.copy(by_key)  # an `OrderedDict` for one: Keras flattens these in their own order
    taken.update({key: x[key] for key in by_key})
    return taken, list(keras.tree.flatten(by_key))


def _declared(model: Model) -> list[Any]:
    inputs = getattr(model, "inputs", None) if isinstance(model, keras.Model) else None
    return list(inputs) if inputs else []


def _by_key(model: keras.Model, declared: Sequence[Any]) -> dict[str, Any]:
    """The inputs under the keys that they have in the dict of which the model was made."""
    made_of = _made_of(model)
    return made_of if isinstance(made_of, dict) else {tensor.name: tensor for tensor in declared}


def _counts(model: Model, given: Any, taken: Any, declared: Sequence[Any]) -> bool:
    """Whether Keras has the order that the user wrote: the model's or, if it has none, of `x`."""
    given, taken = (x[0] if labels_of(model) else x for x in (given, taken))
    has_order = bool(declared) and not isinstance(_made_of(model), dict)
    return in_own_order(taken) and (has_order or in_own_order(given))


def _made_of(model: Model) -> Any:
    try:
        return model.input  # type: ignore[attr-defined]
    except (AttributeError, ValueError):  # a Sequential model has none
        return None


def by_column(model: Model, table: Structure, columns: Mapping[str, Any]) -> Structure:
    """The columns of a table as the inputs that have their names.

    Returns:
        The table itself for a model that does not take several.

    Raises:
        ValueError: where an input has no column, or is more than one number.
    """
    declared = _declared(model)
    if len(declared) < 2:
        return table
    by_key = _by_key(model, declared)
    shapes = {key: tuple(tensor.shape[1:]) for key, tensor in by_key.items()}
    missing = sorted(set(shapes) - set(columns))
    wide = sorted(key for key, shape in shapes.items() if shape not in ((), (1,)))
    if missing or wide:
        why = f"without {missing}" if missing else f"and the inputs {wide} are no single numbers"
        raise ValueError(
            "A data frame must have a column of one number for each of the model's inputs, "
            f"{list(shapes)}. Received: the columns {list(columns)}, {why}. Name the columns so, "
            f"or give a dict: {_example(shapes)}."
        )
    return {key: columns[key].reshape(-1, *shape) for key, shape in shapes.items()}


def _example(names: Iterable[str]) -> str:
    return f"{{{', '.join(f'{name!r}: ...' for name in names)}}}"


def _require_as_many(declared: Sequence[Any], leaves: Sequence[Any]) -> None:
    if not declared or len(declared) == len(leaves):
        return
    names = [tensor.name for tensor in declared]
    shapes = ", ".join(str(tuple(getattr(leaf, "shape", ()))) for leaf in leaves)
    what = f"{len(leaves)} array{'s' if len(leaves) > 1 else ''} of shape {shapes}"
    if len(names) == 1:
        raise ValueError(
            f"The model takes one input, an array of shape {_spelled(declared[0].shape)}. "
            f"Received: {what}. {ALONE}"
        )
    raise ValueError(
        f"The model takes {len(names)} inputs, {names}. Received: {what}. Give a dict by name, "
        f"{_example(names)}, or a list in this order."
    )


def _convert(model: Model, leaf: Any, declared: Any) -> tuple[Tensor, Any]:
    takes_text = declared is None or declared.dtype == "string"
    tensor = xp.array(leaf if takes_text and is_text(leaf) else numbers_in(leaf, "x"))
    if tensor.ndim == 0 or tensor.shape[0] == 0:
        raise ValueError(
            "`x` must hold at least one example, with the batch as the first axis. "
            f"Received: shape {tuple(tensor.shape)}."
        )
    _require_fitting(tensor, declared, names_of_columns(leaf))
    native = _native_dtype(model, tensor, declared)
    return tensor, xp.spec([None, *tensor.shape[1:]], native)


def is_text(value: Any) -> bool:
    """Whether an array or tensor holds strings, which a model may take beside numbers."""
    if xp.is_tensor(value):
        return bool(xp.is_string(value.dtype))
    array = np.asarray(value) if isinstance(value, (np.ndarray, list, tuple)) else None
    if array is None or array.dtype.kind not in "SUO":
        return False
    return all(isinstance(entry, (str, bytes)) for entry in array.flat)


def numbers_in(value: Any, what: str) -> Any:
    """A dense array or tensor of real numbers.

    Raises:
        TypeError: for anything else.
    """
    array, dtype = value, None
    if xp.is_dense(value) and not isinstance(value, keras.KerasTensor):
        try:
            array = value if xp.is_tensor(value) else as_array(value)
            dtype = xp.dtype_of(array.dtype)
        except (TypeError, ValueError, RuntimeError):  # NumPy's and TensorFlow's own say less
            dtype = None
    if dtype is None or not xp.is_numeric(dtype):
        raise TypeError(
            f"`{what}` must hold numbers: dense arrays or tensors of floats, integers or "
            f"booleans. Received: {_received(value, array)}."
        )
    return array


def _received(value: Any, array: Any) -> str:
    """What is no array of numbers, and what to do about it."""
    if isinstance(value, keras.KerasTensor):
        return (
            f"the symbolic tensor {value.name!r}, which has no numbers yet. Inside of a model take "
            "a layer, `keras_curvature.DerivativeOutput(net, ['laplacian'])(inputs)`"
        )
    if isinstance(value, keras.Layer):
        return f"the model {value.name!r} in their place"
    if names_of_columns(value) is not None:
        return what_to_do(value) or f"a {type(value).__name__} of {names_of_columns(value)}"
    library = library_of(value)
    if library:
        return (
            f"a {type(value).__name__} of {LIBRARIES[library]} that NumPy cannot read, as one that "
            f"is being traced. Keras runs on {keras.config.backend()!r} here: give NumPy's "
            f"numbers, or choose the other with KERAS_BACKEND={library}"
        )
    cast = '. All of them are numbers: write `.astype("float32")`' if only_numbers(array) else ""
    return f"{type(value).__name__} of dtype {getattr(array, 'dtype', 'unknown')}{cast}"


def _native_dtype(model: Model, tensor: Tensor, declared: Any) -> Any:
    """The dtype in which the model itself would take this array."""
    if declared is not None:
        return xp.dtype_of(declared.dtype)
    own = tensor.dtype
    if xp.is_floating(own) and isinstance(model, keras.Layer):
        return xp.dtype_of(model.variable_dtype)
    return own


def _require_fitting(tensor: Tensor, declared: Any, columns: Sequence[str] | None) -> None:
    if declared is None:
        return
    wanted = (None, *declared.shape[1:])
    if not fits(wanted, tensor.shape):
        if columns is not None and len(wanted) == 2:
            raise ValueError(
                f"`x` must have {wanted[1]} columns to fit the model's input {declared.name!r}. "
                f"Received: a data frame of {len(columns)}, {list(columns)}. Choose those that the "
                "model takes, in its order: `frame[[...]]`."
            )
        raise ValueError(
            f"`x` must have shape {_spelled(wanted)} to fit the model's input "
            f"{declared.name!r}. Received: shape {tuple(tensor.shape)}. "
            "No axis is added or squeezed: reshape it first."
        )
    if declared.dtype == "string" != xp.name_of(tensor.dtype):
        raise TypeError(
            f"`x` must hold text for the model's input {declared.name!r}. Received: "
            f"{xp.name_of(tensor.dtype)}."
        )


def _spelled(shape: Sequence[int | None]) -> str:
    sizes = ["n", *("any" if size is None else str(size) for size in shape[1:])]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _require_one_batch(tensors: Sequence[Tensor]) -> None:
    batches = {tensor.shape[0] for tensor in tensors} - {None}
    if len(batches) > 1:
        raise ValueError(
            "All inputs must hold the same number of examples. "
            f"Received: shapes {[tuple(tensor.shape) for tensor in tensors]}."
        )


def _require_whole_batches(count: int | None, batch: int | None) -> None:
    if count is not None and batch is not None and count % batch:
        raise ValueError(
            f"`x` must hold {batch} examples, or several times as many: the model is made for "
            f"batches of {batch} (`batch_size={batch}` in its `keras.Input`). Received: {count}. "
            f"Leave some out, or build the model without `batch_size` and copy the weights."
        )


def _names(x: Any, declared: Sequence[Any], count: int, labels: int) -> tuple[str, ...]:
    if labels:
        points, y = x
        apart = count - labels
        return (
            *_names(points, declared[:apart], apart, 0),
            *_names(y, declared[apart:], labels, 0),
        )
    keys = keys_in_order(x)
    if keys is not None:
        return tuple(keys)
    if declared:
        return tuple(tensor.name for tensor in declared)
    return tuple(f"input_{i}" for i in range(count)) if count > 1 else ("input",)
