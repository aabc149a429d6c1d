"""Cases of raw TensorFlow in `Lambda` layers, and of gradients that someone wrote by hand."""

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
from cases.points import Floats

ROW, MATRIX, IMAGE = (4,), (3, 4), (4, 4, 2)


def _case(
    name: str,
    function: Callable[[Any], Any],
    *tags: str,
    shape: tuple[int, ...] = ROW,
    **fields: Any,
) -> Case:
    return function_case(f"tensorflow/{name}", function, shape, *tags, **fields)


# Loops and branches


def _power_by_loop(x: Any) -> Any:
    """x**5, the number of turns being a tensor."""
    turns = tf.constant(4)
    return tf.while_loop(lambda i, _: i < turns, lambda i, y: (i + 1, y * x), (tf.constant(0), x))[
        1
    ]


def _fixed_point(x: Any) -> Any:
    """Turns until all have arrived: how often depends on the numbers themselves.

    More turns change nothing: an example does not notice its neighbours.
    """

    def step(y: Any) -> Any:
        return 0.3 * tf.sin(y) + x

    def moving(y: Any) -> Any:
        return tf.reduce_max(tf.abs(step(y) - y)) > 1e-15

    return tf.while_loop(moving, lambda y: (step(y),), (x,), maximum_iterations=100)[0]


def _tensor_array(x: Any) -> Any:
    steps = tf.unstack(x, axis=1)
    array = tf.TensorArray(x.dtype, size=4, element_shape=[None])
    carry = steps[0]
    for i, step in enumerate(steps):
        carry = tf.sin(carry) * step + step
        array = array.write(i, carry)
    return tf.ensure_shape(tf.transpose(array.stack()), [None, 4])


def _scanned(x: Any) -> Any:
    states = tf.scan(lambda carry, step: tf.tanh(carry) + step, tf.transpose(x))
    return tf.ensure_shape(tf.transpose(states), [None, 4])


class BranchOnWeight(keras.layers.Layer):
    """A branch that is the same for all examples, but not known before it runs."""

    def build(self, _: Any) -> None:
        self.threshold = self.add_weight(shape=(), initializer="ones", name="threshold")

    def call(self, x: Any) -> Any:
        return tf.cond(self.threshold > 0, lambda: tf.sin(2 * x), lambda: x**3)


class SwitchOnWeight(keras.layers.Layer):
    """Three branches."""

    def build(self, _: Any) -> None:
        self.choice = self.add_weight(shape=(), initializer="ones", name="choice")

    def call(self, x: Any) -> Any:
        index = tf.cast(tf.round(self.choice), tf.int32)
        return tf.switch_case(index, [lambda: x, lambda: tf.exp(-(x**2)), lambda: tf.sin(x)])


def _map_of_branches(x: Any) -> Any:
    return tf.map_fn(lambda row: tf.cond(row[0] > 0, lambda: tf.sin(2 * row), lambda: row**3), x)


@tf.function
def _function(x: Any) -> Any:
    return tf.exp(-(x**2)) * x


@tf.function(jit_compile=True)
def _compiled_function(x: Any) -> Any:
    return tf.sin(x) * tf.exp(x)


@tf.function
def _function_of_moments(x: Any) -> Any:
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 0.1)


def _moments_by_hand(x: Any) -> Any:
    """As `tf.nn.moments` writes them, and something that looks at the shape of the squares."""
    mean = tf.reduce_mean(x, axis=-1, keepdims=True)
    squares = tf.math.squared_difference(x, tf.stop_gradient(mean))
    return tf.reduce_mean(squares, axis=-1, keepdims=True) + tf.raw_ops.OnesLike(x=squares)


CONTROL = [
    _case("while_loop", _power_by_loop, "loop"),
    _case("while_loop_until_converged", _fixed_point, "loop"),
    _case("tensor_array", _tensor_array),
    _case("scan", _scanned, "loop"),
    _case("map_fn", lambda x: tf.map_fn(lambda row: tf.cumsum(row) * row[0], x), "loop"),
    _case("map_fn_of_cond", _map_of_branches, "loop", "branch", "kinked"),
    _case(
        "map_fn_of_moments",
        lambda x: tf.map_fn(lambda row: tf.nn.moments(row, [0])[1][None], x),
        *("loop", "moments"),
    ),
    _case("vectorized_map", lambda x: tf.vectorized_map(lambda r: r * tf.norm(r), x)),
    _case("function", _function, "function"),
    _case("function_compiled", _compiled_function, "function"),
    _case("function_of_moments", _function_of_moments, "function", "moments"),
    _case(
        "cond_of_moments",
        lambda x: tf.cond(
            tf.reduce_all(tf.shape(x) > 0), lambda: tf.nn.moments(x, [-1])[1], lambda: x[:, 0]
        )[:, None],
        *("branch", "moments"),
        output_shape=(1,),
    ),
    Case(
        id="tensorflow/cond",
        make=lambda: chain(ROW, BranchOnWeight()),
        x=Floats(ROW),
        tags=frozenset({"branch"}),
    ),
    Case(
        id="tensorflow/switch_case",
        make=lambda: chain(ROW, SwitchOnWeight()),
        x=Floats(ROW),
        tags=frozenset({"branch"}),
    ),
]

