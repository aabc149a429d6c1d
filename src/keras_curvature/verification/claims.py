"""What somebody says that the derivatives of a function are: arrays, functions, ways by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_curvature.engines import quantities
from keras_curvature.engines.backend import callables_of, ways_of
from keras_curvature.typing import Array, Claims
from keras_curvature.verification.black_box import (
    BlackBox,
    are_real,
    as_array,
    float64_in_all,
    framework_of,
    loaded,
    tried,
)
from keras_curvature.verification.forms import Form, Quantity, input_axes
from keras_curvature.verification.sample import Sample

GRADIENT = "gradient"
"""Another name of the Jacobian."""

ALL = "all"
"""Every way of the function's own framework."""

NUMBERS = 2**24
"""In whole Hessians, from which on they are not asked for."""

OF_SECOND_ORDER = (
    quantities.HESSIAN,
    quantities.DIAGONAL,
    quantities.LAPLACIAN,
    quantities.DIRECTIONAL,
    quantities.PRODUCT,
)
"""What a way may be asked for, beside partial derivatives by two inputs."""


@dataclass(frozen=True, eq=False)
class Claim:
    """One claim.

    Attributes:
        name: of the quantity, as it was given.
        quantity: which that is.
        label: what the claim is: "array", "function", or the name of a way.
        source: the array, the function or the way.
        framework: whose the way is.
    """

    name: str
    quantity: Quantity
    label: str
    source: Any
    framework: str | None = None

    def at_places(self, form: Form, s: Sample) -> Array:
        """What it says at the places of a form, `(n, k, places)`.

        Raises:
            ValueError: for a result that does not fit.
        """
        if self.framework is None:
            found = self.entries(s)
            if self.quantity != quantities.DIVERGENCE:
                return form.contracted(np.einsum("nm...,mk->nk...", found, s.mixing))
            return found[..., None]
        return np.einsum("al,nlk->nka", form.weights, self.along(form.lines, s))

    def entries(self, s: Sample) -> Array:
        """The numbers of an array or a function, `(n, outputs, ...)`, an axis for each input."""
        shape = expected_shape(s.box, self.quantity)
        if self.label == "array":
            found, count = as_array(self.source), s.total
        else:
            found, count = self._called(s), s.count
        found = _checked(self, found, (count, *shape), s.box)
        found = found if len(found) == s.count and self.label != "array" else found[s.chosen]
        d = (s.x.shape[1],) * input_axes(self.quantity)
        return found.reshape(s.count, -1, *d).astype(np.float64)

    def _called(self, s: Sample) -> Array:
        points = s.shaped(s.x).astype(s.box.dtype)
        arrays = [points]
        if self.quantity in quantities.ALONG_V:
            arrays.append(s.shaped(s.lines.v).astype(s.box.dtype))
        kinds = list(dict.fromkeys([s.box.given, None, s.box.framework]))
        found = [tried(self.source, given, *arrays) for given in kinds]
        taken = [result for result in found if not isinstance(result, str)]
        if taken:
            return taken[0]
        raise ValueError(
            f"The claim of the {self.name} must be a function of "
            f"{' and '.join(['x', 'v'][: len(arrays)])}, of shape {points.shape}. Received: one "
            f"that raises {found[0]}."
        )

    def along(self, lines: Array, s: Sample) -> Array:
        """What a way says along lines `(n, lines, d)`: `(n, lines, k)`."""
        x = s.shaped(s.x).astype(s.box.dtype)
        n, count, d = lines.shape
        f = _mixed(s, str(self.framework))
        width = s.mixing.shape[1]
        with float64_in_all():
            if self.source.hessian is not None:
                if n * width * d**2 > NUMBERS:
                    raise ValueError(f"{n * width} Hessians of {d} inputs are too large")
                hessian = np.asarray(self.source.hessian(f, x), np.float64)
                hessian = hessian.reshape(n, width, d, d)
                return np.einsum("nkij,nli,nlj->nlk", hessian, lines, lines)
            # All lines in one batch: some ways are compiled for each call.
            v = s.shaped(lines.reshape(n * count, d)).astype(x.dtype)
            found = self.source.along(f, np.repeat(x, count, axis=0), v)
        return np.asarray(found, np.float64).reshape(n, count, width)


