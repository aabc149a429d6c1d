"""Small models, each with one thing that stands between it and its second derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers, ops

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
IMAGES = np.random.default_rng(1).normal(size=(24, 6, 6, 1)).astype("float32")
LINE = np.linspace(-2, 2, 40, dtype="float32")[:, None]

LINEAR, PARTLY = "piecewise linear", "partly hidden"


TAPES = {"compare_tapes": True}


@dataclass(frozen=True)
class Ailment:
    """A model and what is to be found in it.

    Attributes:
        make: builds the model.
        kind: of the finding.
        where: part of its place.
        layers: that it names.
        advice: part of it.
        found: part of what was seen.
        also: kinds of the findings besides, which are as true.
        x: the examples.
        options: for `diagnose`.
    """

    make: Callable[[], Any]
    kind: str
    where: str = ""
    layers: tuple[str, ...] = ()
    advice: str = ""
    found: str = ""
    also: tuple[str, ...] = ()
    x: Any = None
    options: dict[str, Any] = field(default_factory=dict)


def stack(*hidden: Any, inputs: Any = (3,), units: int = 1) -> keras.Model:
    """Layers between an input and a linear readout that both bend nothing."""
    return keras.Sequential([keras.Input(inputs), *hidden, layers.Dense(units, name="readout")])


def smooth() -> keras.Layer:
    """A layer that bends everywhere."""
    return layers.Dense(8, "silu", name="smooth")


def activated(activation: Any) -> Callable[[], keras.Model]:
    """A smooth layer, and one with the activation."""
    return lambda: stack(smooth(), layers.Dense(8, activation, name="ailing"))


def steep(activation: Any) -> Callable[[], keras.Model]:
    """The same with weights so large that the activation is used from end to end."""
    return lambda: weighted(activated(activation)(), "ailing", kernel=6, bias=0)


def followed_by(make: Callable[[], Any]) -> Callable[[], keras.Model]:
    """The same with another layer."""
    return lambda: stack(smooth(), make())


def function(f: Callable[[Any], Any]) -> Callable[[], keras.Model]:
    """The same with a function of a tensor."""
    return followed_by(lambda: layers.Lambda(f, name="ailing"))


def merged(merge: Callable[..., Any]) -> Callable[[], keras.Model]:
    """Two smooth branches, and a layer that merges them."""

    def make() -> keras.Model:
        x = keras.Input((3,))
        branches = [layers.Dense(4, "silu")(x) for _ in range(2)]
        return keras.Model(x, layers.Dense(1)(merge(name="ailing")(branches)))

    return make


def pooled(pool: Callable[..., Any]) -> Callable[[], keras.Model]:
    """A convolution and a pooling."""
    convolution = layers.Conv2D(4, 3, activation="silu", name="smooth")
    return lambda: stack(convolution, pool(name="ailing"), layers.Flatten(), inputs=(6, 6, 1))


def weighted(model: keras.Model, layer: str, *, kernel: float, bias: float) -> keras.Model:
    """The model with one layer's weights multiplied and its bias set."""
    dense = model.get_layer(layer)
    dense.kernel.assign(kernel * dense.kernel)
    dense.bias.assign(bias + 0 * dense.bias)
    return model


def mostly_dead() -> keras.Model:
    """A layer of which one unit in sixteen is left."""
    model = stack(layers.Dense(16, "relu", name="ailing"))
    model.get_layer("ailing").bias.assign([0.0] + 15 * [-50.0])
    return model


