import dataclasses

import numpy as np
import pytest

from closed_forms import (
    kinked,
    measurement,
    on_grid,
    parabola,
    quadratic_form,
    report,
    saddle,
    with_two_values,
)
from keras_curvature.measurement.plane_maps import MOST_MAPS, SIDE, PlaneMap
from keras_curvature.measurement.slices import Slices
from keras_curvature.report.metrics import MEANINGS
from keras_curvature.summaries import tab
from keras_curvature_page.packets import unpack


def packets(m, given=None, slices=None, **about):
    given = given or report(dict.fromkeys(m.feature_names, 1.0), **about)
    m = dataclasses.replace(m, slices=slices)
    return tuple(unpack(one(given, m)) for one in (tab.probe_packet, tab.step_packet))


def outputs(m, count):
    """The same with each output `count` times over, as more entries of one output."""
    widened = {
        field.name: np.concatenate([getattr(m, field.name)] * count, axis=1)
        for field in dataclasses.fields(m)
        if field.name in ("value", "jacobian", "diagonal", "hessian", "scale_diagonal")
    }
    return dataclasses.replace(m, **widened, output_spread=np.repeat(m.output_spread, count))


def slices_of(d, p=11, m=1):
    rng = np.random.default_rng(0)
    return Slices(
        positions=np.sort(rng.normal(size=(d, p)), axis=1),
        centre=rng.normal(size=d),
        value=rng.normal(size=(d, p, m)),
        curvature=rng.normal(size=(d, p, m)),
        scale_curvature=rng.normal(size=(d, p, m)),
    )


def test_one_input_is_in_order_with_value_slope_and_curvatures():
    m = parabola(target=None)
    (_, still), (_, moving) = packets(m)
    x = still["x"][0]
    assert (np.diff(x) > 0).all()
    np.testing.assert_allclose(moving["value"][0], x**2, atol=1e-6)  # float32
    np.testing.assert_allclose(moving["slope"][0], 2 * x, atol=1e-6)
    for name in ("second", "scale_second"):
        np.testing.assert_array_equal(moving[name], np.full((1, 1, len(x)), 2.0))


def test_two_inputs_have_each_second_derivative():
    m = quadratic_form(2)
    (_, still), (_, moving) = packets(m)
    hessian = m.hessian[0, 0]
    np.testing.assert_array_equal(still["x"], m.x.T.astype(np.float32))
    for name, entry in (("second", np.diag(hessian)), ("mixed", [hessian[0, 1]])):
        found = moving[name].reshape(-1, len(m.x))
        np.testing.assert_allclose(found, np.tile(entry, (len(m.x), 1)).T, rtol=1e-6)
    assert "slope" not in moving


def test_more_inputs_have_bars_a_heat_map_and_slices():
    m, slices = quadratic_form(5), slices_of(5)
    interactions = np.arange(25.0).reshape(5, 5)
    given = report({f"x{i}": float(i) for i in range(5)}, interactions=interactions)
    (_, still), (header, moving) = packets(m, given, slices)
    assert header["features"] == ["x4", "x3", "x2", "x1", "x0"]
    np.testing.assert_array_equal(moving["features"], [4, 3, 2, 1, 0])
    np.testing.assert_array_equal(moving["interactions"], interactions)
    np.testing.assert_allclose(still["slice_x"], slices.positions, rtol=1e-6)
    np.testing.assert_allclose(moving["slice_second"][0], slices.curvature[..., 0], rtol=1e-6)
    assert not {"x", "value", "second"} & (still.keys() | moving.keys())


def test_units_are_those_of_the_report():
    m = quadratic_form(3)
    m = dataclasses.replace(
        m, input_spread=np.array([2.0, 3.0, 5.0]), output_spread=np.array([7.0])
    )
    slices = slices_of(3)
    _, (_, raw) = packets(m, slices=slices)
    _, (_, std) = packets(m, slices=slices, units="std")
    squares = np.array([4.0, 9.0, 25.0])[None, :, None]
    for name, factor in (
        ("slice_value", 1 / 7),
        ("slice_second", squares / 7),
        ("slice_scale_second", squares / 7),
    ):
        np.testing.assert_allclose(std[name], raw[name] * factor, rtol=1e-6)
    expected = np.sort(m.in_units("std").laplacian[:, 0])
    np.testing.assert_allclose(std["laplacian_quantiles"], expected, rtol=1e-6)


def test_a_slice_along_an_input_that_does_not_vary_has_no_weight_in_deviations_as_its_bar():
    m = quadratic_form(3)
    m = dataclasses.replace(m, x=m.x * [1.0, 1.0, 0.0])
    _, (_, std) = packets(m, slices=slices_of(3), units="std")
    for name in ("slice_second", "slice_scale_second"):
        np.testing.assert_array_equal(std[name][:, 2], 0)
        assert std[name][:, :2].all()


