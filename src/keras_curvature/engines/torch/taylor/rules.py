"""How each of ATen's operations hands derivatives on: the list of what Taylor propagation knows."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from keras_curvature.engines.op_types import (
    EVERY_INPUT,
    OWN,
    Traits,
    difference,
    elsewhere,
    itself,
)
from keras_curvature.engines.taylor import elementwise as formulas
from keras_curvature.engines.taylor.chain_rule import Argument
from keras_curvature.engines.taylor.jets import Base, Jet, is_shared, spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step, never, register
from keras_curvature.engines.taylor.rule_constructors import (
    elementwise,
    identity,
    linear_in,
    normalised,
    nothing,
    product,
)
from keras_curvature.engines.taylor.rule_constructors import partials as partials_of_tensors
from keras_curvature.engines.torch.gradient_overrides import (
    LOG_2,
    ROOT_2_OVER_PI,
    ROOT_HALF,
    slope_of_tanh,
)
from keras_curvature.engines.torch.memory import READ, WRITE
from keras_curvature.engines.torch.softmax_functions import deviation
from keras_curvature.engines.torch.taylor import jvp
from keras_curvature.engines.torch.taylor.batch_axis import dims_of

LOG_10 = math.log(10)


def partials(derivatives: Callable[..., Any], **traits: Any) -> Rule:
    """An elementwise function of several arguments, some of which may be plain numbers."""

    def of_tensors(*given: Any) -> Any:
        y = given[-1]
        tensors = (
            x if isinstance(x, torch.Tensor) else torch.as_tensor(x, dtype=y.dtype, device=y.device)
            for x in given
        )
        return derivatives(*tensors)

    return partials_of_tensors(of_tensors, **traits)


def _moved(on_stack: Callable[[Step, Any], Any]) -> Rule:
    """A linear function of the first input whose stack may hold one slice for all examples."""
    return linear_in((0,), lambda step, i, stack: on_stack(step, stack))


def _one_by_one(step: Step, i: int, stack: Any) -> Any:
    """A linear function of all its inputs of floats, for one direction after the other."""
    inputs = [
        torch.zeros_like(x)
        if isinstance(x, torch.Tensor) and (x.is_floating_point() or x.is_complex())
        else x
        for x in step.inputs
    ]
    return torch.stack([step.again([*inputs[:i], x, *inputs[i + 1 :]])[0] for x in stack])


def _linear() -> Rule:
    return linear_in(None, _one_by_one, never)


def _dims(step: Step, name: str = "dim") -> tuple[int, ...]:
    """The axes of a stack that are those which an operation is told."""
    return tuple(dim + 1 for dim in dims_of(step.op, name, step.inputs[0].ndim))


def _whole_along(step: Step, stack: Any, dims: Sequence[int]) -> Any:
    """The stack, in full where something is done along the axis of the examples."""
    return spread(stack, step.inputs[0]) if 1 in dims else stack


def _summed(step: Step, stack: Any) -> Any:
    dims = _dims(step)
    if not step.inputs[0].ndim:
        return stack
    found = torch.sum(_whole_along(step, stack, dims), dims, keepdim=step.op.params["keepdim"])
    return found.to(step.outputs[0].dtype)


def _whole_sum(step: Step, stack: Any) -> Any:
    whole = spread(stack, step.inputs[0])
    return whole.reshape(len(whole), -1).sum(1).to(step.outputs[0].dtype)


def _sum(step: Step, stack: Any) -> Any:
    return _summed(step, stack) if "keepdim" in step.op.params else _whole_sum(step, stack)


def _mean(step: Step, stack: Any) -> Any:
    x, y = step.inputs[0], step.outputs[0]
    return _sum(step, stack) / (x.numel() / max(1, y.numel()))


def _leads(step: Step) -> bool:
    x, y = step.inputs[0], step.outputs[0]
    return bool(x.ndim and y.ndim) and x.shape[0] == y.shape[0]


def _sized(step: Step, stack: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """A result's shape for a stack, which may hold one slice for all examples."""
    examples = 1 if is_shared(stack, step.inputs[0]) else shape[0]
    return (stack.shape[0], examples, *shape[1:])


