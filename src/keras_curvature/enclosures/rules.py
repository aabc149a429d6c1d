"""How each op takes on enclosures: the list of what can be enclosed.

An op of any backend is found by its type in lower case. Those that are linear, by what the engines
know of them, need no row: they move numbers or are a matrix, which they are asked for once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_curvature.enclosures import elementary, jet
from keras_curvature.enclosures.binary import BINARY
from keras_curvature.enclosures.contraction import matrix_product
from keras_curvature.enclosures.functions import HasRange
from keras_curvature.enclosures.interval import Interval, point
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.linear_steps import linear_step
from keras_curvature.enclosures.selection import compared, largest_of_groups, selected
from keras_curvature.enclosures.softmax import softmax
from keras_curvature.enclosures.transposed import elementwise, of_same, of_sum, of_word
from keras_curvature.enclosures.use import Apply, Rule, Use
from keras_curvature.typing import Array

FunctionOf = Callable[[Use], HasRange]


@dataclass(frozen=True)
class Word:
    """A function of numbers, entry by entry, and its name in formulas.

    Attributes:
        name: there.
        function: of one number; `None` for one of several.
        order: the places of its arguments among the op's inputs.
    """

    name: str
    function: FunctionOf | None = None
    order: tuple[int, ...] = field(default=(0, 1))


def one(name: str) -> Word:
    """A row of `elementary`."""
    return Word(name, lambda use: elementary.SMOOTH[name])


def _clip(low: int, high: int, x: int = 0) -> Word:
    """Within two ends, which are inputs at these places."""

    def function(use: Use) -> HasRange:
        if use.active != (x,):
            raise NotImplementedError("clips at ends that depend on the input")
        given = {"low": low, "high": high}
        if "min" in _params(use):  # PyTorch has no input for an end that is not given
            given = {"low": 99, "high": 1}
        elif "max" in _params(use):
            given = {"low": 1, "high": 99}
        return elementary.clip(use.number(given["low"], -np.inf), use.number(given["high"], np.inf))

    return Word("clip", function, (x,))


def _params(use: Use) -> Mapping[str, object]:
    return getattr(use.step.op, "params", {})


def _leaky(use: Use) -> HasRange:
    slope = use.param("alpha", use.param("negative_slope", None))
    return elementary.bent(use.number(1, 0.01) if slope is None else float(slope), 1.0)


def _elu(use: Use) -> HasRange:
    def param(name: str, place: int) -> float:
        given = use.param(name, None)
        return use.number(place, 1.0) if given is None else float(given)

    return elementary.elu(param("alpha", 1), param("scale", 2), param("input_scale", 3))


def _softplus(use: Use) -> HasRange:
    beta = use.param("beta", None)
    if beta is None:
        return elementary.SMOOTH["softplus"]
    return elementary.thresholded(float(beta), float(use.param("threshold", 20)))


def _gelu(use: Use) -> HasRange:
    by_tanh = use.param("approximate", "none") == "tanh"
    return elementary.GELU_BY_TANH if by_tanh else elementary.SMOOTH["gelu"]


def _power(use: Use) -> HasRange:
    if 0 not in use.active:
        raise NotImplementedError("has the input in an exponent")
    y = use.param("y", None)
    p = use.number(1) if y is None else float(y)
    return elementary.SMOOTH["square"] if p == 2 else elementary.power(p)


WORDS: dict[str, Word] = {
    **{
        name: one(name)
        for name in elementary.SMOOTH
        if name not in ("softplus", "gelu", "mish", "softsign", "silu")
    },
    "abs": Word("abs", lambda use: elementary.ABS),
    "clamp": _clip(1, 2),
    "clamp_max": _clip(9, 1),
    "clamp_min": _clip(1, 9),
    "clipbyvalue": _clip(1, 2),
    "elu": Word("elu", _elu),
    "gelu": Word("gelu", _gelu),
    "hardtanh": _clip(1, 2),
    "integer_pow": Word("pow", _power),
    "inv": Word("reciprocal", lambda use: elementary.RECIPROCAL),
    "kinked_elu": Word("elu", _elu),
    "leaky_relu": Word("leaky_relu", _leaky),
    "leakyrelu": Word("leaky_relu", _leaky),
    "logistic": one("sigmoid"),
    "pow": Word("pow", _power),
    "reciprocal": Word("reciprocal", lambda use: elementary.RECIPROCAL),
    "relu": Word("relu", lambda use: elementary.RELU),
    "relu6": Word("relu6", lambda use: elementary.RELU6),
    "selu": Word("selu", lambda use: elementary.SELU),
    "silu": one("silu"),
    "softplus": Word("softplus", _softplus),
    "softsign": one("softsign"),
    "neg": Word("neg", order=(0,)),
    # of two numbers
    "add": Word("add"),
    "add_any": Word("add"),
    "addv2": Word("add"),
    "biasadd": Word("add"),
    "div": Word("div"),
    "logaddexp": Word("logaddexp"),
    "maximum": Word("maximum"),
    "minimum": Word("minimum"),
    "mul": Word("mul"),
    "realdiv": Word("div"),
    "squareddifference": Word("squared_difference"),
    "less largest of a row": Word("sub"),
    "sub": Word("sub"),
    "x - max(x)": Word("sub"),
    # conditions
    "eq": Word("eq"),
    "equal": Word("eq"),
    "greater": Word("gt"),
    "greaterequal": Word("ge"),
    "gt": Word("gt"),
    "ge": Word("ge"),
    "less": Word("lt"),
    "lessequal": Word("le"),
    "ne": Word("ne"),
    "notequal": Word("ne"),
    "lt": Word("lt"),
    "le": Word("le"),
    "select": Word("select", order=(0, 1, 2)),  # TensorFlow's
    "select_n": Word("select", order=(0, 2, 1)),
    "selectv2": Word("select", order=(0, 1, 2)),
    "where": Word("select", order=(0, 1, 2)),
}
"""Functions of numbers, entry by entry."""


def word_of(use: Use) -> Word | None:
    """What an op is, entry by entry; JAX and PyTorch have several things called `max`."""
    if use.type == "clamp" and use.active == (1,):  # JAX has the ends on both sides
        return _clip(0, 2, 1)
    if use.type in ("max", "min"):  # TensorFlow's has the axes for another input
        pair = len(use.step.inputs) == 2 and use.step.op.type == use.type
        return Word(f"{use.type}imum") if pair else None
    if use.step.op.type == "select":  # PyTorch's picks an index
        return None
    return WORDS.get(use.type)


def aligned(found: JetBounds, ndim: int) -> JetBounds:
    """With axes of length 1 in front of an example's, up to so many."""

    def stretch(x: Array, lead: int) -> Array:
        more = (1,) * (ndim - len(x.shape) + lead)
        return x.reshape(*x.shape[:lead], *more, *x.shape[lead:])

    return found if len(found.value.shape) > ndim else jet.moved(stretch, found)