def _mixed(s: Sample, framework: str) -> Callable[[Any], Any]:
    """The function, or the mixture of its outputs, of tensors."""
    if not s.is_mixed:
        return s.box.function
    mixing = [float(share) for share in s.mixing[:, 0]]
    flat = callables_of(framework).flat

    def mixed(t: Any) -> Any:
        y = flat(s.box.function(t))
        return sum(share * y[:, i : i + 1] for i, share in enumerate(mixing))

    return mixed


def claims_of(claims: Claims, box: BlackBox, total: int) -> list[Claim]:
    """Reads what was given.

    Raises:
        TypeError: for what is no mapping from quantities to claims.
        ValueError: for an unknown quantity or way, and for a shape that does not fit.
        ImportError: for a way of a framework that is not installed.
    """
    if isinstance(claims, str) or (isinstance(claims, Sequence) and _are_names(claims)):
        claims = {quantities.HESSIAN: claims}
    if not isinstance(claims, Mapping):
        raise TypeError(
            "`claims` must be a dict from quantities to what is claimed, such as {'hessian': H}, "
            f"or the name of a way, such as 'tape in tape'. Received: {type(claims).__name__}."
        )
    if not claims:
        raise ValueError("`claims` must hold at least one claim. Received: an empty dict.")
    found = [claim for key, given in claims.items() for claim in _read(key, given, box)]
    for claim in found:
        if claim.label == "array":
            shape = (total, *expected_shape(box, claim.quantity))
            _checked(claim, as_array(claim.source), shape, box)
    return found


def _are_names(given: Any) -> bool:
    return isinstance(given, (list, tuple)) and all(isinstance(name, str) for name in given)


def _read(key: Any, given: Any, box: BlackBox) -> Iterator[Claim]:
    quantity = _quantity(key, box)
    name = key if isinstance(key, str) else f"partial {key}"
    if isinstance(given, str):
        given = [given]
    if _are_names(given) and given:
        second = quantity in OF_SECOND_ORDER or (isinstance(quantity, tuple) and len(quantity) == 2)
        if not second:
            raise ValueError(
                f"A way by name gives second derivatives: {', '.join(OF_SECOND_ORDER)}, or a "
                f"partial one by two inputs. Received: {given[0]!r} for {name!r}. Give an array or "
                "a function of x."
            )
        for way in given:
            yield from _ways(way, name, quantity, box)
    elif callable(given):
        yield Claim(name, quantity, "function", given)
    elif quantity in quantities.ALONG_V:
        raise ValueError(
            f"The {name} hangs on a direction: its claim must be a function of x and v, or the "
            f"name of a way. Received: {type(given).__name__}."
        )
    else:
        yield Claim(name, quantity, "array", given)


def _quantity(key: Any, box: BlackBox) -> Quantity:
    if key == GRADIENT:
        return quantities.JACOBIAN
    if isinstance(key, str) and key in quantities.NAMES:
        if key == quantities.DIVERGENCE and box.width != np.prod(box.input_shape, dtype=int):
            raise ValueError(
                "A divergence is of as many outputs as inputs. Received: inputs of shape "
                f"{box.input_shape}, outputs of shape {box.output_shape}."
            )
        return key
    if isinstance(key, tuple) and key and all(type(i) is int for i in key):
        size = box.input_shape[0] if len(box.input_shape) == 1 else 0
        if len(key) <= quantities.HIGHEST_ORDER and all(0 <= i < size for i in key):
            return tuple(sorted(key))
        raise ValueError(
            f"A partial derivative must be by 1 to {quantities.HIGHEST_ORDER} inputs, indexes from "
            f"0 to {size - 1} of an x of shape (batch, inputs). Received: {key}, where an example "
            f"has shape {box.input_shape}."
        )
    raise ValueError(
        f"The keys of `claims` must be names of quantities, {[GRADIENT, *quantities.NAMES]}, or "
        f"tuples of inputs, such as (0, 1). Received: {key!r}."
    )