def _reshaped(step: Step, stack: Any) -> Any:
    y = step.outputs[0]
    if not _leads(step):
        return spread(stack, step.inputs[0]).reshape(stack.shape[0], *y.shape)
    return stack.reshape(_sized(step, stack, y.shape))


def _expanded(step: Step, stack: Any) -> Any:
    x, y = step.inputs[0], step.outputs[0]
    if x.ndim == y.ndim and _leads(step):
        return stack.expand(_sized(step, stack, y.shape))
    whole = spread(stack, x)
    missing = y.ndim - x.ndim
    return whole.reshape(len(whole), *[1] * missing, *x.shape).expand(len(whole), *y.shape)


def _permuted(step: Step, stack: Any) -> Any:
    order = _dims(step, "dims")
    stack = stack if order[0] == 1 else spread(stack, step.inputs[0])
    return stack.permute(0, *order)


def _transposed(step: Step, stack: Any) -> Any:
    rank = step.inputs[0].ndim
    if not rank:
        return stack
    a, b = (step.op.params[name] % rank + 1 for name in ("dim0", "dim1"))
    return _whole_along(step, stack, (a, b)).transpose(a, b)


def _selected(step: Step, stack: Any) -> Any:
    (dim,) = _dims(step)
    return _whole_along(step, stack, (dim,)).select(dim, step.op.params["index"])


def _sliced(step: Step, stack: Any) -> Any:
    (dim,), p = _dims(step), step.op.params
    whole = _whole_along(step, stack, (dim,))
    return torch.ops.aten.slice.Tensor(whole, dim, p["start"], p["end"], p["step"])


def _flipped(step: Step, stack: Any) -> Any:
    dims = _dims(step, "dims")
    return _whole_along(step, stack, dims).flip(dims)


def _cumulated(step: Step, stack: Any) -> Any:
    (dim,) = _dims(step)
    return torch.cumsum(_whole_along(step, stack, (dim,)), dim)


def _cast(step: Step, stack: Any) -> Any:
    return stack.to(step.outputs[0].dtype)


def _padded(step: Step, stack: Any) -> Any:
    pad = step.op.params["pad"]
    whole = spread(stack, step.inputs[0]) if len(pad) >= 2 * step.inputs[0].ndim else stack
    return torch.nn.functional.pad(whole, pad)


def joined(place: Callable[[Sequence[Any], int], Any], more: int = 0) -> Rule:
    """Lays several inputs side by side along an axis, or on top of each other."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        dim = step.op.params["dim"] % (step.inputs[0].ndim + more) + 1
        bases = [None if jet is None else mode.settle(jet).base for jet in jets]
        shared = dim > 1 and all(
            base is None or all(s is None or is_shared(s, x) for s in (base.first, base.second))
            for base, x in zip(bases, step.inputs, strict=True)
        )

        def together(stacks: Sequence[Any], count: int) -> Any:
            like = next(s for s in stacks if s is not None)
            whole = [
                torch.zeros(
                    (count, *([1, *x.shape[1:]] if shared else x.shape)),
                    dtype=like.dtype,
                    device=x.device,
                )
                if stack is None
                else stack
                if shared
                else spread(stack, x)
                for stack, x in zip(stacks, step.inputs, strict=True)
            ]
            return place(whole, dim)

        first = together([b and b.first for b in bases], mode.directions)
        seconds = [b and b.second for b in bases]
        none = all(stack is None for stack in seconds)
        second = None if none else together(seconds, mode.slices)
        return [Jet(step.outputs[0], Base(first, second))]

    return Rule(propagate, Traits(linear_in=EVERY_INPUT))


def parted(take: Callable[[Step, Any, int], Sequence[Any]]) -> Rule:
    """Takes one input apart into several outputs along an axis."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        jet = jets[0]
        assert jet is not None
        base = mode.settle(jet).base
        (dim,) = _dims(step)
        first, second = (
            stack if stack is None else _whole_along(step, stack, (dim,))
            for stack in (base.first, base.second)
        )
        firsts = take(step, first, dim)
        seconds = [None] * len(firsts) if second is None else take(step, second, dim)
        return [
            Jet(y, Base(*stacks)) for y, *stacks in zip(step.outputs, firsts, seconds, strict=True)
        ]

    return Rule(propagate, Traits(linear_in=(0,)))