# Ops


def _gathered(x: Any) -> Any:
    return tf.gather(x, [2, 0, 2], axis=-1) * tf.gather(x, [1, 1, 3], axis=-1)


def _weighted_variance(x: Any) -> Any:
    return tf.nn.weighted_moments(x, [-1], tf.constant([1.0, 2.0, 3.0, 4.0], x.dtype))[1]


def _first_of_last_axis(x: Any) -> Any:
    """The place of each example's first number, for ops that take indices."""
    rows = tf.range(tf.shape(x)[0])
    return tf.stack([rows, tf.zeros_like(rows)], axis=1)


def _cross_entropy(x: Any) -> Any:
    labels = tf.ones_like(x) / 4
    return tf.nn.softmax_cross_entropy_with_logits(labels, x)[:, None]


def _sparse_cross_entropy(x: Any) -> Any:
    labels = tf.zeros_like(x[:, 0], tf.int32)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, x)[:, None]


TURN = np.array([[0.875, 0.1875, -0.546875, -0.3125, 1.125, 0.71875, 0, 0]], "float32")
"""Leads between pixels, far from where wrapping jumps; float32 multiplies it exactly."""


def _lower_triangle_factored(x: Any) -> Any:
    """What stands above the diagonal is never read."""
    first, second = x[:, 0], x[:, 1]
    rows = [[2 + first**2, 9 * first], [tf.sin(second), 3 + second**2]]
    matrix = tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)
    return tf.reshape(tf.linalg.cholesky(matrix), [-1, 4])


def _transformed(x: Any, fill_mode: str) -> Any:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=TURN,
        output_shape=[4, 3],
        fill_value=0.5,
        interpolation="BILINEAR",
        fill_mode=fill_mode,
    )


def _transformed_exactly(x: Any, fill_mode: str) -> Any:
    """What it does to unit vectors and to an image of zeros is what it does to any image."""
    units = tf.reshape(tf.concat([tf.eye(12), tf.zeros([1, 12])], axis=0), [13, 4, 3, 1])
    found = tf.cast(tf.reshape(_transformed(units, fill_mode), [13, 12]), x.dtype)
    flat = tf.reshape(x, [-1, 12])
    return tf.reshape(flat @ (found[:-1] - found[-1]) + found[-1], [-1, 4, 3, 1])