def held(x: Array) -> JetBounds:
    """What does not depend on the point."""
    return JetBounds(point(x[None]))


def _alpha(use: Use) -> float:
    """The factor that PyTorch's sums have for their second term."""
    return float(_params(use).get("alpha", 1))  # type: ignore[arg-type]


def by_word(use: Use, word: Word) -> Apply:
    """A function of numbers, entry by entry."""
    if word.function is not None:
        function = word.function(use)
        return elementwise(function)
    if word.name == "neg":
        return of_word(lambda jets, pairs: [jet.negative(jets[0])], use, "neg", word.order)
    if use.param("rounding_mode", None) is not None or _alpha(use) != 1:
        raise NotImplementedError("rounds, or has a factor")
    ndim = len(use.shape)
    same = len({use.step.reads[i] for i in use.active}) == 1
    given = [None if i in use.active else aligned(held(use.constant(i)), ndim) for i in word.order]

    def apply(jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        by_place = dict(zip(use.active, [aligned(j, ndim) for j in jets], strict=True))
        if same:
            by_place = dict.fromkeys(by_place, by_place[use.active[0]])
        parts = [
            by_place[i] if known is None else known
            for i, known in zip(word.order, given, strict=True)
        ]
        if word.name == "select":
            return [selected(parts[0].value, parts[1], parts[2])]
        if word.name in BINARY:
            return [BINARY[word.name](parts[0], parts[1], pairs)]
        return [JetBounds(compared(word.name, parts[0].value, parts[1].value))]

    return of_word(apply, use, word.name, word.order)


def unchanged(use: Use) -> Apply:
    """The numbers stay as they are."""
    return of_same(lambda jets, pairs: list(jets), use)


def finite(use: Use) -> Apply:
    """Whether numbers are, which those with finite bounds are."""

    def apply(jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        x = jets[0].value
        sure = np.isfinite(x.lower) & np.isfinite(x.upper)
        return [JetBounds(Interval(sure.astype(float), np.ones(x.shape)))]

    return apply


def all_of(use: Use) -> Apply:
    """Whether conditions hold everywhere; taken to be open where they are not known to."""

    def apply(jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        x = jets[0].value
        ends = []
        axes = tuple(range(1, len(x.shape)))
        for whole in (x.lower.min(axis=axes), x.upper.max(axis=axes)):
            shape = (len(whole), *use.shape)
            ends.append(np.broadcast_to(whole.reshape(-1, *(1,) * len(use.shape)), shape))
        return [JetBounds(Interval(ends[0], ends[1]))]

    return apply


def opposite_condition(use: Use) -> Apply:
    """Whether a condition does not hold."""
    return lambda jets, pairs: [
        JetBounds(Interval(1 - jets[0].value.upper, 1 - jets[0].value.lower))
    ]


def stopped(use: Use) -> Apply:
    """What is meant to have no derivative has none."""
    return of_same(lambda jets, pairs: [JetBounds(jets[0].value)], use)


def sum_of_all(use: Use) -> Apply:
    """The sum of any number of tensors."""
    ndim = len(use.shape)
    given = [use.constant(i) for i in range(len(use.step.inputs)) if i not in use.active]
    rest = [held(x) for x in given]

    def apply(jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        first, *others = (aligned(j, ndim) for j in [*jets, *rest])
        for other in others:
            first = jet.add(first, other)
        return [first]

    return of_sum(apply, use, given)


RULES: dict[str, Rule] = {
    "addn": sum_of_all,
    "identityn": unchanged,
    "is_finite": finite,
    "isfinite": finite,
    "stop_gradient": stopped,
    "stopgradient": stopped,
    "_log_softmax": softmax(log=True),
    "_softmax": softmax(log=False),
    "logsoftmax": softmax(log=True),
    "softmax": softmax(log=False),
    "split": linear_step,
    # conditions
    "all": all_of,
    "bitwise_not": opposite_condition,
    "logical_not": opposite_condition,
    "logicalnot": opposite_condition,
    # products of matrices
    **dict.fromkeys(
        ("batchmatmul", "batchmatmulv2", "batchmatmulv3", "bmm", "dot_general", "einsum", "matmul",
         "mm"),
        matrix_product,
    ),
    # largest numbers
    **dict.fromkeys(
        ("amax", "cummax", "largest of a row", "max", "max_pool2d_with_indices",
         "max_pool3d_with_indices", "maxpool", "maxpool3d", "reduce_max", "reduce_window_max"),
        largest_of_groups(1),
    ),
    **dict.fromkeys(
        ("amin", "cummin", "min", "reduce_min", "reduce_window_min"), largest_of_groups(-1)
    ),
}  # fmt: skip
"""All else that is not linear."""