def test_the_window_is_in_units_of_x_as_x_is():
    m = parabola()
    for units in ("raw", "std"):
        (_, still), _ = packets(m, units=units)
        np.testing.assert_allclose(still["scale"], m.scale, rtol=1e-6)


def test_the_distribution_has_quantiles_of_what_is_finite():
    laplacian = np.random.default_rng(0).normal(size=(5000, 1, 1))
    laplacian[:100] = np.nan
    laplacian[100:110] = np.inf
    m = dataclasses.replace(parabola(5000), diagonal=laplacian)
    found = packets(m)[1][1]["laplacian_quantiles"]
    finite = laplacian[np.isfinite(laplacian)]
    assert len(found) == tab.QUANTILES
    np.testing.assert_allclose(found[[0, -1]], [finite.min(), finite.max()], rtol=1e-6)
    np.testing.assert_allclose(np.median(found), np.median(finite), atol=0.02)  # 1/256 apart


def test_nothing_finite_is_an_empty_distribution():
    m = dataclasses.replace(parabola(), diagonal=np.full((101, 1, 1), np.nan))
    assert packets(m)[1][1]["laplacian_quantiles"].size == 0


def test_what_is_said_arrives_on_one_line_and_short():
    m = quadratic_form(3, names=["a\n<b>", "\x1b[31m" + "x" * 500, "温度"])
    given = report(dict.fromkeys(m.feature_names, 1.0), sentence="one\ntwo <i>")
    (still, _), (moving, _) = packets(m, given)
    assert moving["verdict"]["sentence"] == "one two <i>"
    assert still["names"][0] == "a <b>"
    assert still["names"][2] == "温度"
    assert max(map(len, still["names"])) <= tab.NAME_LENGTH
    assert still["meanings"]["mean"][0] == "y/x²"


def image(n, d):
    """Many inputs, whose whole Hessian is not taken."""
    rng = np.random.default_rng(0)
    m = measurement(
        rng.normal(size=(n, d)), np.ones((n, 1)), np.ones((n, 1, d)), np.zeros((n, 1, d, d))
    )
    return dataclasses.replace(m, hessian=None)


LARGE = {
    "one input": (parabola(20_000), None),
    "one input, ten entries": (outputs(parabola(20_000), 10), None),
    "two inputs": (quadratic_form(2, n=20_000), None),
    "two inputs, ten entries": (outputs(quadratic_form(2, n=20_000), 10), None),
    "64 inputs, ten entries": (outputs(quadratic_form(64, n=100), 10), slices_of(64, 11, 10)),
    "200 inputs": (image(5, 200), None),
}


@pytest.mark.parametrize(("m", "slices"), LARGE.values(), ids=LARGE)
def test_a_step_has_a_bounded_size_whatever_is_measured(m, slices):
    d = m.x.shape[1]
    features = {f"a rather long name of a feature {i:04}": float(i) for i in range(d)}
    interactions = np.ones((d, d)) if d <= 64 else None
    given = report(features, interactions=interactions)
    maps = [a_map(f"{'long ' * 30}{i}", "held " * 40) for i in range(MOST_MAPS)]
    m = dataclasses.replace(m, slices=slices)
    for packet in (tab.probe_packet, tab.step_packet):
        assert len(packet(given, m, maps)) <= 128 * 1024


def test_a_thinned_probe_keeps_its_ends_and_is_the_same_at_every_step():
    m = parabola(20_000)
    (header, still), (_, moving) = packets(m)
    assert (header["points"], header["shown"]) == (20_000, tab.POINTS)
    assert still["x"][0, [0, -1]].tolist() == [0.0, 1.0]
    np.testing.assert_allclose(moving["value"][0], still["x"][0] ** 2, atol=1e-6)


def test_a_bar_is_the_curvature_over_a_distance_too_and_the_order_is_that_of_both():
    m = quadratic_form(5)
    diagonal = m.diagonal.copy()
    diagonal[..., 2:] = 0.0  # of these all curvature sits in kinks
    m = dataclasses.replace(m, diagonal=diagonal)
    _, (header, moving) = packets(m, report(m.feature_curvature(), interactions=m.interactions()))
    over = m.scale_feature_curvature()
    assert header["features"] == sorted(over, key=over.get, reverse=True)
    np.testing.assert_allclose(moving["features_over"], [over[n] for n in header["features"]])
    np.testing.assert_allclose(
        moving["features"], [m.feature_curvature()[n] for n in header["features"]], rtol=1e-6
    )


REASONS = {
    "kinks": (np.zeros((5, 5)), 1.0, "All curvature sits in kinks: see the bars over ± h"),
    "nothing": (np.zeros((5, 5)), 0.0, "Every entry of the exact Hessian is 0."),
    "no number": (np.full((5, 5), np.nan), 1.0, "No entry of the exact Hessian is finite."),
    "not taken": (None, 1.0, "only its diagonal was taken"),
}