def _split(step: Step, stack: Any, dim: int) -> Sequence[Any]:
    sizes = [y.shape[dim - 1] for y in step.outputs]
    return stack.split(sizes, dim)


def _left(step: Step, stack: Any) -> Any:
    """A product with a constant on the right, of all directions as one matrix where it is one."""
    return torch.matmul(stack, step.inputs[1])


def _right(step: Step, stack: Any) -> Any:
    return torch.matmul(step.inputs[0], spread(stack, step.inputs[1]))


def _both(step: Step, a: Any, b: Any) -> Any:
    return torch.matmul(a, b)


def _both_summed(step: Step, a: Any, b: Any) -> Any:
    """The sum over the directions is one more axis to contract."""
    if a.ndim == 3:
        return torch.einsum("kij,kjl->il", a, b)[None]
    return torch.einsum("kbij,kbjl->bil", a, b)[None]


def matrix_product() -> Rule:
    """`mm` and `bmm`."""
    plain = product(_both, _left, _right, _both_summed)

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        a, b = jets
        _, w = step.inputs
        whole = a is not None and isinstance(a.of, Base) and a.base.is_identity
        if b is None and whole and w.ndim == 2:
            return [Jet(step.outputs[0], Base(w[:, None]))]
        return plain.propagate(step, jets, mode)

    return replace(plain, propagate=propagate)


OF_A_CONVOLUTION = (
    "stride",
    "padding",
    "dilation",
    "transposed",
    "output_padding",
    "groups",
)


def _convolved(step: Step, x: Any, w: Any) -> Any:
    p = step.op.params
    return torch.convolution(x, w, None, *(p[name] for name in OF_A_CONVOLUTION))


def convolution() -> Rule:
    """`convolution`, to which a bias may be added."""

    def left(step: Step, stack: Any) -> Any:
        flat = stack.reshape(-1, *stack.shape[2:])
        found = _convolved(step, flat, step.inputs[1])
        return found.reshape(*stack.shape[:2], *found.shape[1:])

    def right(step: Step, stack: Any) -> Any:
        return torch.stack([_convolved(step, step.inputs[0], w) for w in stack])

    def both(step: Step, a: Any, b: Any) -> Any:
        return torch.stack([_convolved(step, x, w) for x, w in zip(a, b, strict=True)])

    plain = product(both, left, right)

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        if len(jets) > 2 and jets[2] is not None:
            raise NotImplementedError("convolution by its bias")
        return plain.propagate(step, jets[:2], mode)

    return replace(plain, propagate=propagate)


def folded() -> Rule:
    """A linear operation that treats the examples along the first axis alike: more do."""

    def on_stack(step: Step, stack: Any) -> Any:
        flat = stack.reshape(-1, *stack.shape[2:])
        found = step.with_operand(flat)
        return found.reshape(*stack.shape[:2], *found.shape[1:])

    return _moved(on_stack)


def _piecewise(word: str, instead: str, switches: Any = None) -> Rule:
    rule = Rule(functools.partial(jvp.propagate, piecewise_linear=True))
    return rule.kinked(word, instead, switches)


