"""A function of any framework, or of none, called from outside with arrays of NumPy."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.api import Options, bind, run_chunked, selector, xp
from keras_curvature.engines.backend import (
    BACKEND,
    FRAMEWORKS,
    callables_of,
    called,
    computing_in,
    unnoticed,
    unobserved,
)
from keras_curvature.typing import Array, Model, Output, Structure, Tensor

MODULES = {"tensorflow": "tensorflow", "jax": "jax", "jaxlib": "jax", "torch": "torch"}
"""Top-level modules of tensors and functions, and whose they are."""

DTYPES = ("float64", "float32")
"""In which a function is called, the first that it takes."""

ROWS = 2**13
"""Examples that a function is given at a time."""


@dataclass(frozen=True, eq=False)
class BlackBox:
    """A function, and how it is called.

    Attributes:
        name: of the function.
        function: from a tensor to the chosen output.
        framework: whose tensors it gives; `None` for arrays of NumPy.
        given: whose tensors it is given.
        dtype: in which it is called.
        says: the dtype of what it gives.
        input_shape: of an example.
        output_shape: of its output.
        exact: the same function in float64, `(n, *input_shape)` to `(n, outputs)`, where `dtype`
            is narrower and it can be had.
        model: the Keras model or the module that it is, which can be cut.
        rows: examples at a time.
    """

    name: str
    function: Callable[[Any], Any]
    framework: str | None
    given: str | None
    dtype: str
    says: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    exact: Callable[[Array], Array] | None = None
    model: Any = None
    rows: int = ROWS

    @property
    def width(self) -> int:
        """How many numbers an example's output has."""
        return int(np.prod(self.output_shape, dtype=int))

    def own(self, points: Array) -> Array:
        """Its values as it is, `(n, outputs)` in float64."""
        return self._chunked(self._once, points)

    def values(self, points: Array) -> Array:
        """Its values in float64 where it can be had, `(n, outputs)`."""
        return self.own(points) if self.exact is None else self._chunked(self.exact, points)

    def as_given(self, framework: str) -> BlackBox:
        """The same function, called with the tensors of another framework.

        It may be another one there: `x.var(1)` of NumPy divides by n, of PyTorch by n − 1.
        """
        return replace(self, given=framework, framework=framework)

    def _once(self, points: Array) -> Array:
        found = call(self.function, self.given, points.astype(self.dtype))
        return _rows(found, len(points)).reshape(len(points), self.width).astype(np.float64)

    def _chunked(self, f: Callable[[Array], Array], points: Array) -> Array:
        parts = [f(points[i : i + self.rows]) for i in range(0, len(points), self.rows)]
        return np.concatenate(parts)


def framework_of(thing: Any) -> str | None:
    """Whose a tensor or a function is; `None` for what is nobody's."""
    roots = (cls.__module__.partition(".")[0] for cls in type(thing).__mro__)
    return next((MODULES[root] for root in roots if root in MODULES), None)


def loaded() -> list[str]:
    """The frameworks that somebody has imported: whoever wrote the function has."""
    return [name for name in FRAMEWORKS if name in sys.modules]


def as_array(result: Any) -> Array:
    """A tensor of any framework as NumPy has it."""
    framework = framework_of(result)
    return np.asarray(result) if framework is None else callables_of(framework).array(result)


@contextlib.contextmanager
def float64_in_all() -> Iterator[None]:
    """Where float64 is float64 in every framework that is loaded."""
    with contextlib.ExitStack() as stack:
        for framework in loaded():
            stack.enter_context(callables_of(framework).in_float64())
        yield


def call(function: Callable[..., Any], given: str | None, *arrays: Array) -> Array:
    """A function's result as NumPy has it; it is handed copies, as tensors of a framework."""
    wide = any(array.dtype == np.float64 for array in arrays)
    with np.errstate(all="ignore"), float64_in_all() if wide else contextlib.nullcontext():
        if given is None:
            return as_array(function(*(array.copy() for array in arrays)))
        own = callables_of(given)
        return as_array(function(*map(own.tensor, arrays)))


def tried(function: Callable[..., Any], given: str | None, *arrays: Array) -> Array | str:
    """`call`, or what it raises."""
    try:
        return call(function, given, *arrays)
    except Exception as error:  # whatever a function raises for what it does not take
        return first_line(error)


def black_box(f: Model, x: Structure, output: Output, batch_size: int | None) -> BlackBox:
    """Finds out how a function is called, and what it gives.

    Raises:
        TypeError: for something that cannot be called, and for points that are no floats.
        ValueError: for a function that takes the points in no way, and for what it gives.
    """
    if isinstance(f, keras.Layer):
        return of_keras(f, x, output, batch_size)
    if not callable(f):
        raise TypeError(
            "`model` must be a Keras model, or a function from an array to an array. Received: "
            f"{f!r}."
        )
    points = points_of(x)
    if framework_of(f) is not None:
        f = callables_of(str(framework_of(f))).apart(f)
    box = _as_it_is_called(f, selector(f, output), x, points)
    box = replace(box, rows=batch_size or ROWS)
    module = box.dtype != "float64" and callables_of("torch") if box.given == "torch" else None
    wide = module.widened(f) if module else None
    if wide is None:
        return box
    chosen = selector(f, output)
    widely = replace(box, function=lambda t: chosen(wide(t)), dtype="float64")
    return replace(box, exact=widely.own)


