import keras
import numpy as np
import pytest
from keras import ops

from keras_curvature.engines.options import Options
from keras_curvature.measurement.exact import ExactMeasurer
from keras_curvature.measurement.probe import make_probe
from keras_curvature.measurement.slices import FEWEST_POINTS, MOST_INPUTS, central, cuts, grid

X = np.random.default_rng(0).uniform(-1, 1, size=(50, 3)).astype("float32")


def measured(f, x=X, **kwargs):
    measurer = ExactMeasurer(f, make_probe(x), options=Options(**kwargs), scale=0.25)
    assert all(found.slices is None for found in measurer.measure().values())  # nobody asked
    return {name: found.slices for name, found in measurer.measure(sliced=True).items()}


def along(positions, centre, i):
    """Points with input `i` at each position."""
    points = np.repeat(centre[None], len(positions), axis=0)
    points[:, i] = positions
    return points


@pytest.mark.slow
def test_slices_are_the_function_and_its_curvature_through_a_probe_point():
    def f(x):
        return ops.stack([x[:, 0] ** 3 * x[:, 1] + ops.sin(x[:, 2]), x[:, 1] ** 2], axis=1)

    found = measured(f, engine="nested", dtype="float64")[""]
    assert found.centre in X.astype("float64")
    for i in range(3):
        x = along(found.positions[i], found.centre, i)
        value = np.stack([x[:, 0] ** 3 * x[:, 1] + np.sin(x[:, 2]), x[:, 1] ** 2], axis=1)
        zero = np.zeros(len(x))
        second = [
            np.stack([6 * x[:, 0] * x[:, 1], zero], axis=1),
            np.stack([zero, zero + 2], axis=1),
            np.stack([-np.sin(x[:, 2]), zero], axis=1),
        ][i]
        np.testing.assert_allclose(found.value[i], value, atol=1e-12)  # float64
        np.testing.assert_allclose(found.curvature[i], second, atol=1e-12)
        assert found.positions[i, 0] == X[:, i].min()
        assert found.positions[i, -1] == X[:, i].max()


def test_kinks_count_over_the_scale_and_only_there():
    found = measured(lambda x: ops.sum(ops.abs(x), axis=1, keepdims=True))[""]
    positions, h = found.positions[..., None], 0.25
    np.testing.assert_array_equal(found.curvature, 0)
    expected = 2 * np.maximum(0, 1 - np.abs(positions) / h) / h  # slope jumps by 2
    np.testing.assert_allclose(found.scale_curvature, expected, atol=1e-4)  # float32 / h²


@pytest.mark.slow
def test_several_outputs_have_slices_of_their_own():
    inputs = keras.Input((3,))
    outputs = {"a": keras.layers.Dense(1)(inputs), "b": keras.layers.Dense(2, "tanh")(inputs)}
    found = measured(keras.Model(inputs, outputs))
    assert {name: slices.value.shape[-1] for name, slices in found.items()} == {"a": 1, "b": 2}
    assert np.abs(found["a"].curvature).max() < 1e-6
    assert np.abs(found["b"].curvature).max() > 1e-3


@pytest.mark.parametrize("d", [1, 2, MOST_INPUTS + 1])
def test_there_are_none_where_all_is_drawn_anyway_or_nobody_looks(d):
    assert cuts(np.zeros((4, d)), 0) is None
    x = np.random.default_rng(0).normal(size=(8, d))
    assert measured(lambda x: ops.sum(x**2, axis=1, keepdims=True), x) == {"": None}


def test_a_constant_input_and_a_single_point_do_no_harm():
    x = np.zeros((1, MOST_INPUTS))
    found = measured(lambda x: ops.sum(x**2, axis=1, keepdims=True), x)[""]
    assert found.positions.shape == (MOST_INPUTS, FEWEST_POINTS)
    np.testing.assert_allclose(found.curvature, 2)


def test_a_central_example_is_near_the_medians_of_all_its_numbers():
    """Each in standard deviations: the second one is nearest in metres, and far in grams."""
    metres = np.array([[0.0], [0.5], [1.0], [0.4], [0.6]])
    grams = np.array(
        [[[0.0, 1.0]], [[9000.0, 1.0]], [[500.0, 1.0]], [[600.0, 1.0]], [[100.0, 1.0]]]
    )
    assert central([metres, grams]) == 3
    assert central([metres]) == 1
    assert central([np.ones((4, 2))]) == 0
    assert central([np.zeros((1, 2), "float32")]) == 0


def test_a_grid_reaches_over_the_range_of_one_or_two_inputs_and_there_is_none_for_more():
    z = np.array([[0.0, 5.0, 1.0], [2.0, -5.0, 1.0], [1.0, 0.0, 1.0]])
    line = grid(z[:, :1])[:, 0]
    assert (line[0], line[-1]) == (0.0, 2.0)
    np.testing.assert_allclose(np.diff(line), np.diff(line)[0])
    plane = grid(z[:, :2])
    assert {(0.0, -5.0), (0.0, 5.0), (2.0, -5.0), (2.0, 5.0)} <= set(map(tuple, plane))
    assert len(np.unique(plane, axis=0)) == len(plane)
    assert grid(z) is None