def chosen_entries(word: str, instead: str, dim_of: Any = None) -> Rule:
    """Values that come of entries whose places are the second output."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        if len(step.outputs) < 2 or not step.inputs[0].ndim:
            return jvp.propagate(step, jets, mode, piecewise_linear=True)
        dim = step.op.params["dim"] % step.inputs[0].ndim
        places = step.outputs[1]
        if places.ndim < step.inputs[0].ndim:
            places = places.unsqueeze(dim)
        (jet,) = jets[:1]
        assert jet is not None
        base = mode.settle(jet).base

        def taken(stack: Any) -> Any:
            whole = spread(stack, step.inputs[0])
            index = places.expand(len(whole), *places.shape)
            found = whole.gather(dim + 1, index)
            return found.reshape(len(whole), *step.outputs[0].shape)

        second = None if base.second is None else taken(base.second)
        return [Jet(step.outputs[0], Base(taken(base.first), second)), None]

    return Rule(propagate).kinked(word, instead)


def pooled() -> Rule:
    """`max_pool2d_with_indices` and its kin: places are counted through the plane."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        y, places = step.outputs
        (jet,) = jets
        assert jet is not None
        base, axes = mode.settle(jet).base, len(step.op.params["kernel_size"])
        flat = places.flatten(-axes)

        def taken(stack: Any) -> Any:
            whole = spread(stack, step.inputs[0]).flatten(-axes)
            found = whole.gather(-1, flat.expand(len(whole), *flat.shape))
            return found.reshape(len(whole), *y.shape)

        second = None if base.second is None else taken(base.second)
        return [Jet(y, Base(taken(base.first), second)), None]

    return Rule(propagate).kinked("max pooling", "average pooling")


def largest_of_axes(pick: Any) -> Rule:
    """`amax` and `amin`: the first of several entries that are the largest."""
    plain = _piecewise("maximum over an axis", "a mean or logsumexp")

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        dims = dims_of(step.op)
        (jet,) = jets
        x, y = step.inputs[0], step.outputs[0]
        if len(dims) != 1 or not x.ndim:
            return plain.propagate(step, jets, mode)
        assert jet is not None
        base, dim = mode.settle(jet).base, dims[0]
        places = pick(x, dim, keepdim=True)

        def taken(stack: Any) -> Any:
            whole = spread(stack, x)
            found = whole.gather(dim + 1, places.expand(len(whole), *places.shape))
            return found.reshape(len(whole), *y.shape)

        second = None if base.second is None else taken(base.second)
        return [Jet(y, Base(taken(base.first), second))]

    return replace(plain, propagate=propagate)


def clipped() -> Rule:
    """`clamp` between two bounds."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        (x, *_), (y,), (jet, *of_bounds) = step.inputs, step.outputs, jets
        if jet is None or any(of_bounds) or x.shape != y.shape:
            return jvp.propagate(step, jets, mode, piecewise_linear=True)
        return [mode.elementwise(y, [Argument(jet, (x == y).to(y.dtype))], {})]

    return Rule(propagate, Traits(is_pointwise=True)).kinked("clipping", "tanh", _bounds)


def _bounds(x: Any, *bounds: Any) -> list[Any]:
    return [x - bound for bound in bounds]


def scaled_below() -> Rule:
    """`leaky_relu`."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        x, y, jet = step.inputs[0], step.outputs[0], jets[0]
        assert jet is not None
        slope = formulas.where_positive(x, 1, 0)
        slope = slope + (1 - slope) * step.op.params["negative_slope"]
        return [mode.elementwise(y, [Argument(jet, slope)], {})]

    return Rule(propagate, Traits(is_pointwise=True)).kinked(
        "leaky_relu", "softplus or silu", itself
    )


