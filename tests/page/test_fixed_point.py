"""Rounded numbers: what is drawn, and what the page makes of it, is off by less than is seen."""

import numpy as np
import pytest

from chunk_reading import opened, series_of, steps_of

X = np.linspace(-1, 1, 60)
PLACES = np.random.default_rng(0).uniform(-1, 1, (2, 60))
PART = 1e-4


def rounded(given, probe=None):
    """The arrays, and how each is coded."""
    (chunk,) = steps_of(series_of(given, probe, rounded=True))
    arrays = opened(chunk)[1]
    true = {name: np.stack([one[name] for one in given]).astype("float32") for name in given[0]}
    return arrays, true, {name: how for name, _, how in chunk["arrays"]}


def reach(numbers):
    return np.ptp(numbers, axis=-1, keepdims=True)


def assert_near(found, true, part=0.5 * PART):
    """Within a part of what a chart reaches at each step."""
    off = np.abs(np.float64(found) - true)
    assert np.all(off <= part * reach(np.float64(true)) * (1 + 1e-6))


CURVES = {
    "a wave": lambda step: np.sin(X + 0.1 * step),
    "a ramp": lambda step: X * (1 + step),
    "1e6 and small changes": lambda step: 1e6 + 3 * np.sin(4 * X + step),
    "1e6 and changes of its last digits": lambda step: 1e6 + 0.2 * np.sin(4 * X + step),
    "1e6 times as large in the end": lambda step: np.sin(X + step) * 10.0**step,
    "1e6 times as small in the end": lambda step: np.sin(X + step) * 10.0**-step,
    "from 1e30 to 1e-30": lambda step: np.sin(X + step) * 10.0 ** (30 - 10 * step),
    "noise": lambda step: np.random.default_rng(int(2 * step)).normal(size=60),
    "nothing, then a little": lambda step: 1e-20 * step * X,
    "smaller than a float32 can be": lambda step: 1e-42 * np.sin(X + step),
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_curves_are_right_to_a_part_of_their_chart(curve):
    given = [{"value": [curve(step)], "second": [[curve(step + 0.5)]]} for step in range(7)]
    arrays, true, _ = rounded(given)
    for name in true:
        assert_near(arrays[name], true[name])


def test_each_chart_has_its_own_quanta():
    def sized(step):
        slices = np.stack([np.sin(X + step), 1e5 * np.cos(X), 1e-5 * X, 0 * X])
        pairs = np.outer([1, 1e-3], [1, 1e-3])  # one chart of rows and columns
        return {"slice_second": slices[None], "interactions": pairs * (1 + step)}

    arrays, true, how = rounded([sized(step) for step in range(3)])
    assert set(how.values()) == {"fixed"}
    assert_near(arrays["slice_second"], true["slice_second"])
    flat = [one["interactions"].reshape(3, 1, -1) for one in (arrays, true)]
    assert_near(*flat)
    assert (arrays["interactions"][:, 1, 1] == 0).all()


def test_what_is_kept_is_a_short_decimal():
    arrays, true, _ = rounded([{"value": [np.sin(X + 0.1 * step)]} for step in range(3)])
    assert reach(true["value"]).min() > 1
    np.testing.assert_allclose(arrays["value"], arrays["value"].round(4), rtol=1e-14)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_has_no_multiples_stays_as_it_is(odd):
    given = [{"value": [np.sin(X + step)], "slope": [np.cos(X + step)]} for step in range(4)]
    given[2]["value"][0][7] = odd
    arrays, true, how = rounded(given)
    assert {name for name in how if how[name] == "fixed"} == {"slope"}
    np.testing.assert_array_equal(arrays["value"], true["value"])
    assert_near(arrays["slope"], true["slope"])


def planar(value, seconds, mixed=0.0):
    """A function of two inputs at the places of PLACES."""
    second = np.stack(np.broadcast_arrays(*seconds, PLACES[0])[:2])[None]
    mixed = np.broadcast_to(mixed, (1, 60))
    return {"value": value[None], "second": second, "scale_second": second, "mixed": mixed}


def harmonic(size, step):
    """A Laplacian that is `size` of the second derivatives, as of an equation nearly solved."""
    x, y = PLACES
    wave = np.sin(3 * x + step) * np.exp(3 * y)
    return planar(wave, (-9 * wave, 9 * wave + 9 * size * np.cos(2 * x)), wave)


def maps(arrays, still):
    """What the page draws over the plane: see static/maps.js."""
    second, over, value = (np.float64(arrays[n]) for n in ("second", "scale_second", "value"))
    first, last = still["window"]
    inside = [(first <= place).all() and (place <= last).all() for place in still["x"].T]
    return {
        "laplacian": second.sum(axis=-2),
        "scale": over.sum(axis=-2)[..., inside],
        "misfit": value - still["target"],
        "error": second - still["reference"],
    }


def still(value, seconds):
    return {
        "x": PLACES,
        "window": np.array([[-0.7, -0.6], [0.7, 0.8]]),
        "target": value[None],
        "reference": np.stack(seconds)[None],
    }


@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-4, 1e-6])
def test_what_the_page_adds_and_subtracts_is_right_however_much_cancels(size):
    x, y = PLACES
    wave = np.sin(3 * x) * np.exp(3 * y)
    known = {n: np.float32(a) for n, a in still(wave + size * x, (size * y, -size * x)).items()}
    given = [harmonic(size, 1e-3 * step) for step in range(5)]
    arrays, true, how = rounded(given, known)
    for name in ("value", "second", "mixed"):
        assert_near(arrays[name], true[name])
    found, wanted = maps(arrays, known), maps(true, known)
    for name in found:
        assert_near(found[name], wanted[name], PART)
    assert "fixed" in how.values()


def test_a_laplacian_of_exactly_0_stays_exactly_0():
    given = [harmonic(0, 0.1 * step) for step in range(4)]
    arrays, *_ = rounded(given, still(PLACES[0], PLACES))
    assert not arrays["second"].sum(axis=-2).any()
    assert arrays["second"].all()


def test_networks_of_relu_keep_their_zeros():
    def relu(step):
        x, y = PLACES
        kinks = {**planar(np.maximum(x + y, 0.1 * step), (0 * x, 0 * y))}
        kinks["scale_second"] = np.where(x > 0, 5.0 + step, 0) * np.ones((1, 2, 1))
        return kinks

    given = [relu(step) for step in range(4)]
    arrays, true, _ = rounded(given, still(PLACES[0], PLACES))
    for name in ("second", "mixed"):
        assert not arrays[name].any()
    np.testing.assert_array_equal(arrays["scale_second"] == 0, true["scale_second"] == 0)
    assert_near(arrays["value"], true["value"])


def test_one_place_far_from_the_others_does_not_coarsen_them():
    rough = 2e3 * np.eye(1, 150, 7)[0]  # the chart leaves it out
    given = [{"second": [[np.sin(np.arange(150.0) + step) + rough]]} for step in range(3)]
    arrays, true, _ = rounded(given)
    near = np.arange(150) != 7
    assert_near(arrays["second"][..., near], true["second"][..., near], 1.01 * PART)


def test_steps_without_places_or_alone_are_read():
    for count in (0, 1):
        arrays, true, _ = rounded([{"value": np.ones((1, count)), "slope": [X]}])
        np.testing.assert_array_equal(arrays["value"], true["value"])
        assert_near(arrays["slope"], true["slope"])