OPS = [
    _case("math", lambda x: tf.sin(x) * tf.exp(-(x**2)) + tf.math.log1p(x**2)),
    _case("einsum", lambda x: tf.einsum("bij,bkj,bk->bi", x, x, x[:, :, 0]), shape=MATRIX),
    _case("gather", _gathered),
    _case("gather_nd", lambda x: tf.gather_nd(x, _first_of_last_axis(x))[:, None] * x),
    _case("gather_along_batch", lambda x: tf.gather(x, tf.range(tf.shape(x)[0])) ** 2),
    _case("batched_gather", lambda x: tf.gather(x, tf.argsort(x), batch_dims=1), "kinked"),
    _case(
        "gather_from_the_last_axis",
        lambda x: tf.gather(x**2, tf.zeros_like(x[:, :2], tf.int32), axis=1, batch_dims=-1),
    ),
    _case(
        "padded_diagonals",
        lambda x: tf.linalg.diag(x**3, k=1, num_cols=x.shape[1] + 3, padding_value=3.0),
    ),
    _case(
        "padded_diagonal_parts",
        lambda x: tf.linalg.diag_part(x**3, k=(-1, 1), padding_value=3.0, align="RIGHT_LEFT"),
        shape=MATRIX,
    ),
    _case(
        "tensor_scatter_nd_update",
        lambda x: tf.tensor_scatter_nd_update(x, _first_of_last_axis(x), x[:, 1] ** 2),
    ),
    _case("strided_slice", lambda x: x[:, ::-2, 1:] * x[:, ::-2, :3], shape=MATRIX),
    _case("boolean_where", lambda x: tf.where(x > 0, tf.sqrt(tf.abs(x)), x**3), "kinked"),
    _case("cumsum_exclusive", lambda x: tf.cumsum(x, -1, exclusive=True, reverse=True) ** 2),
    _case("cumulative_logsumexp", lambda x: tf.math.cumulative_logsumexp(x, axis=-1)),
    _case("reduce_variance", lambda x: tf.math.reduce_variance(x, -1, keepdims=True)),
    _case("reduce_euclidean_norm", lambda x: tf.math.reduce_euclidean_norm(x, -1, True)),
    _case("moments", lambda x: tf.concat(tf.nn.moments(x, [-1], keepdims=True), -1), "moments"),
    _case("moments_by_hand", _moments_by_hand, "moments"),
    _case("weighted_moments", lambda x: _weighted_variance(x)[:, None]),
    _case("l2_normalize", lambda x: tf.nn.l2_normalize(x, -1)),
    _case(
        "local_response_normalization",
        lambda x: tf.nn.local_response_normalization(x, 1, alpha=0.5),
        "float32_only",
        shape=(2, 2, 4),
        twin=lambda x: (
            x
            / tf.sqrt(
                1 + 0.5 * tf.reduce_sum(tf.stack([_shifted(x**2, k) for k in (-1, 0, 1)]), axis=0)
            )
        ),
    ),
    _case("hsv_to_rgb", tf.image.hsv_to_rgb, "kinked", shape=(2, 3), low=0.1, high=0.9),
    _case("cholesky_of_a_lower_triangle", _lower_triangle_factored),
    _case("softmax_cross_entropy", _cross_entropy),
    _case("sparse_softmax_cross_entropy", _sparse_cross_entropy),
    _case(
        "sigmoid_cross_entropy",
        lambda x: tf.nn.sigmoid_cross_entropy_with_logits(x**2, x),
        "kinked",
    ),
    _case("clip_by_value", lambda x: tf.clip_by_value(x, -0.5, 0.5), "kinked"),
    _case("clip_by_norm", lambda x: tf.clip_by_norm(x, 0.9, axes=[-1])),
    _case("xlogy", lambda x: tf.math.xlogy(x, x) + tf.math.xdivy(x, x + 1), low=0.3, high=1.5),
    _case("lgamma", lambda x: tf.math.lgamma(x) + tf.math.digamma(x), low=0.5, high=2.0),
    _case("ndtri", lambda x: tf.math.ndtri(x), low=0.2, high=0.8),
    _case("bessel", lambda x: tf.math.bessel_i1(x) + tf.math.bessel_i0e(x), "kinked"),
    _case("erfcinv", lambda x: tf.math.erfcinv(1 + x), low=-0.6, high=0.6),
    _case("dawsn", lambda x: tf.math.special.dawsn(x) + tf.math.special.expint(x + 2)),
    _case("matrix_exponential", lambda x: tf.linalg.expm(x / 2), shape=(3, 3)),
    _case("complex", lambda x: tf.math.real(tf.exp(tf.complex(x, x**2))), "complex"),
    _case("fft", lambda x: tf.math.real(tf.signal.fft(tf.complex(x, x**2))), "complex"),
    _case("softsign", lambda x: tf.nn.softsign(x), "kinked"),
    _case("crelu", lambda x: tf.nn.crelu(x), "kinked"),
    _case(
        "max_pool_overlapping", lambda x: tf.nn.max_pool2d(x, 3, 1, "SAME"), "kinked", shape=IMAGE
    ),
    _case("dilation2d", lambda x: _dilated(x), "kinked", shape=IMAGE, seed=5),
    _case("depth_to_space", lambda x: tf.nn.depth_to_space(x, 2) ** 2, shape=(2, 2, 4)),
    _case("mirror_pad", lambda x: tf.pad(x, [[0, 0], [1, 2]], "REFLECT")),
    _case("identity_n", lambda x: tf.identity_n([x, x**2])),
    _case("check_numerics", lambda x: tf.debugging.check_numerics(x**2, "not finite")),
    _case("times_rounded", lambda x: tf.sin(x) * tf.round(2 * x), "kinked"),
    _case("times_sign", lambda x: tf.sin(x) * tf.sign(x) * tf.floor(2 * x), "kinked"),
    _case("segment_sum", lambda x: tf.transpose(_segments(tf.transpose(x)))),
    _case("unsorted_segment_max", lambda x: tf.transpose(_largest(tf.transpose(x))), "kinked"),
    _case("sparse_matmul", lambda x: _sparse_product(x)),
    _case("ragged", lambda x: _ragged_sums(x)),
    *(
        _case(
            f"projective_transform[{fill_mode}]",
            functools.partial(_transformed, fill_mode=fill_mode),
            *("float32_inside", "kinked"),
            shape=(4, 3, 1),
            twin=functools.partial(_transformed_exactly, fill_mode=fill_mode),
        )
        for fill_mode in ("CONSTANT", "REFLECT", "WRAP", "NEAREST")
    ),
    _case(
        "projective_transform_by_the_input",
        lambda x: _shifted_ramp(x),
        *("float32_inside", "kinked"),
        twin=lambda x: (14 + 6 * x[:, :1] + x[:, 1:2]) / 40 + 0 * x[:, 2:],
    ),
]


