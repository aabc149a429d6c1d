"""Units so far out that the backend's second derivative of them is 0, while others bend."""

from __future__ import annotations

from collections.abc import Sequence

from keras_curvature.diagnosis.activations import layers_of
from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Subject
from keras_curvature.diagnosis.unit_states import State
from keras_curvature.engines.api import xp
from keras_curvature.engines.backend import backend_second_derivative as own_one
from keras_curvature.report.text import percent

SATURATE = {"softplus": 0, "tanh": 1}
"""Smooth activations whose slope ends at 1 or at 0, by their place in `State.beyond`.

Backends have the second derivative of softplus as s (1 - s) of its slope s, that of tanh as a
multiple of 1 - y²: where these round to 0 it is gone, in float32 from about 16 and 9 on.
"""

WORTH_TELLING = 0.05
"""Share of the units, at all examples, from which that is told."""


def saturated_units(s: Subject, states: Sequence[State], told: Sequence[Finding]) -> list[Finding]:
    """The finding that many units of a layer are beyond what the backend can differentiate.

    Args:
        s: the subject.
        states: what the units do at the examples.
        told: findings that say of whole layers why their second derivative is 0.
    """
    known = {layer for finding in told for layer in finding.layers}
    shares = [(state, _share(state)) for state in states if state.part.layer not in known]
    return [_finding(s, state, share) for state, share in shares if share >= WORTH_TELLING]


def _share(state: State) -> float:
    words = {shape.word for shape in state.part.shapes}
    (word,) = words if len(words) == 1 else ("",)
    return state.beyond[SATURATE[word]] if word in SATURATE else 0.0


def _finding(s: Subject, state: State, share: float) -> Finding:
    part, dtype = state.part, xp.name_of(s.f.dtype)
    return Finding(
        kind="saturated units",
        where=part.name,
        layers=layers_of([part]),
        found=f"{percent(share)} of the {state.units} units of {part.name}, counted at all "
        f"{s.count} examples, are beyond what {dtype}'s {part.words} can differentiate: their "
        "slope is constant to the last bit.",
        meaning=f"{own_one.NAME}'s own second derivative of these is exactly 0. That of this "
        "library is the true one, and tiny: they add next to no curvature, and training hardly "
        "moves them.",
        advice="Check that the inputs are scaled (mean 0, deviation 1), and that the weights have "
        'not grown without bound; dtype="float64" reaches about twice as far.',
        size=share,
    )
