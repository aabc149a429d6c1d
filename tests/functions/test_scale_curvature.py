"""Curvature over a distance: both kernels, along axes, directions and in sum."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc
from keras_curvature.engines import chunking

KERNELS = ["triangle", "box"]
RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, size=(6, 3))
A = RNG.normal(size=(3, 3)) + 3 * np.eye(3)
SCALES = [0.5, np.array([0.1, 0.7, 0.2]), 0.03]


def form(x):
    """`(x^T A x, x_0 x_1)`."""
    return tf.stack([tf.einsum("ni,ij,nj->n", x, tf.constant(A, x.dtype), x), x[:, 0] * x[:, 1]], 1)


HESSIANS = np.stack([A + A.T, np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])])


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_quadratic_form_has_the_same_curvature_at_every_scale(kernel):
    v = RNG.normal(size=X.shape)
    tolerance = {"rtol": 1e-10, "atol": 1e-10}  # rounding of values of 10 at 0.03: 100 eps / h**2
    diagonal = kc.scale_curvature(form, X, SCALES, kernel=kernel).numpy()
    truth = np.einsum("mii->mi", HESSIANS)
    np.testing.assert_allclose(diagonal, np.broadcast_to(truth, (3, 6, 2, 3)), **tolerance)
    laplacian = kc.scale_curvature(form, X, SCALES, of="laplacian", kernel=kernel).numpy()
    np.testing.assert_allclose(
        laplacian, np.broadcast_to(truth.sum(axis=1), (3, 6, 2)), **tolerance
    )
    along = kc.scale_curvature(
        form, X, SCALES, of="directional_curvature", v=v, kernel=kernel
    ).numpy()
    truth = np.einsum("ni,mij,nj->nm", v, HESSIANS, v)
    np.testing.assert_allclose(along, np.broadcast_to(truth, (3, 6, 2)), **tolerance)


def test_a_fourth_power_tells_the_kernels_apart():
    x, h = np.linspace(-1, 1, 5)[:, None], 0.6
    # 12 s**2 averaged over x - h .. x + h: the triangle's variance is h**2 / 6, the box's h**2 / 3
    for kernel, variance in (("triangle", h**2 / 6), ("box", h**2 / 3)):
        found = kc.scale_curvature(lambda z: z**4, x, h, kernel=kernel).numpy()[..., 0]
        np.testing.assert_allclose(found, 12 * (x**2 + variance), rtol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_parabola_with_a_step_in_its_curvature(kernel):
    """`x |x| / 2` curves by sign(x); the average of a sign is known in closed form."""
    x, h = np.linspace(-1, 1, 9)[:, None], 0.5
    found = kc.scale_curvature(lambda z: z * tf.abs(z) / 2, x, h, kernel=kernel).numpy()[..., 0]
    u = np.clip(x / h, -1, 1)
    truth = {"triangle": u * (2 - np.abs(u)), "box": u}[kernel]
    np.testing.assert_allclose(found, truth, atol=1e-12)
    exact = kc.hessian_diagonal(lambda z: z * tf.abs(z) / 2, x[x != 0][:, None]).numpy().ravel()
    np.testing.assert_array_equal(exact, np.sign(x[x != 0]))


def ridges(d, units=40):
    """A ReLU network of `d` inputs, and its kinks along any line in closed form."""
    rng = np.random.default_rng(d)
    w, b, c = rng.normal(size=(d, units)), rng.normal(size=units), rng.normal(size=(units, 2))
    model = keras.Sequential([keras.Input((d,)), layers.Dense(units, "relu"), layers.Dense(2)])
    model.set_weights([w, b, c, np.zeros(2)])
    w, b, c, _ = (value.astype(float) for value in model.get_weights())

    def curvature(x, v, t, kernel):
        """Averaged over `x - t v .. x + t v`, `(n, 2)`."""
        slopes = v @ w
        distance = np.abs(x @ w + b) / np.abs(slopes)  # to the kink, in units of v
        t = np.reshape(t, (-1, 1))
        weights = {
            "triangle": np.maximum(0, 1 - distance / t) / t,
            "box": (distance < t) / (2 * t),
        }
        return (weights[kernel] * np.abs(slopes)) @ c

    return model, curvature


@pytest.mark.every(3)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("d", [2, 5, 10])
def test_kinks_in_many_inputs(d, kernel):
    model, truth = ridges(d)
    rng = np.random.default_rng(0)
    x, v, h = rng.normal(size=(5, d)), rng.normal(size=(5, d)), rng.uniform(0.2, 1, size=d)
    options = {"kernel": kernel, "dtype": "float64"}
    tolerance = {"rtol": 1e-9, "atol": 1e-9}
    per_axis = [truth(x, np.tile(np.eye(d)[i], (5, 1)), h[i], kernel) for i in range(d)]
    diagonal = kc.scale_curvature(model, x, h, **options).numpy()
    np.testing.assert_allclose(diagonal, np.stack(per_axis, axis=-1), **tolerance)
    laplacian = kc.scale_curvature(model, x, h, of="laplacian", **options).numpy()
    np.testing.assert_allclose(laplacian, np.sum(per_axis, axis=0), **tolerance)
    # Along v up to the ellipsoid with half-axes h; up to the distance 0.3 for one number.
    along = kc.scale_curvature(model, x, [h, 0.3], of="directional_curvature", v=v, **options)
    reach = 1 / np.linalg.norm(v / h, axis=1), 0.3 / np.linalg.norm(v, axis=1)
    for found, t in zip(along.numpy(), reach, strict=True):
        np.testing.assert_allclose(found, truth(x, v, t, kernel), **tolerance)


def test_a_direction_of_length_zero_has_no_curvature():
    found = kc.scale_curvature(form, X, of="directional_curvature", v=[0.0, 0.0, 0.0])
    np.testing.assert_array_equal(found, np.zeros((6, 2)))


def test_auto_is_a_quarter_of_each_inputs_standard_deviation():
    x = X * [1.0, 10.0, 0.0]  # the last input is constant: a quarter of 1
    h = np.array([*(x.std(axis=0) / 4)[:2], 0.25])
    for of, v in (("hessian_diagonal", None), ("directional_curvature", [1.0, 2.0, 3.0])):
        auto, given = (
            kc.scale_curvature(lambda z: z**4, x, scale, of=of, v=v) for scale in ("auto", h)
        )
        np.testing.assert_allclose(auto, given, rtol=1e-12)


def test_a_small_scale_is_limited_by_the_network_and_not_by_rounding():
    """In float32 the noise is 40 here (4 c eps |f| / h**2); the network's own part is 1."""
    keras.utils.set_random_seed(0)
    hidden = layers.Dense(1024, "relu", bias_initializer="random_normal")
    model = keras.Sequential([keras.Input((1,)), hidden, layers.Dense(1)])
    x, h = np.linspace(-0.5, 0.5, 21)[:, None], 1e-4
    kinks = kc.kinks(model, -1, 1)
    near = np.maximum(0, 1 - np.abs(x - kinks.positions) / h) / h
    found = kc.scale_curvature(model, x, h)
    assert found.dtype == tf.float32  # the result, not the way to it
    truth = near @ kinks.slope_changes
    assert np.abs(truth).max() > 1
    np.testing.assert_allclose(found[..., 0], truth, rtol=1e-6, atol=1e-6)


