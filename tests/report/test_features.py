"""What a function makes of each input: four numbers, by closed forms, and the names of patterns."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_curvature as kc
from keras_curvature.report import features
from keras_curvature.summaries import markdown, tab
from keras_curvature_page.packets import unpack

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5)) * [1, 2, 0.5, 3, 1]
NAMES = ["square", "left", "right", "line", "none"]


class Known(keras.layers.Layer):
    """`x₀² + x₁ x₂ + 3 x₃ + sin(x₀) x₁`."""

    def call(self, x):
        a, b, c, d, _ = ops.split(x, 5, axis=1)
        return a**2 + b * c + 3 * d + ops.sin(a) * b


def value(x):
    a, b, c, d, _ = x.T
    return a**2 + b * c + 3 * d + np.sin(a) * b


def by_hand():
    """In standard deviations, `(4, inputs)`."""
    a, b, c, _, e = X.T
    zero, s, out = 0 * a, X.std(axis=0), value(X).std()
    slopes = np.stack([2 * a + np.cos(a) * b, c + np.sin(a), b, zero + 3, zero * e])
    hessian = np.zeros((5, 5, len(a)))
    hessian[0, 0] = 2 - np.sin(a) * b
    hessian[0, 1] = hessian[1, 0] = np.cos(a)
    hessian[1, 2] = hessian[2, 1] = 1
    slopes *= s[:, None] / out
    sizes = np.abs(hessian).mean(axis=2) * s[:, None] * s / out
    return np.stack(
        [
            np.abs(slopes).mean(axis=1),
            slopes.var(axis=1),
            np.diag(sizes),
            sizes.sum(axis=1) - np.diag(sizes),
        ]
    )


def measured(layer=None, x=X, **options):
    inputs = keras.Input((x.shape[1],))
    model = keras.Model(inputs, (layer or Known())(inputs))
    monitor = kc.CurvatureMonitor(x, dtype="float64", **options)
    return monitor.measure(model)[""], monitor


def test_the_numbers_are_those_of_the_closed_form():
    report, _ = measured(feature_names=NAMES, units="raw")
    found = np.array([report.profiles[name].numbers for name in NAMES]).T
    # The input is float32, so that the points are rounded.
    np.testing.assert_allclose(found, by_hand(), rtol=1e-5, atol=1e-6)
    names = [one.archetype for one in report.profiles.values()]
    assert names == features.archetypes(*by_hand().round(9))
    assert [*report.features.values()] == pytest.approx(found[2])


def test_they_are_shown_wherever_a_report_is():
    report, monitor = measured(feature_names=NAMES)
    name = report.profiles["line"].archetype
    text = str(report)
    assert max(map(len, text.splitlines())) <= 88
    for shown in (text, markdown.of_report(report)):
        assert "archetype" in shown
        assert features.ARCHETYPES[name] in shown
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["profiles"]["line"]["archetype"] == name
    measurement = monitor._found.measurements[""]
    header, arrays = unpack(tab.step_packet(report, measurement))[:2]
    assert next(row[:2] for row in header["profiles"]) == ["line", name]
    assert arrays["profiles"].shape == (5, 4)
    columns = unpack(tab.probe_packet(report, measurement))[0]["profile_columns"]
    assert [name for name, *_ in columns] == list(features.NUMBERS)


RANKS = {
    # of ten inputs alike but for one: its ranks among them, in tenths, and what fits first
    "Noise": (1, 1, 1, 1),
    "Hidden Interactor": (4, 5, 5, 10),
    "Workhorse": (10, 1, 5, 1),
    "Catalyst": (10, 10, 10, 10),
    "Nonlinear Driver": (5, 10, 10, 5),
    "Volatile Specialist": (5, 10, 5, 5),
    "Stable Contributor": (10, 5, 5, 5),
    "Complex Driver": (5, 5, 5, 5),
}


@pytest.mark.parametrize("name", features.ARCHETYPES)
def test_a_pattern_has_the_name_that_its_ranks_give(name):
    others = [np.setdiff1d(np.arange(1, 11), [rank]) for rank in RANKS[name]]
    columns = [
        np.concatenate([[rank], rest]) for rank, rest in zip(RANKS[name], others, strict=True)
    ]
    assert features.archetypes(*columns)[0] == name


class Alike(keras.layers.Layer):
    """The sine of a sum: impact and the rest have the order of the weights."""

    weights_of = (1.0, 1.1, 1.2, 1.3, 0.9)

    def call(self, x):
        return ops.sin(ops.sum(x * np.array(self.weights_of), axis=1, keepdims=True))


class Unused(Alike):
    weights_of = (1.0, 1.1, 1.2, 1.3, 0.001)


@pytest.mark.parametrize("layer", [Alike, Unused])
def test_hardly_used_is_only_what_has_a_small_impact_beside_the_largest(layer):
    x = np.random.default_rng(1).normal(size=(300, 5)) / 2
    x /= x.std(axis=0)
    report, _ = measured(layer(), x)
    last = report.profiles["x4"]
    assert last.archetype == "Noise"
    unused = layer is Unused
    said = " ".join(str(report).split())
    for words in (last.meaning, said, markdown.of_report(report)):
        assert ("below 5 % of the largest: the function hardly uses it" in words) == unused
    for shown in (said, markdown.of_report(report)):
        assert "ranks low in all four" in shown
        assert "ranks among 5 inputs: they say who comes first, not by how much" in shown


def test_equal_ones_share_their_rank():
    """All alike: in the middle, and none of them first."""
    assert features.archetypes(*np.ones((4, 6))) == ["Stable Contributor"] * 6


class Bent(keras.layers.Layer):
    def call(self, x):
        return ops.sum(ops.relu(x), axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("x", "layer", "rows", "said"),
    [(X[:, :1], Bent(), 0, set()), (X[:, :3], None, 3, {""}), (X, Bent(), 5, {"in kinks"})],
    ids=["one input", "three", "kinks"],
)
def test_no_pattern_is_told_where_none_is_known(x, layer, rows, said):
    if layer is None:
        layer = keras.layers.Lambda(lambda x: ops.sum(ops.sin(x), axis=1, keepdims=True))
    report, _ = measured(layer, x)
    assert len(report.profiles) == rows
    assert {one.archetype for one in report.profiles.values()} == said
    assert all(word in report.text(numbers="all") for word in said)


@pytest.mark.slow
def test_inputs_of_two_values_and_estimates_have_no_slope_to_tell():
    x = X.copy()
    x[:, 1] = x[:, 1] > 0
    report, _ = measured(x=x, feature_names=NAMES)
    assert list(report.profiles) == ["square", "right", "line", "none"]
    assert measured(directions=4)[0].profiles == {}