@pytest.mark.parametrize(("pairs", "over", "words"), REASONS.values(), ids=REASONS)
def test_an_empty_matrix_is_told_and_not_drawn(pairs, over, words):
    m = quadratic_form(5)
    m = dataclasses.replace(m, scale_diagonal=over * m.scale_diagonal)
    _, (header, moving) = packets(m, report(m.feature_curvature(), interactions=pairs))
    assert "interactions" not in moving
    assert words in header["pairs"]


@pytest.mark.parametrize("m", [parabola(), kinked(), saddle()], ids=["one", "kinks", "two"])
def test_the_border_zone_is_where_the_averages_leave_windows_out(m):
    (_, still), _ = packets(m)
    first, last = still["window"]
    x = m.x.astype(np.float32)
    np.testing.assert_array_equal((x >= first) & (x <= last), m.inside)


def test_an_image_has_its_places_and_neither_bars_nor_a_matrix():
    m = on_grid((8, 8, 1))
    m = dataclasses.replace(m, scale_diagonal=2 * m.diagonal)
    features = m.feature_curvature()
    (still, _), (header, moving) = packets(
        m, report(features, interactions=m.interactions(), example_shape=(8, 8, 1))
    )
    assert still["grid"] == ["row", "column"]
    assert still["names"] == []
    places = np.array(list(features.values())).reshape(8, 8)
    np.testing.assert_allclose(moving["grid"], [places, 2 * places], rtol=1e-6)
    assert not {"features", "interactions"} & moving.keys()
    assert "features" not in header


def test_columns_of_a_table_are_bars_however_many():
    m = dataclasses.replace(on_grid((64,)), example_shape=(64,))
    (still, _), (_, moving) = packets(m, report(m.feature_curvature()))
    assert "grid" not in still
    assert len(moving["features"]) == 64


def test_an_image_too_large_to_be_drawn_is_none():
    shape = (100, 100)
    m = dataclasses.replace(image(3, 10_000), example_shape=shape)
    (still, _), (_, moving) = packets(m, report(m.feature_curvature(), example_shape=shape))
    assert "grid" not in still
    assert len(moving["features"]) == tab.BARS


def test_inputs_of_two_values_stand_apart():
    m = with_two_values(quadratic_form(5), 1, 3, start=5, end=10)
    given = report(m.feature_curvature(), changes=m.feature_changes())
    _, (header, moving) = packets(m, given)
    assert set(header["features"]) == {"x0", "x2", "x4"}
    assert header["changes"] == ["x3", "x1"]
    assert header["ways"] == ["from 5 to 10"] * 2
    np.testing.assert_allclose(moving["changes"], [2, 1])


@pytest.mark.parametrize("d", [5, 100])
def test_labels_tell_names_apart_that_are_alike_for_long(d):
    names = [f"a name that is alike for longer than any label {i}" for i in range(d)]
    m = quadratic_form(5, names=names) if d == 5 else image(5, d)
    m = dataclasses.replace(m, feature_names=tuple(names))
    (still, _), (header, _) = packets(m, report(m.feature_curvature()))
    found = still["labels"] if d == 5 else header["labels"]
    assert len(set(found)) == len(found) == min(d, tab.BARS)
    assert max(map(len, found)) <= tab.LABEL_LENGTH


def test_every_headline_number_is_explained():
    m = parabola()
    (still, _), _ = packets(m)
    told = report()
    assert still["meanings"].keys() == {**told.headline, **told.reference}.keys()
    for name, (_, sentence, formula) in still["meanings"].items():
        assert sentence == MEANINGS[name].sentence
        assert formula == MEANINGS[name].formula


def a_map(name="residual <b>", held=""):
    axes = np.stack([np.linspace(0, 1, SIDE), np.linspace(-1, 1, SIDE)])
    return PlaneMap(name, ("t\n", "x"), axes, held, np.add.outer(10 * axes[1], axes[0]))


@pytest.mark.parametrize("m", [saddle(), quadratic_form(3)], ids=["two inputs", "more"])
def test_functions_of_the_users_have_axes_with_names_and_numbers(m):
    maps = [a_map(), a_map("error", "y = 1")]
    given = report(dict.fromkeys(m.feature_names, 1.0))
    still, moving = (one(given, m, maps) for one in (tab.probe_packet, tab.step_packet))
    (header, still), (_, moving) = unpack(still), unpack(moving)
    assert header["maps"] == [
        {"name": "residual <b>", "inputs": ["t", "x"], "held": ""},
        {"name": "error", "inputs": ["t", "x"], "held": "y = 1"},
    ]
    np.testing.assert_allclose(still["map_axes"], [one.axes for one in maps], rtol=1e-6)
    np.testing.assert_allclose(moving["maps"], [one.values for one in maps], rtol=1e-6)
