"""Cases of `keras.activations`."""

from __future__ import annotations

import keras
from keras import layers

from cases.building import chain
from cases.case import Case
from cases.points import Floats

SMOOTH = [
    "exponential",
    "gelu",
    "glu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
]

KINKED = {
    1: "hard_shrink soft_shrink threshold celu elu leaky_relu relu selu softsign sparsemax",
    2: "hard_tanh sparse_plus sparse_sigmoid",
    4: "hard_sigmoid hard_silu hard_swish",
    8: "relu6",
}
"""By how far from 0 inputs must reach to see all pieces, and not meet a kink."""

ARGUMENTS = {"threshold": {"threshold": 0.2, "default_value": 0.1}}


def _case(name: str, *tags: str, reach: float = 1.0) -> Case:
    size = 8 if reach > 4 else 4
    arguments = ARGUMENTS.get(name, {})

    def activated() -> keras.Model:
        function = getattr(keras.activations, name)
        return chain((size,), layers.Lambda(lambda x: function(x, **arguments)))

    return Case(
        id=f"activations/{name}",
        make=activated,
        x=Floats((size,), -reach, reach),
        covers=(f"activations.{name}",),
        tags=frozenset(tags),
        step=reach / 256 if "kinked" in tags else None,
        seed=4 if name == "sparsemax" else 0,  # clear of where its support changes
    )


CASES = [
    *(_case(name) for name in SMOOTH),
    *(
        _case(name, "kinked", reach=reach)
        for reach, names in KINKED.items()
        for name in names.split()
    ),
]