def by_params(derivatives: Callable[..., tuple[Any, Any]], word: str = "") -> Rule:
    """An elementwise function with parameters: from these, `x` and `y` to both derivatives."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        x, y, jet = step.inputs[0], step.outputs[0], jets[0]
        assert jet is not None
        first, second = derivatives(step.op.params, x, y)
        return [mode.elementwise(y, [Argument(jet, first)], {(0, 0): second})]

    rule = Rule(propagate, Traits(is_pointwise=True))
    return rule.smooth(word) if word else rule


def selection() -> Rule:
    """`where`: each entry comes from one of two."""

    def taken(step: Step, i: int, stack: Any) -> Any:
        which, y = step.inputs[0], step.outputs[0]
        if i == 0:
            raise NotImplementedError
        x = step.inputs[i]
        whole = spread(stack, x)
        whole = whole.reshape(len(whole), *[1] * (y.ndim - x.ndim), *x.shape)
        chosen = which if i == 1 else ~which
        return torch.where(chosen, whole, torch.zeros((), dtype=y.dtype, device=y.device))

    return replace(
        linear_in(EVERY_INPUT, taken, never),
        traits=Traits(linear_in=(1, 2)),
    ).kinked("where", "a smooth transition", elsewhere)


def filled() -> Rule:
    """`masked_fill`: 0 where another number was put."""

    def on_stack(step: Step, stack: Any) -> Any:
        y = step.outputs[0]
        whole = spread(stack, step.inputs[0]).expand(len(stack), *y.shape)
        return whole.masked_fill(step.inputs[1], 0)

    return linear_in((0,), lambda step, i, stack: on_stack(step, stack), never)


def power(x: Any, p: Any, y: Any) -> Any:
    """`x ** p`, with 0 where a factor of 0 meets an infinite power."""

    def times(power_of_x: Any, factor: Any) -> Any:
        return torch.where(factor == 0, torch.zeros_like(power_of_x), power_of_x * factor)

    one = torch.ones((), dtype=x.dtype, device=x.device)
    log = torch.log(torch.where(x > 0, x, one))
    steep = torch.where((x == 0) & (p <= 1), torch.log(x), log)
    mixed = x ** (p - 1) * (1 + p * steep)
    first, second = times(x ** (p - 1), p), times(x ** (p - 2), p * (p - 1))
    return [first, y * log], {(0, 0): second, (0, 1): mixed, (1, 1): y * log * log}


def _shares(rate: float) -> Callable[..., Any]:
    """Of the logarithm of a sum of two exponentials."""

    def derivatives(a: Any, b: Any, y: Any) -> Any:
        one, other = torch.sigmoid(rate * (a - b)), torch.sigmoid(rate * (b - a))
        bend = rate * one * other
        return [one, other], {(0, 0): bend, (0, 1): -bend, (1, 1): bend}

    return derivatives


def _tanh(p: Any, x: Any, y: Any) -> Any:
    slope = slope_of_tanh(x)
    return slope, -2 * y * slope


def _sigmoid(p: Any, x: Any, y: Any) -> Any:
    rest = torch.sigmoid(-x)
    slope = y * rest
    return slope, slope * (rest - y)


def _softplus(p: Any, x: Any, y: Any) -> Any:
    beta = p["beta"]
    return torch.sigmoid(beta * x), beta * torch.sigmoid(beta * x) * torch.sigmoid(-beta * x)


def _silu(p: Any, x: Any, y: Any) -> Any:
    s, rest = torch.sigmoid(x), torch.sigmoid(-x)
    return s * (1 + x * rest), s * rest * (2 + x * (rest - s))


def _gelu(p: Any, x: Any, y: Any) -> Any:
    if p["approximate"] == "tanh":
        a = ROOT_2_OVER_PI
        u, slope, bend = a * (x + 0.044715 * x**3), a * (1 + 0.134145 * x * x), a * 0.26829 * x
        s, rest = torch.sigmoid(2 * u), torch.sigmoid(-2 * u)
        up, upp = 2 * slope, 2 * bend
        first = s * rest * up
        return s + x * first, 2 * first + x * s * rest * (upp + (rest - s) * up * up)
    density = torch.exp(-0.5 * x * x) / formulas.ROOT_TWO_PI
    return 0.5 * torch.erfc(-x * ROOT_HALF) + x * density, (2 - x * x) * density


def _elu(p: Any, x: Any, y: Any) -> Any:
    alpha, scale, rate = p["alpha"], p["scale"], p["input_scale"]
    below = scale * alpha * rate * torch.exp(rate * formulas_min(x))
    up = x > 0
    first = torch.where(up, torch.full_like(x, scale), below)
    return first, torch.where(up, torch.zeros_like(x), rate * below)


def formulas_min(x: Any) -> Any:
    """What of `x` is below 0."""
    return torch.clamp(x, max=0.0)


def _softmax_dim(step: Step) -> int:
    return int(step.op.params["dim"]) % step.inputs[0].ndim - step.inputs[0].ndim


def softmax() -> Rule:
    """`y' = y t` and `y'' = y (t² - Σ y t² + …)` with `t = z' - Σ y z'`."""

    def around(step: Step, stack: Any) -> Any:
        return deviation(step.outputs[0], stack, _softmax_dim(step))

    def scaled(step: Step, stack: Any) -> Any:
        return step.outputs[0] * stack

    def weighted(step: Step, stack: Any) -> Any:
        return scaled(step, around(step, stack))

    return normalised(around, scaled, weighted, weighted)


def log_softmax() -> Rule:
    """`y' = t` and `y'' = -Σ p t² + z'' - Σ p z''` with `p = softmax(z)`, `t = z' - Σ p z'`."""

    def p(step: Step) -> Any:
        return torch.exp(step.outputs[0])

    def around(step: Step, stack: Any) -> Any:
        return deviation(p(step), stack, _softmax_dim(step))

    def apply(step: Step, stack: Any) -> Any:
        total = torch.sum(p(step) * stack, _softmax_dim(step), keepdim=True)
        return -total * torch.ones_like(p(step))

    def adjoint(step: Step, weight: Any) -> Any:
        return -p(step) * torch.sum(weight, _softmax_dim(step), keepdim=True)

    return normalised(around, lambda step, stack: stack, apply, adjoint)


def _sum_of(sign: int) -> Rule:
    """`a + αb` or `a - αb`."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        alpha = sign * step.op.params.get("alpha", 1)
        y = step.outputs[0]
        factor = None if alpha == 1 else torch.full((), alpha, dtype=y.dtype, device=y.device)
        slopes = (None, factor)
        arguments = [
            Argument(jet, slope) for jet, slope in zip(jets, slopes, strict=True) if jet is not None
        ]
        return [mode.elementwise(y, arguments, {})]

    return Rule(propagate, Traits(is_pointwise=True, linear_in=EVERY_INPUT))


