"""The library's derivatives of a model beside differences of its values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_curvature.diagnosis.coupling import coupling
from keras_curvature.diagnosis.subject import Subject, subject_of
from keras_curvature.engines import quantities
from keras_curvature.engines.api import BoundModel, NotDifferentiableError, Options, bind, xp
from keras_curvature.engines.backend import computing_in, require_eager, unobserved
from keras_curvature.typing import Claims, Columns, Model, Output, Structure, Wrt
from keras_curvature.verification import answers, causes
from keras_curvature.verification.claim_verifier import verify_claims
from keras_curvature.verification.judging import judged, tolerance_of
from keras_curvature.verification.lengths import fitting
from keras_curvature.verification.results import Check, Verification
from keras_curvature.verification.truth import ALL_AXES, Lines, lines_through, truths

EXAMPLES = 8
"""Examples at which derivatives are checked; differences at one take some thousand values."""


def verify(
    model: Model,
    x: Structure,
    *,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    claims: Claims | None = None,
) -> Verification:
    """Checks this library's derivatives of a model against differences of its values.

    At up to 8 random examples every quantity of `keras_curvature.derivatives` is computed as for a
    user who asks for it alone, and compared along random directions, and along the inputs, with
    central differences of order 8 of the model's values in float64 (Fornberg, Generation of finite
    difference formulas on arbitrarily spaced grids, 1988). Of 13 steps that one is taken which
    halving the step and a lower order change least; what they still change, and rounding, is the
    doubt of the difference. Where the doubt is large (a kink within reach of all steps, or values
    that round too much) differences are not the truth, and the place is not judged. Inputs that do
    not vary are moved over a length in which differences can judge. What is off
    elsewhere is looked into: other engines, float64 and leaving out single op rules tell why.

    Values of the graph that is differentiated are compared with those of another trace of the
    model, evaluated op by op as TensorFlow has them.

    With `claims` it checks the derivatives that somebody else says, of any function from an array
    to an array: of NumPy, TensorFlow, JAX or PyTorch, whatever Keras runs on, or a Keras model. It
    says by how much they are off, at which example and entry, from which layer of the model on, and
    how many digits the function's values have. Values are computed in float64 where the function
    lets.

    Args:
        model: see `keras_curvature.derivatives`, as for the other arguments. With `claims` any
            function of one array `(batch, *input_shape)`, in which examples are independent.
        x: examples like those that matter, `(batch, *input_shape)`.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        engine: which engine to check.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.
        seed: of the examples and the directions.
        claims: a dict from quantities to what is claimed. Quantities are those of
            `keras_curvature.derivatives`, with their shapes, `"gradient"`, and tuples of inputs
            such as `(0, 1)`. A claim is an array; a function of x (of x and v for those that hang
            on a direction); or, of second order, the name of a framework's own way, such as
            `"tape in tape"`, `"jax.hessian"` or `"torch double backward"`, several of them in a
            list, or `"all"` those of the function's framework. Names alone are of the Hessian.
            `wrt`, `columns`, `engine` and `dtype` are not for claims.

    Returns:
        The errors, what is allowed and why, and the verdict in `ok`, which is `False` too where
        differences can judge a quantity nowhere; `wrong` has what is wrong. `print` it.

    Raises:
        ValueError: as `keras_curvature.derivatives`.
        TypeError: as `keras_curvature.derivatives`, for a `seed` that is not an int, and for
            claims that are no numbers.
        ImportError: for a way of a framework that is not installed.

    Example:
        >>> import keras, numpy as np, keras_curvature as kc
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, "tanh")])
        >>> x = np.random.default_rng(0).normal(size=(16, 2))
        >>> kc.verify(model, x).ok
        True
        >>> cubic, bent = lambda x: np.sum(x**3, axis=1), lambda x: 6 * np.sum(x, axis=1)
        >>> found = kc.verify(cubic, x, claims={"laplacian": bent})
        >>> found.ok
        True
    """
    require_eager("verify")
    if claims is not None:
        _require_none(wrt=wrt, columns=columns, engine=engine, dtype=dtype)
        _require_seed(seed)
        return verify_claims(model, x, claims, output, batch_size, seed)
    options = Options(output, wrt, engine, dtype, batch_size, columns)
    _require_seed(seed)
    bound = bind(model, x, options)
    return examine(model, bound, options, seed)


@unobserved()
def examine(model: Model, bound: BoundModel, options: Options, seed: int = 0) -> Verification:
    """`verify` for a model that has been traced."""
    with warnings.catch_warnings(), computing_in("float64"):
        # Rounding is measured here, whatever it comes from.
        warnings.filterwarnings("ignore", message="TensorFlow has no .* in float64")
        s = subject_of(model, bound.as_taken(), options, seed=seed, at_most=EXAMPLES)
        apart = coupling(s)
        if apart:
            reason = f"Nothing was checked: {apart[0].found}"
            return Verification(_name(model), (), (), 0.0, "", (reason,), ())
        s = fitting(s)
        return _verified(s, lines_through(s, seed))


def _require_none(**given: Any) -> None:
    unused = [name for name, value in given.items() if value not in (None, "auto")]
    if unused:
        raise ValueError(
            f"With `claims` there is no `{unused[0]}`: it is about what this library computes. "
            f"Received: {unused[0]}={given[unused[0]]!r}. Leave it out; make a function of the "
            "inputs that matter."
        )


def _require_seed(seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise TypeError(f"`seed` must be an int, 0 or more. Received: {seed!r}.")


def _verified(s: Subject, lines: Lines) -> Verification:
    truth, rounding = truths(s, lines)
    tolerance = tolerance_of(s.bound, rounding)
    names = [name for name in answers.affordable(s) if name in truth]
    checks, left_out = _values(s)
    left_out += _left_out(s, names)
    for name in names:
        try:
            answer = answers.answer(s, lines, s.bound, s.options, name)
        except NotDifferentiableError as error:
            left_out.append(f"The {name} was not checked: {error}")
            continue
        checks.append(judged(s, lines, name, answer, truth[name], tolerance))
    wrong = [check for check in checks if check.wrong]
    return Verification(
        model=_name(s.model),
        checks=tuple(checks),
        method=_method(s),
        tolerance=tolerance.size,
        because=tolerance.reason,
        left_out=tuple(left_out),
        causes=causes.of(s, lines, wrong, truth, rounding),
        examples=s.count,
        total=s.total,
    )


def _values(s: Subject) -> tuple[list[Check], list[str]]:
    """The graph that is differentiated against the model's own ops."""
    native = s.bound.f.narrowest
    if xp.itemsize(native) < 4:
        return [], [f"The value was not checked: the model itself rounds to {xp.name_of(native)}."]
    found = answers.values(s, s.bound, s.options)
    size = np.abs(found["own"]).max()
    # Both round, in different orders; deep networks in float32 lose three digits by that.
    allowed = 1e3 * xp.eps(native)
    error = np.abs(found["graph"] - found["own"]) / (size or 1.0)
    error = np.where(np.isfinite(error), error, np.inf)
    i, j = np.unravel_index(error.argmax(), error.shape)
    check = Check(
        name=quantities.VALUE,
        engine="graph",
        error=float(error.max()),
        allowed=allowed,
        where=f"example {s.chosen[i]}, output {j}",
        places=error.size,
        judged=error.size,
        at_kinks=0,
        wrong=int((error > allowed).sum()),
    )
    return [check], []


def _method(s: Subject) -> tuple[str, ...]:
    total = s.bound.f.outputs.width
    outputs = "" if total == s.f.outputs.width else f", one random mixture of all {total} outputs"
    return (
        f"At {s.count} of {s.total} examples{outputs}, in {xp.name_of(s.bound.result_dtype)}: "
        "along random directions one standard deviation long, and along the inputs.",
        "Differences: of order 8, of the model's values in float64, with the step of 13 that is "
        "least in doubt. The value: against another trace of the model.",
    )


def _left_out(s: Subject, checked: Sequence[str]) -> Iterator[str]:
    for name in answers.DERIVATIVES:
        if name == quantities.LAPLACIAN and name not in checked:
            yield (
                f"The laplacian was not checked: differences along more than {ALL_AXES} inputs "
                "cost too much."
            )
        elif name not in checked:
            yield f"The {name} was not checked: it is too large."


def _name(model: Any) -> str:
    return str(getattr(model, "name", None) or getattr(model, "__name__", type(model).__name__))
