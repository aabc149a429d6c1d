"""The curvature over a distance, for networks with kinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_curvature.engines.api import (
    BoundModel,
    Options,
    as_direction,
    bind,
    chunking,
    run_chunked,
    unflatten,
    xp,
)
from keras_curvature.engines.backend import computing_in, not_converted
from keras_curvature.engines.quantities import DIAGONAL, DIRECTIONAL, LAPLACIAN
from keras_curvature.measurement.windows import (
    KERNELS,
    along_axes,
    along_direction,
    resolve,
    spread,
)
from keras_curvature.typing import Columns, Model, Output, Structure, Tensor, Wrt

QUANTITIES = (DIAGONAL, LAPLACIAN, DIRECTIONAL)


@not_converted
def scale_curvature(
    model: Model,
    x: Structure,
    scale: Any = "auto",
    *,
    of: str = DIAGONAL,
    v: Structure | None = None,
    kernel: str = "triangle",
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes how curved a model is over a distance, kinks included.

    A ReLU network's exact second derivative is 0 and all its curvature sits in kinks. The
    average of the second derivative over a window `[x - h, x + h]` counts them, and for a
    smooth function tends to the exact one as `h` becomes small. Two kernels:

    - `"triangle"`, weights `max(0, 1 - |s| / h) / h`, is the central second difference
      `(f(x + h) - 2 f(x) + f(x - h)) / h**2`. It needs values only, two for each window and
      one for the point, and changes continuously with `x` and `h`: a kink fades in. Rounding
      grows as `eps |f| / h**2`. The default, and what `CurvatureMonitor` logs.
    - `"box"`, weights `1 / 2h`, is the difference of exact gradients
      `(g(x + h) - g(x - h)) / 2h`. It needs two gradients, and jumps where a kink enters the
      window. Rounding grows as `eps |g| / h` only, so it is the one for tiny windows. Kinks
      scattered at random make it a little less noisy at the same `h` (their variance is as
      the integral of the squared weights, `1 / 2h` against `2 / 3h`). It believes the
      gradients, which a `stop_gradient` falsifies; the triangle believes the values.

    Everything is computed in float64 whatever the model's dtype, so that a small `h` is
    limited by the network and not by rounding.

    Args:
        model: see `keras_curvature.derivatives`, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        scale: `h` in units of the input: a number; an array in the shape of one example, of
            several inputs a dict by name; a list or tuple of these for several scales; or
            `"auto"`, a quarter of each input's standard deviation over `x` (1/4 where that is 0).
        of: `"hessian_diagonal"`, along each input; `"laplacian"`, the sum of that; or
            `"directional_curvature"`, along `v`.
        v: the direction, in the shape of `x` (one for each example) or of one example. The
            result is `v^T H v` of the averaged Hessian, as in `directional_curvature`; the
            window reaches to the ellipsoid with half-axes `h`, whatever the length of `v`.
        kernel: `"triangle"` or `"box"`.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        dtype: the dtype of the result; `None` for the model's own, float32 or better.
        batch_size: examples at a time.

    Returns:
        As `hessian_diagonal`, `(batch, *output_shape, *input_shape)`, or as `laplacian` and
        `directional_curvature`, `(batch, *output_shape)`; for a list of scales one more axis
        in front.

    Raises:
        ValueError: for a scale that is not positive and finite or of a wrong shape, for an
            unknown quantity or kernel, and for a direction missing or not asked for.

    Source:
        The triangle is the Peano kernel of the central second difference (Davis,
        Interpolation and Approximation, 1975, section 3.7). Differences of gradients measure
        the curvature of ReLU networks in Moosavi-Dezfooli et al., Robustness via curvature
        regularization, and vice versa, CVPR 2019.

    Example:
        >>> import numpy as np, keras_curvature as kc
        >>> from keras import ops
        >>> float(kc.laplacian(ops.abs, [[0.0]])[0, 0])
        0.0
        >>> float(kc.scale_curvature(ops.abs, [[0.0]], scale=0.5)[0, 0, 0])
        4.0
        >>> at_scales = kc.scale_curvature(ops.abs, [[0.0]], [0.5, 1.0], of="laplacian")
        >>> np.asarray(at_scales)[:, 0, 0].tolist()
        [4.0, 2.0]
    """
    _require_known(of, v, kernel)
    bound = bind(
        model,
        x,
        Options(output, wrt, dtype=dtype, batch_size=batch_size, columns=columns),
        in_float64=True,
    )
    f, leaves = bound.f, bound.inputs.leaves
    several = isinstance(scale, (list, tuple))
    if several and not scale:
        raise ValueError("`scale` is an empty list. Give at least one scale.")
    with computing_in(f.dtype):
        z, _ = f.point(leaves)
        h = [resolve(one, f.inputs, lambda: spread(z)) for one in (scale if several else [scale])]
        given = [xp.repeat(xp.cast(xp.stack(h), z.dtype)[None], xp.lengths(z)[0], axis=0)]
        if of == DIRECTIONAL:
            given.append(as_direction(bound, v))
        found = _at_scales(bound, of, kernel, given, batch_size)
        results = [unflatten(found[:, :, i], *bound.layouts(of)) for i in range(len(h))]
        if not several:
            return results[0]
        return keras.tree.map_structure(lambda *parts: xp.stack(parts), *results)


def _at_scales(
    bound: BoundModel, of: str, kernel: str, given: Sequence[Tensor], batch_size: int | None
) -> Tensor:
    """Shape `(n, m, s)`, or `(n, m, s, d)` for the diagonal, from `h` `(n, s, d)` and `v`."""
    f, leaves = bound.f, bound.inputs.leaves
    m, d, s = f.outputs.width, f.inputs.width, int(given[0].shape[1])
    at_once = f.rows_at_once()
    rows_each = 2 if kernel == "triangle" else 2 * m
    windows = s if of == DIRECTIONAL else s * d
    examples, windows_at_once = chunking.plan(at_once, rows_each, windows)
    count, result_dtype = len(leaves), bound.result_dtype

    def compute(*tensors: Tensor) -> dict[str, Tensor]:
        z, rest = f.point(tensors[:count])
        h, *v = tensors[count:]
        if of == DIRECTIONAL:
            found = along_direction(f, z, rest, h, v[0], windows_at_once, kernel)
        else:
            found = along_axes(f, z, rest, h, windows_at_once, kernel)
        if of == LAPLACIAN:
            found = xp.sum(found, axis=-1)
        return {"scale": xp.cast(found, result_dtype)}

    shape = [None, m, s, d] if of == DIAGONAL else [None, m, s]
    signature = {"scale": xp.spec(shape, result_dtype)}
    size = chunking.at_once(batch_size, examples, leaves[0])
    return run_chunked(bound, compute, (*leaves, *given), size, signature)["scale"]


def _require_known(of: str, v: Structure | None, kernel: str) -> None:
    if of not in QUANTITIES:
        raise ValueError(f"`of` must be one of {list(QUANTITIES)}. Received: {of!r}.")
    if kernel not in KERNELS:
        raise ValueError(f"`kernel` must be one of {list(KERNELS)}. Received: {kernel!r}.")
    if v is not None and of != DIRECTIONAL:
        raise ValueError(
            f"A direction `v` goes with `of={DIRECTIONAL!r}` only. Received: of={of!r}."
        )
