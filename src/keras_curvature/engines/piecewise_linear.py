"""How results on the way through a piecewise-linear model depend on its input."""

from __future__ import annotations

from enum import IntEnum

from keras_curvature.engines.activity import Place
from keras_curvature.engines.op_types import Traits


class Degree(IntEnum):
    """How a tensor depends on the input."""

    CONSTANT = 0
    STEP = 1
    """Piecewise constant."""
    LINEAR = 2
    """Piecewise linear."""


def has_linear_pieces(traits: Traits, given: list[Degree]) -> bool:
    """Whether an op with such inputs, at least one of them linear, gives linear pieces."""
    told = traits.switches is not None or not traits.is_piecewise
    return told and traits.is_linear_in([i for i, d in enumerate(given) if d is Degree.LINEAR])


def degree_after(traits: Traits, strongest: Degree) -> Degree:
    """That of the results of an op, from the strongest of its inputs."""
    if traits.shapes_only:
        return Degree.CONSTANT
    return min(strongest, Degree.STEP) if traits.ends else strongest


def refusal(place: Place) -> ValueError:
    """What is raised of an op that may curve or jump."""
    return ValueError(
        f"The model is not known to be piecewise linear: {place} may curve or jump. Dense layers, "
        "convolutions, sums and activations like ReLU are followed; for other models see "
        "`scale_curvature` and `hessian`."
    )