def _ways(named: str, name: str, quantity: Quantity, box: BlackBox) -> Iterator[Claim]:
    """The ways that a name means."""
    if named == ALL:
        framework = box.framework or box.given
        if framework is None:
            fit = [own for own in loaded() if _fits(own, box)]
            framework = fit[0] if fit else None
        if framework is None:
            raise ValueError(
                "'all' means every way of the function's framework. Received: a function of NumPy, "
                "which has none. Give arrays or functions."
            )
        for way in ways_of(framework).WAYS:
            yield Claim(name, quantity, way.name, way, framework)
        return
    wanted = " ".join(named.lower().split())
    framework = next((own for start, own in BEGINNINGS.items() if wanted.startswith(start)), None)
    if framework is not None and importlib.util.find_spec(framework) is None:
        raise ImportError(
            f"{named!r} is a way of {framework}, which is not installed here. Install it, or give "
            "the derivative as an array."
        )
    candidates = loaded() if framework is None else [framework]
    known = [(own, way) for own in candidates for way in ways_of(own).WAYS]
    for own, way in known:
        if wanted in map(str.lower, (way.name, *way.also)):
            if not _fits(own, box):
                raise ValueError(
                    f"{named!r} is a way of {own}, for a function that computes with its tensors. "
                    f"Received: {box.name}, a function of {box.framework or 'NumPy'}."
                )
            yield Claim(name, quantity, way.name, way, own)
            return
    raise ValueError(
        "A claim that is a string must be 'all' or the name of a way: "
        f"{[way.name for _, way in known]}. Received: {named!r}."
    )


BEGINNINGS = {
    "tape": "tensorflow",
    "tf": "tensorflow",
    "tensorflow": "tensorflow",
    "batch_jacobian": "tensorflow",
    "jax": "jax",
    "jet": "jax",
    "folx": "jax",
    "torch": "torch",
}
"""With what the names of ways begin, and whose they are."""


def _fits(framework: str, box: BlackBox) -> bool:
    """Whether the function computes with tensors of a framework."""
    if framework == box.framework:
        return True
    if box.model is not None and framework_of(box.model) is not None:
        return False
    try:
        with float64_in_all():
            x = callables_of(framework).tensor(np.ones((1, *box.input_shape), box.dtype))
            return framework_of(box.function(x)) == framework
    except Exception:  # whatever a function raises for what it does not take
        return False


def expected_shape(box: BlackBox, quantity: Quantity) -> tuple[int, ...]:
    """Of a quantity at one example, as `keras_curvature.derivatives` gives it."""
    if quantity == quantities.DIVERGENCE:
        return ()
    return (*box.output_shape, *box.input_shape * input_axes(quantity))


def _checked(claim: Claim, found: Array, shape: tuple[int, ...], box: BlackBox) -> Array:
    """The claim where it has the shape, or that without the axes of a single output."""
    if not are_real(found):
        raise TypeError(
            f"The claim of the {claim.name} must be real numbers, a function of x, or the name of "
            f"a way. Received: {type(claim.source).__name__}, to NumPy of dtype {found.dtype}."
        )
    outputs = len(box.output_shape)
    single = (shape[0], *shape[1 + outputs :])
    if found.shape == shape or (box.width == 1 and found.shape == single):
        return found.reshape(shape)
    also = f", or {single}" if box.width == 1 and single != shape else ""
    raise ValueError(
        f"The claim of the {claim.name} must have shape {shape}{also}: (batch, *output_shape"
        f"{', *input_shape' * input_axes(claim.quantity)}). Received: {found.shape}."
    )
