"""What curvature over many distances says, from the places to the sentence."""

from __future__ import annotations

import numpy as np
import pytest

from keras_curvature.measurement import multiscale, rounding_noise
from keras_curvature.report import scale_profile
from keras_curvature.report.data import ScaleProfile

H = multiscale.DISTANCES


def taken(function, count=60):
    """Second differences of a function of one input along the lines of a probe of it."""
    z = np.random.default_rng(0).uniform(-1, 1, size=(count, 1))
    scale_lines = multiscale.scale_lines(z, z.std(axis=0))
    places = z[scale_lines.start] + multiscale.PLACES * scale_lines.unit
    values = function(places)[..., None]
    number = len(multiscale.OFFSETS)
    return (
        scale_lines,
        multiscale.differences(values[:, :number], scale_lines.inside),
        rounding_noise.noise(values[:, number:]),
    )


def test_lines_lead_from_probe_points_to_probe_points():
    z = np.random.default_rng(0).normal(size=(40, 3)) * [1.0, 10.0, 0.1]
    scale_lines = multiscale.scale_lines(z, z.std(axis=0))
    assert len(scale_lines.start) == len(set(scale_lines.start)) == multiscale.CENTRES
    # A step is one standard deviation long, whatever the units of the inputs.
    np.testing.assert_allclose(np.linalg.norm(scale_lines.unit / z.std(axis=0), axis=1), 1)


def test_equal_points_make_no_line():
    scale_lines = multiscale.scale_lines(np.ones((5, 2)), np.ones(2))
    assert not scale_lines.inside.any()
    assert (scale_lines.unit == 0).all()


def test_only_the_sum_of_the_two_slopes_rounds():
    """The last bit below 1 is lost in `ahead - 2 here`, which is larger than either."""
    bit = np.finfo(np.float64).epsneg
    values = np.full((1, len(multiscale.OFFSETS), 1), 1 - bit)
    values[:, 0] = 1.0
    around = multiscale.differences(values, np.ones((1, len(multiscale.OFFSETS)), bool))[:, 0, 0]
    np.testing.assert_array_equal(around, -2 * bit / H**2)


def test_second_differences_of_a_parabola_are_its_second_derivative():
    _, curvature, _ = taken(lambda x: x**2)
    spread = np.random.default_rng(0).uniform(-1, 1, size=(60, 1)).std()
    known = np.isfinite(curvature)
    assert known.any(axis=(1, 2)).all()
    # rounding: 4 eps / h², h = 1 / 2048
    np.testing.assert_allclose(curvature[known], 2 * spread**2, rtol=1e-7)


def test_windows_that_leave_the_range_are_left_out():
    scale_lines, curvature, _ = taken(lambda x: np.where(np.abs(x) > 1, np.inf, x**2))
    assert not scale_lines.inside.all()
    assert np.isnan(curvature[0]).any()
    assert not np.isinf(curvature).any()


def test_a_kink_is_seen_through_a_triangle():
    """Of |x| at distance t: 2 max(0, 1 - t / h) / h."""
    _, curvature, _ = taken(lambda x: np.abs(x - 0.123))
    z = np.random.default_rng(0).uniform(-1, 1, size=(60, 1))
    scale_lines = multiscale.scale_lines(z, z.std(axis=0))
    h = H * z.std()
    away = np.abs(z[scale_lines.start, 0] - 0.123)
    expected = z.std() ** 2 * 2 * np.maximum(0, 1 - away / h[:, None]) / h[:, None]
    centred = curvature[:, : len(away), 0]
    known = np.isfinite(centred)
    np.testing.assert_allclose(centred[known], expected[known], atol=1e-8)


@pytest.mark.parametrize("size", [1e-12, 1e-6])
def test_noise_of_a_value_is_found_beside_a_smooth_function(size):
    values = np.sin(rounding_noise.offsets())[None] + np.arange(300)[:, None]
    noisy = values + size * np.random.default_rng(0).normal(size=(300, rounding_noise.POINTS))
    # A median over 300 estimates of four degrees of freedom each is a little low.
    assert rounding_noise.noise(noisy[..., None])[0] == pytest.approx(size, rel=0.25)


def test_noise_of_a_second_difference():
    drawn = 1e-3 * np.random.default_rng(0).normal(size=(100_000, 3))
    found = (drawn @ [1, -2, 1]).std() / 0.1**2
    assert rounding_noise.in_second_difference(np.array(1e-3), np.array(0.1)) == pytest.approx(
        found, rel=0.02
    )


def profile(rms, noise=1e-16):
    rounded = rounding_noise.in_second_difference(np.array(noise), H)
    rms = np.broadcast_to(np.asarray(rms, dtype=float), H.shape)
    return ScaleProfile(H, rms, np.hypot(rms, rounded), rounded, 1e8 * rounded)


BENT = np.where(H > 0.2, 3.0, 1.0)
READINGS = {
    "smooth": (profile(1.0), "smooth", "every distance up to one standard deviation."),
    "smooth below": (profile(BENT), "smooth", "up to 0.12 standard deviations"),
    "smooth until": (profile(1.0, noise=1e-6), "smooth", "down to where rounding sets in"),
    "kinks": (profile(H**-0.5), "kinks", "never settles"),
    "rounding": (profile(0.01, noise=1e-3), "rounding", "differences say nothing"),
    "flat": (profile(0.0), "flat", "no curvature at any distance"),
}


@pytest.mark.parametrize(("given", "kind", "sentence"), READINGS.values(), ids=READINGS)
def test_a_scale_profile_is_read(given, kind, sentence):
    reading = scale_profile.read(given)
    assert reading.kind == kind
    assert sentence in reading.sentence


def test_nothing_known_is_flat_and_no_error():
    assert scale_profile.read(profile(np.nan)).kind == "flat"
