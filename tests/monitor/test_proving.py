"""`prove=` of the monitor: at the end, over the range of the probe, in words, report and log."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc
from keras_curvature.measurement.shape import TOLERANCE

X = np.random.default_rng(0).uniform(-1, 2, size=(64, 2)).astype("float32")
Y = X[:, :1] ** 2


def trained(monitor, *, verbose=0, net=None):
    keras.utils.set_random_seed(0)
    net = net or keras.Sequential(
        [keras.Input((2,)), layers.Dense(4, "softplus"), layers.Dense(1, use_bias=False)]
    )
    net.layers[-1].kernel.assign(keras.ops.abs(net.layers[-1].kernel))  # convex in all inputs
    net.compile(keras.optimizers.SGD(1e-6), "mse")
    net.fit(X, Y, epochs=2, verbose=verbose, callbacks=[monitor])
    return net


def test_the_shape_is_proved_at_the_end(tmp_path, capsys):
    shape = {"strike": ("convex", "linear"), "spot": "concave"}
    monitor = kc.CurvatureMonitor(
        (X, Y), tmp_path, shape=shape, prove=5, feature_names=["strike", "spot"]
    )
    net = trained(monitor, verbose=2)
    assert monitor.proof.verdict == "Refuted"
    verdicts = {name: one.verdict for name, one in monitor.proof.claims.items()}
    assert verdicts["strike_convex"] == "Proved"
    assert verdicts["spot_concave"] == "Refuted"
    assert monitor.proof.low == pytest.approx(dict(zip(("strike", "spot"), X.min(0), strict=True)))
    assert monitor.proof.high == pytest.approx(dict(zip(("strike", "spot"), X.max(0), strict=True)))
    said = " ".join(capsys.readouterr().out.split())
    assert "Refuted: of 3 claims" in said
    report = " ".join(str(monitor.reports[""]).split())
    assert "What was proved of it, everywhere in the range of the probe" in report
    assert "Proved: convex in strike" in report
    # What counts as none at a point counts as none between points.
    spread = X.astype("float64").std(0)[0]
    assert monitor.proof.claims["strike_convex"].tolerance == pytest.approx(
        TOLERANCE * Y.astype("float64").std() / spread**2, rel=1e-4
    )
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*tfevents*"))
    assert b"curvature-picture/proof" in written
    assert b"Proved: convex in strike" in written
    # The weights are those of the end.
    again = kc.prove(
        net, *[list(end.values()) for end in (monitor.proof.low, monitor.proof.high)],
        {1: "concave"}, seconds=5,
    )  # fmt: skip
    worst = monitor.proof.claims["spot_concave"].counterexamples[0]
    assert worst.lower <= again.claims["x1_concave"].counterexamples[0].upper + 1e-9


def test_a_silent_training_prints_nothing_and_no_log_is_needed(capsys):
    monitor = kc.CurvatureMonitor(X, shape={0: "convex"}, prove=True)
    trained(monitor)
    assert monitor.proof.verdict == "Proved"
    assert capsys.readouterr().out == ""


def test_without_it_nothing_is_proved():
    monitor = kc.CurvatureMonitor(X, shape={0: "convex"})
    trained(monitor)
    assert monitor.proof is None
    assert monitor.reports[""].proof == ()


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"prove": True}, "needs a shape to prove"),
        ({"prove": 0.0, "shape": {0: "convex"}}, "above 0. Received: 0.0"),
        ({"prove": "yes", "shape": {0: "convex"}}, "Received: 'yes'"),
        ({"prove": float("nan"), "shape": {0: "convex"}}, "Received: nan"),
    ],
)
def test_a_wrong_value_is_told_at_once(keywords, words):
    with pytest.raises(ValueError, match=words):
        kc.CurvatureMonitor(X, **keywords)


def test_what_cannot_be_proved_is_told_before_training():
    monitor = kc.CurvatureMonitor(X, shape={"x1": "convex"}, prove=True, columns=[1])
    with pytest.raises(ValueError, match="`prove` goes over all inputs"):
        trained(monitor)
    net = keras.Sequential([keras.Input((2,)), Unknown(), layers.Dense(1)])
    monitor = kc.CurvatureMonitor(X, shape={"x1": "convex"}, prove=True)
    with pytest.raises(ValueError, match="cannot be enclosed"):
        trained(monitor, net=net)


class Unknown(layers.Layer):
    """Of an op without a rule."""

    def call(self, x):
        return keras.ops.arctan2(x, x + 3)