def in_policy(policy: str, make: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
    """The model in another precision."""

    def built() -> keras.Model:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            return make()
        finally:
            keras.config.set_dtype_policy(before)

    return built


def kinked(make: Any, word: str, instead: str, kind: str = LINEAR, **fields: Any) -> Ailment:
    """Something with kinks, in the layer `ailing`."""
    name = word.partition(" (")[0]
    return Ailment(make, kind, word, ("ailing",), f"{instead} in place of {name}", **fields)


def two_outputs_one_loose() -> keras.Model:
    """A model with a constant for its second output."""
    x = keras.Input((3,))
    loose = layers.Lambda(ops.ones_like, name="loose")(x)
    return keras.Model(x, {"good": layers.Dense(1, "silu")(x), "loose": loose})


def an_unused_input() -> keras.Model:
    """A model that does not look at its second input."""
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    return keras.Model([a, b], layers.Dense(1)(layers.Dense(4, "silu")(a)))


def straight_through(t: Any) -> Any:
    """Rounded values with the slope 1."""
    return t + ops.stop_gradient(ops.round(4 * t) / 4 - t)


@ops.custom_gradient
def twice_the_slope(t: Any) -> Any:
    """A square with the wrong slope."""

    def gradient(*args: Any, upstream: Any = None) -> Any:
        return 4 * t * (args[0] if upstream is None else upstream)

    return t**2, gradient


def tiny_square(t: Any) -> Any:
    """A square that is below the numbers of float16, and not of float32."""
    return 1e-4 * ops.square(1e-3 * t)


@ops.custom_gradient
def flat_slope(t: Any) -> Any:
    """A square with the right slope, which counts as constant."""

    def gradient(*args: Any, upstream: Any = None) -> Any:
        return 2 * ops.stop_gradient(t) * (args[0] if upstream is None else upstream)

    return t**2, gradient


KINKED = {
    "relu": kinked(activated("relu"), "relu", "softplus or silu"),
    "ReLU layer": kinked(followed_by(lambda: layers.ReLU(name="ailing")), "relu",
                         "softplus or silu"),
    "relu6": kinked(activated("relu6"), "relu6", "silu"),
    "ReLU layer up to 6": kinked(followed_by(lambda: layers.ReLU(6.0, name="ailing")), "relu6",
                                 "silu"),
    "leaky_relu": kinked(activated("leaky_relu"), "leaky_relu", "silu or gelu"),
    "prelu": kinked(followed_by(lambda: layers.PReLU(name="ailing")), "prelu", "silu or gelu"),
    "selu": kinked(activated("selu"), "selu", "silu or gelu", PARTLY),
    "hard_tanh": kinked(steep("hard_tanh"), "hard_tanh", "tanh"),
    "hard_sigmoid": kinked(steep("hard_sigmoid"), "hard_sigmoid", "sigmoid"),
    "hard_silu": kinked(steep("hard_silu"), "hard_silu (piecewise quadratic)", "silu", PARTLY),
    "hard_shrink": kinked(steep("hard_shrink"), "hard_shrink", "tanh_shrink"),
    "abs": kinked(function(ops.abs), "abs", "sqrt(x² + ε)"),
    "maximum": kinked(merged(layers.Maximum), "maximum", "a mean, or logaddexp"),
    "minimum": kinked(merged(layers.Minimum), "minimum", "a mean, or logaddexp"),
    "clip": kinked(function(lambda t: ops.clip(t, -0.2, 0.2)), "clipping", "tanh"),
    "sort": kinked(function(lambda t: ops.sort(t) * ops.arange(8.0)), "sorting", "softmax weights"),
    "max": kinked(function(lambda t: ops.max(t, axis=-1, keepdims=True)), "maximum over an axis",
                  "a mean or logsumexp"),
    "max pooling": kinked(pooled(lambda name: layers.MaxPooling2D(name=name)), "max pooling",
                          "average pooling", x=IMAGES),
    "global max pooling": kinked(pooled(layers.GlobalMaxPooling2D), "max pooling",
                                 "average pooling", x=IMAGES),
}  # fmt: skip
"""Parts with kinks behind a smooth one."""

AILING = KINKED | {
    "relu all through": Ailment(
        lambda: stack(
            layers.Dense(32, "relu", name="first"), layers.Dense(32, "relu", name="second")
        ),
        LINEAR, "relu in 'first' and 'second'", ("first", "second"),
        "Read scale_mean, scale_rms", "100 % of the change of slope",
    ),
    # a second derivative of 0 for another reason
    "linear": Ailment(lambda: stack(layers.Dense(8)), "linear", advice="put an activation between"),
    "linear in part": Ailment(
        lambda: keras.Sequential(
            [keras.Input((1,)), layers.Lambda(lambda t: t + ops.relu(t) ** 2)]
        ),
        "partly linear", advice="bend everywhere", found="20 of 40 examples", x=LINE,
    ),
    "constant": Ailment(
        lambda: weighted(stack(smooth()), "readout", kernel=0, bias=0), "constant",
        advice="the weights of the last layers",
    ),
    "all units dead": Ailment(
        lambda: weighted(
            stack(layers.Dense(8, "relu", name="ailing")), "ailing", kernel=1, bias=-50
        ),
        "dead units", "relu", ("ailing",), "lower the learning rate", "40 of 40 examples",
    ),
    "most units dead": Ailment(
        mostly_dead, "dead units", "relu", ("ailing",), "lower the learning rate",
        "15 of them pass on nothing", also=(LINEAR,),
    ),
    "saturated": Ailment(
        lambda: weighted(
            stack(layers.Dense(8, "tanh", name="ailing")), "ailing", kernel=1, bias=60
        ),
        "saturated", "tanh", ("ailing",), "the inputs are scaled", "40 of 40 examples",
    ),
    "steps between the examples": Ailment(
        lambda: weighted(
            stack(layers.Dense(8, "tanh", name="ailing")), "ailing", kernel=1e6, bias=0
        ),
        PARTLY, "tanh", ("ailing",), "Scale the inputs", "too narrow to be met",
        also=("saturated",),
    ),
    "straight softplus": Ailment(
        lambda: weighted(
            stack(layers.Dense(8, "softplus", name="ailing")), "ailing", kernel=1, bias=300
        ),
        "saturated", "softplus", ("ailing",), "the inputs are scaled",
    ),
    "below float32": Ailment(function(lambda t: 1e-25 * ops.square(1e-15 * t)), "underflow",
                             advice='dtype="float64"'),
    "float16": Ailment(
        in_policy("mixed_float16", function(tiny_square)), "underflow", "float16",
        advice="a float32 copy", found="exactly 0 at", options=TAPES,
    ),
    "stop_gradient": Ailment(function(ops.stop_gradient), "stopped", "", ("ailing",),
                             "Take the stop_gradient out"),
    "not connected": Ailment(function(ops.ones_like), "disconnected", "", (), "a constant"),
    "an output not connected": Ailment(two_outputs_one_loose, "disconnected", "'loose'"),
    "an input not connected": Ailment(an_unused_input, "disconnected", "input 'b'", x=[X, X]),
    "flat at times": Ailment(
        lambda: stack(layers.Dense(1, "relu", name="ailing")), "flat", "relu", ("ailing",),
        "more units", also=(LINEAR,),
    ),
    # derivatives that are not those of the values
    "straight through": Ailment(function(straight_through), "altered gradient", "StopGradient",
                                ("ailing",), "kc.scale_curvature"),
    "straight through behind kinks": Ailment(
        lambda: stack(
            layers.Dense(8, "relu", name="ailing"), layers.Lambda(straight_through, name="rounded")
        ),
        "altered gradient", "StopGradient", ("rounded",), "kc.scale_curvature", "100% off",
        also=(LINEAR,),
    ),
    "partly stopped": Ailment(function(lambda t: t * ops.stop_gradient(t)), "altered gradient",
                              "StopGradient", ("ailing",)),
    "hand-written": Ailment(function(twice_the_slope), "altered gradient", "IdentityN",
                            ("ailing",)),
    "second stopped": Ailment(
        lambda: stack(layers.Lambda(flat_slope, name="ailing")), "altered gradient",
        "IdentityN", ("ailing",), found="The second derivative",
    ),
    "bfloat16": Ailment(
        in_policy("mixed_bfloat16", function(lambda t: ops.cos(100 * t))), "low precision",
        "bfloat16", advice="a float32 copy", options=TAPES,
    ),
    # what is no derivative of one example
    "coupled": Ailment(function(lambda t: t / (1 + ops.mean(t**2, axis=0))),
                       "coupled examples", advice="a statistic over the batch"),
    # not finite, or not there
    "root of zero": Ailment(function(lambda t: ops.sqrt(ops.square(t - t))), "not finite",
                            "Sqrt", ("ailing",), "a root", "The slope"),
    "logarithm of zero": Ailment(function(lambda t: ops.log(t - t)), "not finite", "Log",
                                 ("ailing",), "a logarithm", "The first value"),
    "NaN in the weights": Ailment(
        lambda: weighted(stack(smooth()), "smooth", kernel=np.nan, bias=0), "not finite",
        "smooth", ("smooth",), "Look for NaN in the weights", "The first value",
    ),
    "no derivative": Ailment(function(lambda t: ops.cast(ops.argsort(t), t.dtype)), "no derivative",
                             "TopK", ("ailing",), "replace the op"),
    # the scale
    "too small a scale": Ailment(activated("tanh"), "scale below rounding", advice="at least",
                                 options={"scale": 1e-8}),
}  # fmt: skip
"""One model, one finding, on every backend."""

HEALTHY = {
    **{name: activated(name) for name in ("silu", "gelu", "tanh", "softplus", "sigmoid", "elu")},
    "celu": activated("celu"),
    **{
        name: activated(name)
        for name in ("sparse_plus",)
        if hasattr(keras.activations, name)  # older Keras lacks it
    },
    "batch norm": followed_by(layers.BatchNormalization),
    "recurrent": lambda: stack(
        layers.Reshape((3, 1)), layers.GRU(4, return_sequences=True), layers.Flatten()
    ),
}
"""Models in which nothing stands in between."""
