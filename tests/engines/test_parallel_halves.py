"""Batches in two halves side by side: the same numbers, where that is faster and right."""

from __future__ import annotations

import math
from collections import OrderedDict

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
from cases import CASES
from cases.flat import model_of, true_hessian
from keras_curvature.engines import evaluation
from keras_curvature.engines.bound_model import bind
from keras_curvature.engines.dispatch import ENGINES
from keras_curvature.engines.options import Options
from keras_curvature.engines.tensorflow import parallel_halves, shared_functions

NAMES = ("hessian_diagonal", "laplacian", "directional_curvature")


def chain(depth=2, width=16, inputs=3):
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(width, "tanh") for _ in range(depth)]
    return keras.Sequential([keras.Input((inputs,)), *hidden, keras.layers.Dense(1)])


def centred():
    """What an example is given depends on the whole batch."""
    x = keras.Input((3,))
    y = keras.layers.Dense(16, "tanh")(x)
    y = keras.layers.Lambda(lambda y: y - keras.ops.mean(y, axis=0))(y)
    return keras.Model(x, keras.layers.Dense(1)(y))


def held():
    """The same, where no derivative passes between the examples: the ops on the way do not show."""
    x = keras.Input((3,))
    mean = keras.layers.Lambda(lambda x: keras.ops.stop_gradient(keras.ops.mean(x, axis=0)))(x)
    y = keras.layers.Dense(16, "tanh")(x - mean)
    return keras.Model(x, keras.layers.Dense(1)(y))


@pytest.fixture
def halved(monkeypatch):
    """How many examples each pair of halves had, with halves for whatever allows them."""
    monkeypatch.setattr(parallel_halves, "LEAST_NUMBERS", 0)
    # What another test has compiled for such a model would not be counted.
    monkeypatch.setattr(shared_functions, "_kept", OrderedDict())
    counts = []
    side_by_side = parallel_halves.side_by_side

    def watched(compute):
        together = side_by_side(compute)

        def count(*tensors):
            tf.py_function(lambda t: counts.append(len(t)), [tensors[0]], [])
            return together(*tensors)

        return count

    monkeypatch.setattr(parallel_halves, "side_by_side", watched)
    return counts


def points(n, d=3):
    return np.random.default_rng(0).normal(size=(n, d)).astype("float32")