def _quotient() -> Rule:
    """`a / b`; rounded to a whole number it has no derivative."""
    plain = partials(formulas.quotient, linear_in=(0,))

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        if step.op.params.get("rounding_mode"):
            return [None]
        return plain.propagate(step, jets, mode)

    return replace(plain, propagate=propagate)


LINEAR: dict[str, Rule] = {
    "_reshape_alias": _moved(_reshaped),
    "_to_copy": _moved(_cast),
    "_unsafe_view": _moved(_reshaped),
    "add": _sum_of(1),
    "cat": joined(torch.cat),
    "clone": identity(),
    "constant_pad_nd": _moved(_padded),
    "contiguous": identity(),
    "copy": linear_in(
        (1,), lambda step, i, s: spread(s, step.inputs[1]).expand(len(s), *step.outputs[0].shape)
    ),
    "cumsum": _moved(_cumulated),
    "expand": _moved(_expanded),
    "flip": _moved(_flipped),
    "masked_fill": filled(),
    "mean": _moved(_mean),
    "neg": _moved(lambda step, stack: -stack),
    "permute": _moved(_permuted),
    "select": _moved(_selected),
    "slice": _moved(_sliced),
    "split": parted(_split),
    "split_with_sizes": parted(_split),
    "squeeze": _moved(_reshaped),
    "stack": joined(torch.stack, more=1),
    "sub": _sum_of(-1),
    "sum": _moved(_sum),
    "transpose": _moved(_transposed),
    "unbind": parted(lambda step, stack, dim: stack.unbind(dim)),
    "unsqueeze": _moved(_reshaped),
    "view": _moved(_reshaped),
    **dict.fromkeys(
        ("_adaptive_avg_pool2d", "avg_pool2d", "avg_pool3d", "im2col", "col2im",
         "upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d",
         "upsample_nearest1d", "upsample_nearest3d", "upsample_linear1d", "upsample_trilinear3d",
         "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_nearest_exact2d"),
        folded(),
    ),
    **dict.fromkeys(
        (READ, WRITE, "_conj", "_fft_c2c", "_fft_c2r", "_fft_r2c", "as_strided", "as_strided_scatter",
         "diag_embed", "diagonal", "diagonal_scatter", "embedding", "gather", "imag", "index",
         "index_add", "index_put", "index_select", "masked_scatter", "real", "repeat", "roll",
         "rot90", "scatter", "scatter_add", "select_scatter", "slice_scatter", "trace", "tril",
         "triu", "unfold", "view_as_complex", "view_as_real", "_unsafe_index",
         "_unsafe_index_put", "squeeze_copy", "view_copy", "resolve_conj"),
        _linear(),
    ),
}  # fmt: skip

