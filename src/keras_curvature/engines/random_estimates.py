"""Operators estimated from random directions, beside derivatives that are exact.

For entries of `v` that are independent, of mean 0 and variance 1, `E vᵀHv` is the trace of `H`, and
`E vᵀJv` that of `J`: the Laplacian and the divergence (Hutchinson, A stochastic estimator of the
trace of the influence matrix, 1990). Signs have the least variance among these. For a direction of
`|v|⁴ = d(d + 2)` that is as likely as any other, `E vᵢvⱼvₖvₗ = δᵢⱼδₖₗ + δᵢₖδⱼₗ + δᵢₗδⱼₖ`, so that a
third of the fourth derivative along it is Δ²f on average. A normal distribution has the same
moments (Hu, Shi, Karniadakis, Kawaguchi, Hutchinson trace estimation for high-dimensional and
high-order physics-informed neural networks, 2024); leaving its length out takes away variance
(Rao, Blackwell), in one input all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.bound_model import bind
from keras_curvature.engines.chunking import WHOLE
from keras_curvature.engines.directions import as_direction, warn_of_more_than_exact
from keras_curvature.engines.evaluation import run_chunked
from keras_curvature.engines.layout import unflatten
from keras_curvature.engines.options import Options
from keras_curvature.engines.quantities import ALONG_V, BIHARMONIC, ESTIMATED, VALUE
from keras_curvature.engines.requests import Asked
from keras_curvature.typing import Model, Structure, Tensor

compilation = own_module("compilation")

OWN_UP_TO = 64
"""Inputs up to which every example has directions of its own; beyond, all of a batch share them.

Shared ones go through a first layer once for the batch: with 16 examples a step took 1.7 times as
long without that behind 1,000 inputs, 3.6 times behind 10,000. Errors of own ones are independent.
With 10 inputs, those of shared ones had a correlation of 0.9 where the model had learned a
quadratic form, and a gradient by the weights twice the variance, or one and a half times at
random weights; from 50 inputs on, of five models, no correlation and the same variance: signs of
many inputs are as good as drawn anew for another Hessian.
"""

Draw = Callable[[bool, Sequence[Any]], Tensor]
"""Draws entries of a shape, signs or normally distributed ones, as the user's code would."""


def differentiate_in_part(
    model: Model,
    x: Structure,
    asked: Mapping[str, Asked],
    v: Structure | None,
    options: Options,
    counts: Sequence[int],
    draw: Draw,
) -> tuple[dict[str, Any], dict[str, list[Any]], dict[str, Tensor]]:
    """Exact derivatives, and estimates of those that can be estimated, on the whole batch.

    Args:
        model: the model.
        x: the batch.
        asked: what, by the user's names.
        v: a direction, as in `differentiate`.
        options: the caller's options.
        counts: from how many directions each of one or two independent estimates is.
        draw: the entries of directions.

    Returns:
        By the user's names what is exact, and what is estimated, as often as there are counts;
        and the mean square of how far two estimates are apart.
    """
    bound = bind(model, x, options)
    quantity = bound.quantities_of(asked)
    names = tuple(dict.fromkeys(quantity.values()))
    engine, f, leaves = bound.engine_for(names), bound.f, bound.inputs.leaves
    exact = tuple(name for name in names if name not in ESTIMATED)
    apart = tuple(name for name in exact if name != VALUE)
    estimated = tuple(name for name in names if name in ESTIMATED)
    counts, own = tuple(counts), f.inputs.width <= OWN_UP_TO
    width = f.inputs.width
    warn_of_more_than_exact(sum(counts), width**2 if BIHARMONIC in estimated else width)
    with compilation.computing_in(f.dtype):
        examples = xp.lengths(leaves[0])[0] if own else 1
        shape = [examples, sum(counts), f.inputs.width]
        drawn = {of_order_4(name): None for name in estimated}
        kinds = tuple(drawn)
        directions = [_directions(kind, shape, draw, f.dtype) for kind in kinds]
        along_v = bool(ALONG_V & set(names))
        given = [*leaves, *([as_direction(bound, v)] if along_v else [])]
        count, split = len(leaves), len(kinds) if own else 0
        tensors = [*given, *directions[:split]]

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            z, rest = f.point(tensors[:count])
            direction = tensors[count] if along_v else None
            stacks = tensors[len(tensors) - len(kinds) :]
            rows = {
                kind: parted(xp.transpose(stack, [1, 0, 2]), counts)
                for kind, stack in zip(kinds, stacks, strict=True)
            }
            found: dict[str, Tensor] = {}
            if apart:
                found |= engine.compute(f, z, rest, direction, apart, f.inputs.width)
            value, estimates = engine.estimates(
                f, z, rest, {name: rows[of_order_4(name)] for name in estimated}
            )
            found[VALUE] = value
            for name, parts in estimates.items():
                found |= {f"{name} {i}": part for i, part in enumerate(parts)}
            return found

        flat = run_chunked(bound, compute, tensors, WHOLE, {}, constants=directions[split:])

        def structured(name: str, tensor: Tensor) -> Any:
            return unflatten(xp.cast(tensor, bound.result_dtype), *bound.layouts(name))

        parts = {name: [flat[f"{name} {i}"] for i in range(len(counts))] for name in estimated}
        found = {name: structured(name, flat[name]) for name in exact}
        estimates = {name: [structured(name, part) for part in parts[name]] for name in estimated}
        far = {
            name: xp.stop_gradient(xp.mean(xp.square(two[0] - two[1])))
            for name, two in parts.items()
            if len(two) == 2
        }
    return (
        {name: found[what] for name, what in quantity.items() if what in found},
        {name: estimates[what] for name, what in quantity.items() if what in estimates},
        {name: far[what] for name, what in quantity.items() if what in far},
    )


def of_order_4(name: str) -> bool:
    """Whether directions must be as likely one as the other, and signs do not do."""
    return name == BIHARMONIC


def _directions(of_order_4: bool, shape: Sequence[Any], draw: Draw, dtype: Any) -> Tensor:
    """Directions `(n or 1, k, d)`, see above."""
    with compilation.as_the_user_computes():
        drawn = draw(not of_order_4, shape)
    drawn = xp.cast(drawn, dtype)
    if not of_order_4:
        return drawn
    d = shape[-1]
    length = xp.sqrt(xp.sum(xp.square(drawn), axis=-1, keepdims=True))
    return drawn * ((d * (d + 2)) ** 0.25 / length)


def parted(stack: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """So many slices of a stack after others."""
    found, start = [], 0
    for count in counts:
        found.append(stack[start : start + count])
        start += count
    return found
