"""Cases of models that differentiate inside: force fields, equations, steps of a training."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from cases.building import chain, function_case
from cases.case import Case, Exact
from cases.layers_preprocessing import pixel_by_pixel
from cases.points import Floats

ROW = (3,)
How = Callable[[Callable[[Any], Any], Any], Any]
"""From a network and a batch to a derivative of the one at the other."""


def gradient(net: Any, x: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = net(x)
    return tape.gradient(y, x)


def persistent(net: Any, x: Any) -> Any:
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = net(x)
        z = tf.sin(y)
    return tape.gradient(y, x) * tape.gradient(z, x)


def jacobian(net: Any, x: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(net(x), axis=0)
    return tf.transpose(tape.jacobian(y, x), [1, 0, 2])


def batch_jacobian(net: Any, x: Any) -> Any:
    """The `unconnected_gradients` make a derivative that is not found 0, without a word."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = net(x)
    return tape.batch_jacobian(y, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def tape_in_tape(net: Any, x: Any) -> Any:
    with tf.GradientTape() as outer:
        outer.watch(x)
        slope = gradient(net, x)
    return outer.batch_jacobian(slope, x)


def residual(net: Any, x: Any) -> Any:
    """Of an equation: u_t + u u_x - u_xx, by a persistent tape in another one."""
    t, s = x[:, :1], x[:, 1:2]
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(s)
        with tf.GradientTape(persistent=True) as inner:
            inner.watch([t, s])
            u = net(tf.concat([t, s, x[:, 2:]], axis=1))
        u_s = inner.gradient(u, s)
    return inner.gradient(u, t) + u * u_s - outer.gradient(u_s, s)


def hessians(net: Any, x: Any) -> Any:
    """By `tf.hessians`, which exists in graphs only."""

    @tf.function(autograph=False)
    def of_sum(x: Any) -> Any:
        return tf.reduce_sum(tf.hessians(net(x), x)[0], axis=2)

    return tf.ensure_shape(of_sum(x), [None, *ROW, *ROW])


def accumulator(net: Any, x: Any) -> Any:
    with tf.autodiff.ForwardAccumulator(x, tf.cos(x)) as forward:
        y = net(x)
    return forward.jvp(y)


def forward_over_reverse(net: Any, x: Any) -> Any:
    with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as forward:
        slope = gradient(net, x)
    return forward.jvp(slope)


def by_weights(net: Any, x: Any) -> Any:
    """Features of the neural tangent kernel: weights are watched without being asked for."""
    with tf.GradientTape() as tape:
        y = net(x)[:, 0]
    kernel = net.trainable_variables[0]
    return tf.reshape(tape.jacobian(y, kernel), [-1, int(np.prod(kernel.shape))])


def inner_step(net: Any, x: Any) -> Any:
    """Goes down the slope twice before it looks, as energy-based models do."""
    z = x
    for _ in range(2):
        z = z - 0.5 * gradient(net, z)
    return net(z)


def inside_a_function(net: Any, x: Any) -> Any:
    return tf.function(gradient, autograph=False)(net, x)


def of_a_function(net: Any, x: Any) -> Any:
    return gradient(tf.function(net, autograph=False), x)


def inside_a_loop(net: Any, x: Any) -> Any:
    return tf.map_fn(lambda row: gradient(net, row[None])[0], x)


def of_a_loop(net: Any, x: Any) -> Any:
    return gradient(lambda z: tf.map_fn(lambda row: net(row[None])[0], z), x)


class Differentiated(keras.layers.Layer):
    """A derivative of a network that it holds."""

    def __init__(self, how: How, *steps: Any) -> None:
        super().__init__()
        self.how = how
        self.net = keras.Sequential([keras.Input(ROW), *steps, layers.Dense(1)])

    def call(self, x: Any) -> Any:
        return self.how(self.net, x)


def _layer_case(
    name: str, how: How, make: Callable[[], list[Any]], *tags: str, **fields: Any
) -> Case:
    return Case(
        id=f"differentiating/{name}",
        make=lambda: chain(ROW, Differentiated(how, *make())),
        x=Floats(ROW),
        tags=frozenset(tags),
        **fields,
    )


def _dense() -> list[Any]:
    return [layers.Dense(4, "tanh")]


def _normalised() -> list[Any]:
    return [layers.Dense(4, "tanh"), layers.LayerNormalization()]


WAYS = [
    *(_layer_case(how.__name__, how, _dense) for how in (gradient, persistent, jacobian)),
    *(_layer_case(how.__name__, how, _dense) for how in (batch_jacobian, tape_in_tape, residual)),
    *(_layer_case(how.__name__, how, _dense) for how in (accumulator, forward_over_reverse)),
    *(_layer_case(how.__name__, how, _dense) for how in (by_weights, inner_step)),
    _layer_case("hessians", hessians, _dense, "function"),
    _layer_case("inside_a_function", inside_a_function, _dense, "function"),
    _layer_case("of_a_function", of_a_function, _dense, "function"),
    _layer_case("inside_a_loop", inside_a_loop, _dense, "loop"),
    _layer_case("of_a_loop", of_a_loop, _dense, "loop"),
]
"""Ways to differentiate, of one network."""


def _resizing_case(interpolation: str) -> Case:
    """TensorFlow resizes in float32 whatever it is given; the twin multiplies by a matrix."""

    def resize() -> Any:
        return layers.UpSampling2D(2, interpolation=interpolation)

    def around(resized: Any) -> list[Any]:
        hidden = [layers.Dense(4, "tanh"), layers.Reshape((2, 2, 1))]
        return [*hidden, resized, layers.Activation("tanh"), layers.Flatten()]

    case = _layer_case(
        f"gradient[{interpolation}]", gradient, lambda: around(resize()), "float32_inside"
    )
    exact = functools.partial(pixel_by_pixel, resize, (2, 2, 1))
    return dataclasses.replace(
        case, twin=lambda: chain(ROW, Differentiated(gradient, *around(exact())))
    )


NETWORKS = [
    _layer_case("gradient[moments]", gradient, _normalised, "moments"),
    _layer_case("jacobian[moments]", jacobian, _normalised, "moments"),
    _layer_case("accumulator[moments]", accumulator, _normalised, "moments"),
    _layer_case(
        "forward_over_reverse[moments]",
        forward_over_reverse,
        _normalised,
        "moments",
        step=1 / 256,  # third and fourth derivatives of the network bend over less
    ),
    _layer_case("inside_a_loop[moments]", inside_a_loop, _normalised, "moments", "loop"),
    _layer_case("gradient[softsign]", gradient, lambda: [layers.Dense(4, "softsign")], "kinked"),
    _layer_case("gradient[silu]", gradient, lambda: [layers.Dense(4, "silu")], "custom_gradient"),
    _layer_case("tape_in_tape[gelu]", tape_in_tape, lambda: [layers.Dense(4, "gelu")]),
    _layer_case(
        "gradient[convolution]",
        gradient,
        lambda: [
            layers.Reshape((3, 1)),
            layers.Conv1D(2, 2, activation="tanh"),
            layers.Flatten(),
        ],
    ),
    _layer_case(
        "gradient[max_pooling]",
        gradient,
        lambda: [
            layers.Dense(6, "tanh"),
            layers.Reshape((6, 1)),
            layers.MaxPooling1D(2),
            layers.Flatten(),
        ],
        "kinked",
        seed=1,  # clear of the places where another number is the largest: there it jumps
    ),
    *(_resizing_case(interpolation) for interpolation in ("bilinear", "bicubic")),
    _layer_case(
        "gradient[recurrent]", gradient, lambda: [layers.Reshape((3, 1)), layers.GRU(2)], "loop"
    ),
]
"""Networks whose gradients TensorFlow cannot differentiate, or gets wrong, or keeps in lists."""


def _of_cross_entropy(x: Any) -> Any:
    def loss(z: Any) -> Any:
        return tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(z**2), tf.sin(z))

    return gradient(loss, x)