PIECEWISE_LINEAR: dict[str, Rule] = {
    "abs": elementwise(lambda x, y: formulas.where_negative(x, -1, 1)).kinked(
        "abs", "sqrt(x² + ε)", itself
    ),
    "amax": largest_of_axes(torch.argmax),
    "amin": largest_of_axes(torch.argmin),
    "clamp": clipped(),
    "clamp_max": clipped(),
    "clamp_min": clipped(),
    "cummax": chosen_entries("cumulative maximum", "logsumexp"),
    "cummin": chosen_entries("cumulative minimum", "logsumexp"),
    "fmod": _piecewise("remainder", "a sine and a cosine"),
    "hardtanh": clipped(),
    "kthvalue": chosen_entries("sorting", "softmax weights"),
    "leaky_relu": scaled_below(),
    "max": chosen_entries("maximum over an axis", "a mean or logsumexp"),
    "max_pool2d_with_indices": pooled(),
    "max_pool3d_with_indices": pooled(),
    "maximum": partials(formulas.chosen(torch.ge)).kinked("maximum", "logaddexp", difference),
    "median": chosen_entries("median", "a mean"),
    "min": chosen_entries("minimum over an axis", "a mean or -logsumexp(-x)"),
    "minimum": partials(formulas.chosen(torch.lt)).kinked(
        "minimum", "-logaddexp(-a, -b)", difference
    ),
    "nanmedian": chosen_entries("median", "a mean"),
    "relu": elementwise(lambda x, y: formulas.where_positive(x, 1, 0)).kinked(
        "relu", "softplus or silu", itself
    ),
    "remainder": _piecewise("remainder", "a sine and a cosine"),
    "sort": chosen_entries("sorting", "softmax weights"),
    "threshold": _piecewise("threshold", "a smooth transition"),
    "topk": chosen_entries("sorting", "softmax weights"),
    "where": selection(),
}