def _shifted_ramp(x: Any) -> Any:
    """Where a ramp is read says where it was shifted to; TensorFlow's derivative is 0."""
    ramp = tf.reshape(tf.range(36, dtype=x.dtype), [1, 6, 6, 1])
    one, none = tf.ones_like(x[:, 0]), tf.zeros_like(x[:, 0])
    transforms = tf.stack([one, none, x[:, 1], none, one, x[:, 0], none, none], axis=1)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.repeat(ramp, tf.shape(x)[0], axis=0),
        transforms=tf.cast(transforms, tf.float32),
        output_shape=[6, 6],
        fill_value=0.0,
        interpolation="BILINEAR",
    )
    return moved[:, 2, 2] / 40 + 0 * x[:, 2:]


def _shifted(x: Any, k: int) -> Any:
    padded = tf.pad(x, [[0, 0]] * 3 + [[1, 1]])
    return padded[..., 1 + k : 5 + k]


def _dilated(x: Any) -> Any:
    kernel = tf.constant(np.arange(8).reshape(2, 2, 2) / 10, x.dtype)
    return tf.nn.dilation2d(x, kernel, [1] * 4, "VALID", "NHWC", [1] * 4)


def _segments(x: Any) -> Any:
    return tf.ensure_shape(tf.math.segment_sum(x**2, [0, 0, 1, 1]), [2, None])


def _largest(x: Any) -> Any:
    return tf.math.unsorted_segment_max(x, [1, 0, 1, 0], 2)


def _sparse_product(x: Any) -> Any:
    matrix = tf.sparse.from_dense(np.array([[0, 1, 0, 2], [3, 0, 0, 0]], "float32"))
    matrix = tf.sparse.SparseTensor(
        matrix.indices, tf.cast(matrix.values, x.dtype), matrix.dense_shape
    )
    return tf.transpose(tf.sparse.sparse_dense_matmul(matrix, x**2, adjoint_b=True))


def _ragged_sums(x: Any) -> Any:
    parts = tf.RaggedTensor.from_row_lengths(tf.transpose(x**2), [1, 3])
    return tf.ensure_shape(tf.transpose(tf.reduce_sum(parts, axis=1)), [None, 2])


# Gradients written by hand


