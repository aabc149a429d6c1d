import dataclasses

import numpy as np
import pytest

from closed_forms import measurement, parabola, quadratic_form, report
from keras_curvature.measurement.slices import Slices
from keras_curvature.summaries import tab
from keras_curvature_tensorboard.packets import unpack


def packets(m, given=None, slices=None, **about):
    given = given or report(dict.fromkeys(m.feature_names, 1.0), **about)
    still, moving = tab.packets(given, m, slices)
    return unpack(still), unpack(moving)


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
    assert len(tab.packets(given, m, slices)[1]) <= 128 * 1024
    assert len(tab.packets(given, m, slices)[0]) <= 128 * 1024


def test_a_thinned_probe_keeps_its_ends_and_is_the_same_at_every_step():
    m = parabola(20_000)
    (header, still), (_, moving) = packets(m)
    assert (header["points"], header["shown"]) == (20_000, tab.POINTS)
    assert still["x"][0, [0, -1]].tolist() == [0.0, 1.0]
    np.testing.assert_allclose(moving["value"][0], still["x"][0] ** 2, atol=1e-6)
