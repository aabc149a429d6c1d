"""Third and fourth derivatives of what the engines have at second order, by differences.

The second derivatives are held against differences of values elsewhere; here they count as known.
Of them a third derivative is the first difference, a fourth one the second difference, of the
8th order, in float64. With a step of 1/128 that leaves `eps / h` = 3e-14 and `4 eps / h²` = 6e-11
of rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cases import CASES, Case
from keras_curvature.engines.api import run_chunked, xp
from keras_curvature.engines.backend import computing_in
from keras_curvature.engines.bound_model import BoundModel, bind
from keras_curvature.engines.dispatch import ENGINES
from keras_curvature.engines.evaluation import flat_derivatives
from keras_curvature.engines.options import Options
from keras_curvature.engines.quantities import BIHARMONIC, highest_order, partial_name
from keras_curvature.verification.stencils import first_weights, second_weights

NARROW = 3
"""Inputs up to which the biharmonic operator is compared too: it needs steps along all axes."""

NOT_OF_VALUES = frozenset({"stop_gradient", "straight_through"})
"""Tags of cases whose derivatives are not those of their values: no differences have them."""

TOLERANCE = {"float64": (1e-7, 1e-6), "float32": (1e-3, 1e-2)}
"""Of third and fourth derivatives. Most reach 1e-11, `ops/geomspace` and `ops/svd` 1e-8."""

EPS = float(np.finfo(np.float64).eps)

QUICK = (
    "activations/gelu",
    "activations/softmax",
    "layers/BatchNormalization",
    "layers/Conv2D",
    "layers/Dense",
    "layers/LayerNormalization",
    "layers/MaxPooling2D",
    "layers/SimpleRNN",
    "ops/cumprod",
    "ops/logsumexp",
)
"""Cases that are not slow."""


def table() -> list[Case]:
    """The cases that are compared."""
    return [case for case in CASES if not case.tags & {"slow", "wide"}]


def tolerance(name: str, case: Case, dtype: str) -> float:
    """Of a derivative by its name, where a short step between kinks leaves more rounding."""
    order = highest_order([name])
    rounding = 64 * EPS / case.h ** (order - 2)
    return max(TOLERANCE[dtype][order - 3], rounding)


def check(case: Case, model: Any, dtype: str, engine: str = "taylor") -> None:
    """Compares what an engine says with the truth."""
    right = truth(bound_in(case, model), case.h, case.order)
    given = found(bound_in(case, model, dtype, engine), tuple(right.of), engine)
    wrong = {
        name: error
        for name, error in errors(right, given).items()
        if not error < tolerance(name, case, dtype)
    }
    assert not wrong


def check_engines_agree(case: Case, model: Any) -> None:
    """Compares nested derivatives with power series, which have nothing but the model in common."""
    right, given = (
        found(bound_in(case, model, engine=engine), names(case, model), engine)
        for engine in ("nested", "taylor")
    )
    for name, value in right.items():
        scale = max(float(np.abs(value).max()), 1e-3)
        np.testing.assert_allclose(given[name], value, rtol=0, atol=1e-9 * scale, err_msg=name)


def names(case: Case, model: Any) -> tuple[str, ...]:
    """Some derivatives of the third order and one of the fourth."""
    i, j, k = indexes(bound_in(case, model).f.inputs.width)
    return tuple(map(partial_name, [(i, i, i), (i, i, j), (i, j, k), (i, i, j, j)]))


@dataclass(frozen=True)
class Truth:
    """True derivatives by their names, `(n, m)`, and how large second ones are."""

    of: dict[str, np.ndarray]
    size: float


def indexes(width: int) -> tuple[int, int, int]:
    """Three inputs, which are the same where there are fewer."""
    return 0, min(1, width - 1), width - 1


def bound_in(case: Case, model: Any, dtype: str = "float64", engine: str = "taylor") -> BoundModel:
    """The model of a case, ready to be asked."""
    return bind(model, case.batch(dtype), Options(engine=engine, dtype=dtype, **case.kwargs))


def found(bound: BoundModel, names: tuple[str, ...], engine: str) -> dict[str, np.ndarray]:
    """What an engine says, in float64."""
    with computing_in(xp.name_of(bound.f.dtype)):
        arrays = flat_derivatives(bound, ENGINES[engine], names, None, None)
    return {name: xp.to_numpy(array).astype("float64") for name, array in arrays.items()}


def truth(bound: BoundModel, h: float, order: int = 8) -> Truth:
    """The true derivatives by a few inputs, of a model bound in float64."""
    d = bound.f.inputs.width
    i, j, k = indexes(d)
    eye = np.eye(d)
    narrow = d <= NARROW
    moved = range(d) if narrow else sorted({i, j, k})
    # H_ij by polarisation, as the Taylor engine has it where there is no adjoint.
    rows = np.concatenate([eye, [eye[i] + eye[j]]] if narrow else [eye[[i, j]], [eye[i] + eye[j]]])
    reach = h * np.arange(1, order // 2 + 1)
    offsets = [np.zeros(d), *(s * r * eye[axis] for axis in moved for s in (1, -1) for r in reach)]
    # (points, n, m, directions)
    curved = _curvatures(bound, np.array(offsets), rows)
    centre, others = curved[0], curved[1:].reshape(len(moved), 2, len(reach), *curved.shape[1:])
    slope = {
        axis: np.einsum("p,pnmk->nmk", first_weights(order), part[0] - part[1]) / h
        for axis, part in zip(moved, others, strict=True)
    }
    bend = {
        axis: np.einsum(
            "p,pnmk->nmk", second_weights(order), (part[0] - centre) + (part[1] - centre)
        )
        / h**2
        for axis, part in zip(moved, others, strict=True)
    }
    ii, jj, both = (i, j, -1) if narrow else (0, 1, -1)

    def mixed(of: np.ndarray) -> np.ndarray:
        return (of[..., both] - of[..., ii] - of[..., jj]) / 2 if i != j else of[..., ii]

    known = {
        (i, i, i): slope[i][..., ii],
        (i, i, j): slope[j][..., ii],
        (i, j, k): mixed(slope[k]),
        (i, i, i, i): bend[i][..., ii],
        (i, i, j, j): bend[j][..., ii],
        (i, i, i, j): mixed(bend[i]),
        (i, j, k, k): mixed(bend[k]),
    }
    named = {partial_name(by): value for by, value in known.items()}
    if narrow:
        named[BIHARMONIC] = sum(part[..., :d].sum(-1) for part in bend.values())
    return Truth(named, float(np.linalg.norm(centre[..., [ii, jj, both]])))


def _curvatures(bound: BoundModel, offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Second derivatives `(points, n, m, k)` along rows `(k, d)`, at points beside the batch."""
    with computing_in("float64"):
        z, rest = bound.f.point(list(map(xp.constant, bound.inputs.leaves)))
        n, p = len(z), len(offsets)
        points = (offsets[:, None] + xp.to_numpy(z)).reshape(p * n, -1)
        others = [xp.concatenate([part] * p, 0) for part in rest]
        along = [np.broadcast_to(row, points.shape) for row in rows]
        tensors = [xp.constant(array, bound.f.dtype) for array in (points, *along)]
        f, engine, count = bound.f, ENGINES["taylor"], len(others)

        def compute(z: Any, *tensors: Any) -> dict[str, Any]:
            found = engine.along(f, z, tensors[:count], xp.stack(list(tensors[count:])))
            return {"curvature": found["curvature"]}

        spec = {"curvature": xp.spec([None, bound.f.outputs.width, len(rows)], bound.f.dtype)}
        given = (tensors[0], *others, *tensors[1:])
        curved = run_chunked(bound, compute, given, p * n, spec)["curvature"]
    return xp.to_numpy(curved).reshape(p, n, bound.f.outputs.width, len(rows))


def errors(right: Truth, given: dict[str, np.ndarray]) -> dict[str, float]:
    """Relative to each derivative's own norm over the batch, or to that of second ones."""
    return {
        name: float(np.linalg.norm(value - right.of[name]))
        / (max(float(np.linalg.norm(right.of[name])), right.size) or 1.0)
        for name, value in given.items()
    }