@pytest.mark.every(3)
@pytest.mark.parametrize("n", [2, 3, 7])
def test_halves_give_what_the_whole_gives(n, halved, monkeypatch):
    model, x, v = chain(), points(n), np.ones(3, "float32")
    found = kc.derivatives(model, x, NAMES, v=v) | {"trace": kc.laplacian(model, x, directions=4)}
    assert halved == [n, n]
    monkeypatch.setattr(parallel_halves, "LEAST_NUMBERS", 2**18)
    whole = chain()
    other = kc.derivatives(whole, x, NAMES, v=v) | {"trace": kc.laplacian(whole, x, directions=4)}
    assert halved == [n, n]
    for name, tensor in found.items():
        # Products of other shapes may round differently.
        np.testing.assert_allclose(tensor, other[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("case_id", ["networks/mlp_tanh", "networks/residual"])
def test_halves_are_right(case_id, halved):
    case = next(case for case in CASES if case.id.startswith(case_id))
    model, x = model_of(case, "float64"), case.batch("float64")
    bound = bind(model, x, Options(wrt=case.wrt), in_float64=False)
    taylor = ENGINES["taylor"]
    found = evaluation.flat_derivatives(bound, taylor, ("hessian",), None, None)["hessian"]
    assert halved
    truth = true_hessian(case)
    assert np.linalg.norm(found - truth) < 1e-6 * np.linalg.norm(truth)  # as in test_engines


def test_a_single_example_is_not_halved(halved):
    """Also the last chunk of several may be one."""
    found = kc.laplacian(chain(), points(7), batch_size=3)
    assert halved == [3, 3]
    np.testing.assert_allclose(found, kc.laplacian(chain(), points(7), engine="nested"), rtol=1e-4)


def test_the_weights_gradient_passes_through_halves(halved):
    """As through the whole, by differences in a weight."""
    model, x = chain(), points(5).astype("float64")

    def loss():
        return tf.reduce_sum(tf.cast(kc.laplacian(model, x, dtype="float64"), tf.float64) ** 2)

    bias = model.layers[0].bias
    with tf.GradientTape() as tape:
        value = loss()
    slope = tape.gradient(value, bias.value)[0]
    before, values = bias.numpy(), []
    for step in (-1e-3, 1e-3):
        bias.assign(before + step * np.eye(16)[0])
        values.append(float(loss()))
    assert halved == [5, 5, 5]
    np.testing.assert_allclose(slope, (values[1] - values[0]) / 2e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("model", "names", "engine", "least"),
    [
        # Ten ops: product, sum and tanh of each layer, the last one's two, and the input and the
        # output once more, have 2 * 3 * 16 + 2 + 3 + 2 numbers.
        (chain(), ("laplacian",), "taylor", 2**18 * 10 / (3 * 103)),
        (chain(), ("directional_curvature",), "taylor", 2**18 * 10 / 103),
        (chain(), ("laplacian",), "nested", math.inf),
        (chain(), ("laplacian",), "finite_difference", math.inf),
        (chain(depth=50), ("laplacian",), "taylor", math.inf),
        (chain(width=4, inputs=9), ("laplacian",), "taylor", math.inf),
        (chain(width=4, inputs=9), ("directional_curvature",), "taylor", 2**18 * 10 / 37),
        (centred(), ("laplacian",), "taylor", math.inf),
    ],
    ids=[
        "axes",
        "along",
        "nested",
        "differences",
        "many ops",
        "narrow entry",
        "narrow entry, along",
        "coupled examples",
    ],
)
@pytest.mark.filterwarnings("ignore:The model gives an example another output")
def test_where_halves_pay(model, names, engine, least):
    bound = bind(model, points(4, model.input_shape[1]), Options(), in_float64=False)
    found = ENGINES[engine].halved_from(bound.f, names)
    assert found == pytest.approx(least)


@pytest.mark.parametrize("model", [centred(), held()], ids=["centred", "held"])
def test_examples_that_influence_each_other_stay_together(model, halved):
    with pytest.warns(UserWarning, match="influence each other"):
        kc.directional_curvature(model, points(6), np.ones(3, "float32"))
    assert halved == []


def test_a_gpu_runs_one_op_after_the_other(monkeypatch):
    bound = bind(chain(), points(4), Options(), in_float64=False)
    assert parallel_halves.least_examples(bound.f, 3) < math.inf
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert parallel_halves.least_examples(bound.f, 3) == math.inf


def blocks(count=3, stop=False):
    """Blocks of a transformer, of so many ops that XLA gets halves."""
    keras.utils.set_random_seed(0)
    x = keras.Input((4, 6))
    y = keras.layers.Dense(8)(x)
    for _ in range(count):
        z = keras.layers.LayerNormalization()(y)
        y = y + keras.layers.MultiHeadAttention(2, 4)(z, z)
        y = y + keras.layers.Dense(8, "gelu")(keras.layers.LayerNormalization()(y))
    if stop:
        mean = keras.layers.Lambda(lambda y: keras.ops.stop_gradient(keras.ops.mean(y, axis=0)))
        y = y - mean(y)
    return keras.Model(x, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(y)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "halved"),
    [
        pytest.param(blocks(), True, marks=pytest.mark.slow),
        (blocks(count=1), False),
        pytest.param(blocks(stop=True), False, marks=pytest.mark.slow),
    ],
    ids=["many ops", "few ops", "coupled behind a stopped gradient"],
)
def test_xla_gets_halves_of_many_ops_and_of_examples_that_stay_apart(model, halved, monkeypatch):
    x = np.random.default_rng(0).normal(size=(5, 4, 6)).astype("float32")
    given, side_by_side = [], parallel_halves.side_by_side
    monkeypatch.setattr(
        parallel_halves,
        "side_by_side",
        lambda compute: given.append(compute) or side_by_side(compute),
    )
    compiled = tf.function(lambda x: kc.laplacian(model, x, directions=8), jit_compile=True)
    found = compiled(x)
    assert bool(given) == halved
    assert found.shape == (5, 1)
    bare = tf.function(lambda x: kc.laplacian(model, x, directions=8))
    np.testing.assert_allclose(found, bare(x), rtol=1e-3, atol=1e-5)
    assert bool(given) == halved  # none of them outside XLA