def test_several_inputs_and_outputs_keep_their_structure():
    a, b = keras.Input((2,), name="a"), keras.Input((2, 1), name="b")
    total = layers.Flatten()(b) + a
    model = keras.Model({"a": a, "b": b}, [layers.ReLU()(total), total**2])
    x = {"a": X[:, :2], "b": X[:, 1:, None]}
    scale = 0.3
    diagonal = kc.scale_curvature(model, x, [scale, 2 * scale])
    assert [{k: v.shape.as_list() for k, v in part.items()} for part in diagonal] == [
        {"a": [2, 6, 2, 2], "b": [2, 6, 2, 2, 1]}
    ] * 2
    laplacian = kc.scale_curvature(model, x, scale, of="laplacian")
    sums = [
        tf.reduce_sum(part["a"][0], -1) + tf.reduce_sum(part["b"][0], [-2, -1]) for part in diagonal
    ]
    for one, other in zip(laplacian, sums, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    v = {"a": np.array([1.0, 0.0]), "b": np.zeros((2, 1))}
    along = kc.scale_curvature(model, x, scale, of="directional_curvature", v=v, output=1)
    np.testing.assert_allclose(along, diagonal[1]["a"][0][..., 0], rtol=1e-5)
    alone = kc.scale_curvature(model, x, scale, wrt="b", output=0)
    np.testing.assert_allclose(alone, diagonal[0]["b"][0], rtol=1e-5)


@pytest.mark.every(4)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("of", ["hessian_diagonal", "directional_curvature"])
def test_chunks_change_nothing(monkeypatch, of, kernel):
    model, _ = ridges(4)
    x = np.random.default_rng(0).normal(size=(5, 4))
    v = [1.0, 2.0, 0.0, 1.0] if of == "directional_curvature" else None
    arguments = {"of": of, "v": v, "kernel": kernel, "dtype": "float64"}
    whole = kc.scale_curvature(model, x, [0.1, 0.4, 0.5], **arguments)
    few = kc.scale_curvature(model, x, [0.1, 0.4, 0.5], batch_size=2, **arguments)
    monkeypatch.setattr(chunking, "MEMORY_BUDGET", 20_000)  # a window or two at a time
    tiny = kc.scale_curvature(model, x, [0.1, 0.4, 0.5], **arguments)
    for part in (few, tiny):
        # rounding of values of 10 over h = 0.1: 100 eps / h**2
        np.testing.assert_allclose(part, whole, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_inside_a_function_and_by_the_weights(kernel, jit_compile):
    model, _ = ridges(3)
    x = tf.constant(X, tf.float32)

    def loss():
        found = kc.scale_curvature(model, x, [0.3, 0.5], of="laplacian", kernel=kernel)
        return tf.reduce_sum(found**2)

    @tf.function(jit_compile=jit_compile)
    def step():
        with tf.GradientTape() as tape:
            value = loss()
        return value, tape.gradient(value, model.trainable_variables[2])

    value, gradient = step()
    assert float(value) == pytest.approx(float(loss()), rel=1e-5)
    # The last layer's weights enter linearly: the loss is a parabola in their size.
    kernel_of_last = model.trainable_variables[2]
    assert float(tf.reduce_sum(gradient * kernel_of_last)) == pytest.approx(
        2 * float(value), rel=1e-4
    )


WRONG = {
    "of": ({"of": "hessian"}, ValueError, "`of` must be one of"),
    "kernel": ({"kernel": "gauss"}, ValueError, "`kernel` must be one of"),
    "no v": ({"of": "directional_curvature"}, ValueError, "direction `v` is needed"),
    "v too much": ({"v": [1.0, 0, 0]}, ValueError, "goes with `of='directional_curvature'`"),
    "v too short": ({"of": "directional_curvature", "v": [1.0]}, ValueError, "must have the shape"),
    "zero": ({"scale": 0}, ValueError, "positive"),
    "negative in a list": ({"scale": [0.1, -0.1]}, ValueError, "positive"),
    "empty": ({"scale": []}, ValueError, "empty list"),
    "word": ({"scale": "large"}, ValueError, "`scale` must be 'auto'"),
    "two for three": ({"scale": np.array([0.1, 0.2])}, ValueError, "in the shape of one example"),
    "not finite": ({"scale": np.inf}, ValueError, "positive"),
    "None": ({"scale": None}, ValueError, "`scale` must be 'auto'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case):
    arguments, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        kc.scale_curvature(form, X, **arguments)