def points_of(x: Structure) -> Array:
    """The points as an array of floats.

    Raises:
        TypeError: for anything else.
    """
    points = as_array(x)
    if points.dtype.kind != "f" and points.dtype.name != "bfloat16":
        raise TypeError(
            "`x` must be one array of floating-point numbers, (batch, *input_shape): the function "
            "is moved along it. Of several inputs make one function of one array. Received: dtype "
            f"{points.dtype}, shape {points.shape}. Pass x.astype('float64')."
        )
    if not points.size or not points.ndim:
        raise ValueError(
            "`x` must hold at least one example, (batch, *input_shape). Received: shape "
            f"{points.shape}."
        )
    if not np.isfinite(points).all():
        raise ValueError("`x` must be finite. Received: NaN or infinity in it. Leave these out.")
    return points.astype(np.float64)


class _Watched:
    """A function that remembers what it gave last."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.last: Any = None

    def __call__(self, t: Any) -> Any:
        """What the function gives."""
        self.last = self.function(t)
        return self.last


def _as_it_is_called(f: Model, chosen: Callable[[Any], Any], x: Any, points: Array) -> BlackBox:
    """The function as it is called: the first way that it takes."""
    own = framework_of(x) or framework_of(f)
    kinds = [own] if own else [None, *loaded()]
    errors: dict[str, str] = {}
    for dtype in DTYPES:
        for given in kinds:
            result = _Watched(lambda t: chosen(f(t)))
            found = tried(result, given, points.astype(dtype))
            if isinstance(found, str):
                errors.setdefault(found, f"{found} (for {dtype} of {given or 'NumPy'})")
                continue
            _require_numbers(found, result.last)
            found = _rows(found, len(points))
            return BlackBox(
                name=str(getattr(f, "__name__", type(f).__name__)),
                function=lambda t: chosen(f(t)),
                framework=framework_of(result.last),
                given=given,
                dtype=dtype,
                says=str(found.dtype),
                input_shape=points.shape[1:],
                output_shape=found.shape[1:],
                model=f,
            )
    said = "; ".join(errors.values())
    raise ValueError(
        "`model` must take an array of shape (batch, *input_shape), of NumPy or of an installed "
        f"framework. Received: {f!r}, which for shape {points.shape} raises: {said}."
    )


def are_real(numbers: Array) -> bool:
    """Whether an array holds real numbers."""
    return numbers.dtype.kind in "fiub" or numbers.dtype.name == "bfloat16"


def _require_numbers(found: Array, result: Any) -> None:
    if not are_real(found):
        raise ValueError(
            "`model` must give one array of real numbers, (batch, *output_shape); choose one of "
            f"several with `output`. Received: {type(result).__name__}, as NumPy has it of dtype "
            f"{found.dtype}."
        )


def _rows(found: Array, count: int) -> Array:
    if not found.ndim or len(found) != count:
        raise ValueError(
            f"`model` must give a result for each of the {count} examples, (batch, *output_shape), "
            f"for any number of examples. Received: shape {found.shape}. Of a function of one "
            "example make one of a batch, with jax.vmap, torch.vmap or "
            "`lambda x: np.stack([f(one) for one in x])`."
        )
    return found


def first_line(error: Exception) -> str:
    """The beginning of what an error says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:160] if lines else 'no message'}"


def of_keras(model: Model, x: Structure, output: Output, batch_size: int | None) -> BlackBox:
    """A Keras model, or a part of one, called as it is, and in float64 by this library."""
    leaves = keras.tree.flatten(x) if isinstance(x, (dict, list, tuple)) else [x]
    if len(leaves) > 1 and all(hasattr(leaf, "shape") for leaf in leaves):
        raise ValueError(
            "`claims` are of a function of one array. Received: a model of several inputs. Wrap "
            "it: `lambda x: model([x[:, :2], x[:, 2:]])`."
        )
    bound = bind(model, as_array(leaves[0]), Options(output=output, batch_size=batch_size))
    if bound.f.batch is not None:
        raise ValueError(
            "`claims` are of a function of any number of examples. Received: a model of exactly "
            f"{bound.inputs.batch} at a time. Build it with a batch size of None."
        )
    points, chosen = bound.inputs.leaves[0], selector(model, output)
    dtype = xp.name_of(xp.dtype_of(bound.inputs.specs[0].dtype))
    dtype = dtype if dtype in DTYPES else "float32"
    f64 = replace(bound.f, dtype=xp.dtype_of("float64"))
    size = batch_size or max(1, f64.rows_at_once())

    def compute(*given: Tensor) -> dict[str, Tensor]:
        z, rest = f64.point(given)
        return {"values": f64(z, rest)}

    @unobserved()
    def exact(rows: Array) -> Array:
        with warnings.catch_warnings(), computing_in("float64"):
            warnings.filterwarnings("ignore", message="TensorFlow has no .* in float64")
            found = run_chunked(bound, compute, [xp.array(rows)], size, {}, once=True)
        return xp.to_numpy(found["values"], np.float64)

    def function(t: Tensor) -> Tensor:
        with unnoticed(model):
            results = keras.tree.flatten(chosen(called(model, t, training=False)))
        if len(results) != 1:
            raise ValueError(
                f"`claims` are of one output. Received: a model of {len(results)}. Choose one of "
                "them with `output`."
            )
        return results[0]

    found = call(function, BACKEND, xp.to_numpy(points).astype(dtype))
    return BlackBox(
        name=str(getattr(model, "name", "")),
        function=function,
        framework=BACKEND,
        given=BACKEND,
        dtype=dtype,
        says=str(found.dtype),
        input_shape=tuple(points.shape[1:]),
        output_shape=found.shape[1:],
        exact=exact,
        model=model,
        rows=min(size, ROWS),
    )