@tf.custom_gradient
def log1pexp(x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """log(1 + exp(x)) with a stable gradient, the example of TensorFlow's documentation."""
    e = tf.exp(x)
    return tf.math.log(1 + e), lambda upstream: upstream * (1 - 1 / (1 + e))


@tf.recompute_grad
def recomputed(x: Any) -> Any:
    """Keeps nothing for the gradient: a custom gradient that runs the function again."""
    return tf.sin(x) * tf.exp(x)


@tf.custom_gradient
def rounded_straight_through(x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Rounds to quarters; the gradient takes no notice."""
    return tf.round(4 * x) / 4, lambda upstream: upstream


def rounded_with_stop_gradient(x: Any) -> Any:
    """The same in the other usual spelling."""
    return x + tf.stop_gradient(tf.round(4 * x) / 4 - x)


def fake_quantised(x: Any) -> Any:
    """Quarters from -0.75 to 1, as training for low precision has them."""
    return tf.quantization.fake_quant_with_min_max_vars(x, -0.75, 1.0, num_bits=3)


REVERSAL = 0.5


@tf.custom_gradient
def reversed_gradient(x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Ganin et al. 2016: the identity, with a gradient of the other sign."""
    return tf.identity(x), lambda upstream: -REVERSAL * upstream


def _scalar(function: Callable[[Any], Any]) -> keras.Model:
    inputs = keras.Input(ROW)
    return keras.Model(inputs, layers.Lambda(function)(inputs))


def _waves(q: Any) -> Any:
    """sum(sin(q)) + q_0 q_1, as `(batch, 1)`."""
    return tf.reduce_sum(tf.sin(q), axis=-1, keepdims=True) + q[:, :1] * q[:, 1:2]


def _of_waves(q: np.ndarray) -> Exact:
    gradient, hessian = np.cos(q), np.einsum("ni,ij->nij", -np.sin(q), np.eye(4))
    gradient[:, :2] += q[:, 1::-1]
    hessian[:, 0, 1] = hessian[:, 1, 0] = 1.0
    return Exact(gradient[:, None], hessian[:, None])


def _of_rounded_waves(_: keras.Model, z: np.ndarray) -> Exact:
    return _of_waves(np.round(4 * z) / 4)


def _of_fake_quantised_waves(_: keras.Model, z: np.ndarray) -> Exact:
    """What lies beyond the range does not count."""
    inside = (z >= -0.75).astype(z.dtype)
    exact = _of_waves(np.clip(np.round(4 * z) / 4, -0.75, 1.0))
    gradient, hessian = exact.gradient * inside[:, None], exact.hessian * inside[:, None, None]
    return Exact(gradient, hessian * inside[:, None, :, None])


def _of_reversed_waves(_: keras.Model, z: np.ndarray) -> Exact:
    """Each passage multiplies by -REVERSAL: once in the gradient, twice in the Hessian."""
    plain = _of_waves(z)
    return Exact(-REVERSAL * plain.gradient, REVERSAL**2 * plain.hessian)


def _half_stopped(x: Any) -> Any:
    product = tf.sin(x) * tf.stop_gradient(tf.cos(x))
    return tf.reduce_sum(product, axis=-1, keepdims=True)


def _of_half_stopped(_: keras.Model, z: np.ndarray) -> Exact:
    second = -np.sin(z) * np.cos(z)
    return Exact((np.cos(z) ** 2)[:, None], np.einsum("ni,ij->nij", second, np.eye(4))[:, None])


def _mean_stopped(x: Any) -> Any:
    """Looks like the moments that are to be mended, but was meant: cubes, not squares."""
    mean = tf.stop_gradient(tf.reduce_mean(x, axis=-1, keepdims=True))
    return tf.reduce_mean((x - mean) ** 3, axis=-1, keepdims=True)


def _of_mean_stopped(_: keras.Model, z: np.ndarray) -> Exact:
    centred = z - z.mean(axis=1, keepdims=True)
    return Exact(
        (3 * centred**2 / 4)[:, None], np.einsum("ni,ij->nij", 6 * centred / 4, np.eye(4))[:, None]
    )


def _written(name: str, function: Callable[[Any], Any], exact: Any, *tags: str) -> Case:
    return Case(
        id=f"tensorflow/{name}",
        make=lambda: _scalar(function),
        x=Floats(ROW),
        tags=frozenset({"closed_form", *tags}),
        exact=exact,
    )


GRADIENTS = [
    _case("log1pexp", lambda x: log1pexp(3 * x), "custom_gradient"),
    _case("recompute_grad", recomputed, "custom_gradient"),
    _case("grad_pass_through_of_identity", lambda x: tf.grad_pass_through(tf.identity)(x) ** 2),
    _written(
        "straight_through",
        lambda x: _waves(rounded_straight_through(x)),
        _of_rounded_waves,
        *("straight_through", "custom_gradient"),
    ),
    _written(
        "straight_through_by_stop_gradient",
        lambda x: _waves(rounded_with_stop_gradient(x)),
        _of_rounded_waves,
        *("straight_through", "stop_gradient"),
    ),
    dataclasses.replace(
        _written(
            "fake_quantised",
            lambda x: _waves(fake_quantised(x)),
            _of_fake_quantised_waves,
            *("straight_through", "float32_only"),
        ),
        twin=lambda: _scalar(
            lambda x: _waves(rounded_with_stop_gradient(tf.clip_by_value(x, -0.75, 1.0)))
        ),
    ),
    _written(
        "gradient_reversal",
        lambda x: _waves(reversed_gradient(x)),
        _of_reversed_waves,
        *("straight_through", "custom_gradient"),
    ),
    _written("stop_gradient", _half_stopped, _of_half_stopped, "stop_gradient"),
    _written("stop_gradient_of_a_mean", _mean_stopped, _of_mean_stopped, "stop_gradient"),
]

CASES = [*CONTROL, *OPS, *GRADIENTS]