def _of_sparse_cross_entropy(x: Any) -> Any:
    def loss(z: Any) -> Any:
        labels = tf.zeros_like(z[:, 0], tf.int32)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.sin(z))

    return gradient(loss, x)


def _squared_slope(x: Any) -> Any:
    """|∇u|² of u = a²b, which is 4a²b² + a⁴."""
    slope = batch_jacobian(lambda z: z[:, :1] ** 2 * z[:, 1:2], x)
    return tf.reduce_sum(slope**2, axis=[1, 2])[:, None]


def _of_squared_slope(_: keras.Model, z: np.ndarray) -> Exact:
    a, b = z[:, 0], z[:, 1]
    first, second = np.zeros((len(z), 1, 3)), np.zeros((len(z), 1, 3, 3))
    first[:, 0, 0], first[:, 0, 1] = 8 * a * b**2 + 4 * a**3, 8 * a**2 * b
    second[:, 0, 0, 0], second[:, 0, 1, 1] = 8 * b**2 + 12 * a**2, 8 * a**2
    second[:, 0, 0, 1] = second[:, 0, 1, 0] = 16 * a * b
    return Exact(first, second)


def _squared_slope_model() -> keras.Model:
    inputs = keras.Input(ROW)
    return keras.Model(inputs, layers.Lambda(_squared_slope)(inputs))


LAMBDAS = [
    function_case("differentiating/cross_entropy", _of_cross_entropy, ROW),
    function_case("differentiating/sparse_cross_entropy", _of_sparse_cross_entropy, ROW),
    Case(
        id="differentiating/squared_slope",
        make=_squared_slope_model,
        x=Floats(ROW),
        tags=frozenset({"closed_form"}),
        exact=_of_squared_slope,
    ),
]

CASES = [*WAYS, *NETWORKS, *LAMBDAS]