ELEMENTWISE: dict[str, Rule] = {
    "_log_softmax": log_softmax().smooth("softmax"),
    "_softmax": softmax().smooth("softmax"),
    "acos": elementwise(
        lambda x, y: -torch.rsqrt(1 - x * x), lambda x, y: -x * torch.rsqrt(1 - x * x) ** 3
    ),
    "acosh": elementwise(
        lambda x, y: torch.rsqrt(x * x - 1), lambda x, y: -x * torch.rsqrt(x * x - 1) ** 3
    ),
    "asin": elementwise(
        lambda x, y: torch.rsqrt(1 - x * x), lambda x, y: x * torch.rsqrt(1 - x * x) ** 3
    ),
    "asinh": elementwise(
        lambda x, y: torch.rsqrt(1 + x * x), lambda x, y: -x * torch.rsqrt(1 + x * x) ** 3
    ),
    "atan": elementwise(lambda x, y: 1 / (1 + x * x), lambda x, y: -2 * x / (1 + x * x) ** 2),
    "atan2": partials(formulas.angle_of),
    "atanh": elementwise(lambda x, y: 1 / (1 - x * x), lambda x, y: 2 * x / (1 - x * x) ** 2),
    "cos": elementwise(lambda x, y: -torch.sin(x), lambda x, y: -y),
    "cosh": elementwise(lambda x, y: torch.sinh(x), lambda x, y: y),
    "digamma": elementwise(lambda x, y: torch.polygamma(1, x), lambda x, y: torch.polygamma(2, x)),
    "div": _quotient(),
    "elu": by_params(_elu, "elu"),
    "erf": elementwise(
        lambda x, y: formulas.TWO_OVER_ROOT_PI * torch.exp(-x * x),
        lambda x, y: -2 * x * formulas.TWO_OVER_ROOT_PI * torch.exp(-x * x),
    ).smooth("gelu or erf"),
    "erfc": elementwise(
        lambda x, y: -formulas.TWO_OVER_ROOT_PI * torch.exp(-x * x),
        lambda x, y: 2 * x * formulas.TWO_OVER_ROOT_PI * torch.exp(-x * x),
    ).smooth("gelu or erf"),
    "erfinv": elementwise(
        lambda x, y: torch.exp(y * y) / formulas.TWO_OVER_ROOT_PI,
        lambda x, y: 2 * y * torch.exp(2 * y * y) / formulas.TWO_OVER_ROOT_PI**2,
    ),
    "exp": elementwise(lambda x, y: y, lambda x, y: y).smooth("exp"),
    "exp2": elementwise(lambda x, y: LOG_2 * y, lambda x, y: LOG_2**2 * y).smooth("exp"),
    "expm1": elementwise(lambda x, y: torch.exp(x), lambda x, y: torch.exp(x)),
    "gelu": by_params(_gelu, "gelu or erf"),
    "lgamma": elementwise(lambda x, y: torch.digamma(x), lambda x, y: torch.polygamma(1, x)),
    "log": elementwise(lambda x, y: 1 / x, lambda x, y: -1 / (x * x)),
    "log10": elementwise(lambda x, y: 1 / (LOG_10 * x), lambda x, y: -1 / (LOG_10 * x * x)),
    "log1p": elementwise(lambda x, y: 1 / (1 + x), lambda x, y: -1 / (1 + x) ** 2),
    "log2": elementwise(lambda x, y: 1 / (LOG_2 * x), lambda x, y: -1 / (LOG_2 * x * x)),
    "logaddexp": partials(_shares(1)).smooth("softplus"),
    "logaddexp2": partials(_shares(LOG_2)).smooth("softplus"),
    "mul": partials(
        lambda a, b, y: ([b, a], {(0, 1): torch.ones((), dtype=y.dtype, device=y.device)}),
        is_multilinear=True,
    ),
    "pow": partials(power),
    "reciprocal": elementwise(lambda x, y: -y * y, lambda x, y: 2 * y**3),
    "rsqrt": elementwise(lambda x, y: -0.5 * y**3, lambda x, y: 0.75 * y**5),
    "sigmoid": by_params(_sigmoid, "sigmoid"),
    "silu": by_params(_silu, "silu"),
    "sin": elementwise(lambda x, y: torch.cos(x), lambda x, y: -y),
    "sinh": elementwise(lambda x, y: torch.cosh(x), lambda x, y: y),
    "softplus": by_params(_softplus, "softplus"),
    "sqrt": elementwise(lambda x, y: 0.5 / y, lambda x, y: -0.25 / (x * y)),
    "square": elementwise(lambda x, y: 2 * x, lambda x, y: torch.full_like(x, 2)),
    "tan": elementwise(lambda x, y: 1 + y * y, lambda x, y: 2 * y * (1 + y * y)),
    "tanh": by_params(_tanh, "tanh"),
}

OF_WHOLE_ROWS: dict[str, Rule] = {
    "bmm": matrix_product(),
    "convolution": convolution(),
    "mm": matrix_product(),
}

WITHOUT_DERIVATIVE: dict[str, Rule] = {
    **dict.fromkeys(
        ("argmax", "argmin", "argsort", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor",
         "bucketize", "ceil", "eq", "empty_like", "fill", "floor", "floor_divide", "full_like",
         "isfinite", "isinf", "isnan", "logical_and", "logical_not", "logical_or", "logical_xor",
         "ne", "nextafter", "ones_like", "round", "searchsorted", "stop_gradient", "trunc",
         "zero", "zeros_like", "new_zeros", "new_ones", "new_full", "new_empty", "signbit"),
        nothing(),
    ),
    **dict.fromkeys(("ge", "gt", "le", "lt"), nothing(switches=difference)),
    "sgn": nothing(switches=itself),
    "sign": nothing(switches=itself),
}  # fmt: skip


for _rules in (LINEAR, PIECEWISE_LINEAR, ELEMENTWISE, OF_WHOLE_ROWS, WITHOUT_DERIVATIVE):
    for _op_type, _rule in _rules.items():
        register(_op_type, _rule)
        OWN[_op_type] = _rule.traits
