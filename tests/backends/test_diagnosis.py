"""What stands between a model and its second derivative is found on every backend."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc
from ailing import AILING, HEALTHY, LINEAR, PARTLY, X, stack

QUICK = {
    "logarithm of zero",
    "no derivative",
    "not connected",
    "relu all through",
    "stop_gradient",
}
"""The others take as long, and much of it is the same."""

CALLED = {
    "Log": "log",
    "Sqrt": "sqrt",
    "StopGradient": "stop_gradient",
    **{
        "jax": {"IdentityN": "custom_vjp_call", "TopK": "sort"},
        "torch": {"IdentityN": "autograd_function", "TopK": "sort"},
    }[keras.config.backend()],
}
"""TensorFlow's names of ops -> those of this backend."""


def each(table):
    """The models of a table, most of them slow."""
    return [
        pytest.param(entry, id=name, marks=[pytest.mark.slow] * (name not in QUICK))
        for name, entry in table.items()
    ]


@pytest.mark.parametrize("ailment", each(AILING))
def test_an_ailment_is_found_and_explained(ailment):
    keras.utils.set_random_seed(0)
    x = X if ailment.x is None else ailment.x
    report = kc.diagnose(ailment.make(), x, **ailment.options)
    # How much is in the kinks is up to the weights, which are not those of TensorFlow.
    kinked = {LINEAR, PARTLY} if ailment.kind in (LINEAR, PARTLY) else {ailment.kind}
    assert set(report.kinds) - kinked == set(ailment.also), str(report)
    (finding,) = [f for f in report.findings if f.kind in kinked]
    assert CALLED.get(ailment.where, ailment.where) in finding.where
    assert finding.layers == ailment.layers
    assert ailment.advice in finding.advice
    assert ailment.found in finding.found
    assert "TensorFlow" not in str(report)


@pytest.mark.slow
@pytest.mark.parametrize("make", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in_a_healthy_model(make):
    keras.utils.set_random_seed(0)
    report = kc.diagnose(make(), X, compare_tapes=True)
    assert report.healthy, str(report)


def test_the_model_is_left_alone():
    """Its weights, moving averages and random numbers; nothing of it is seen as an ailment."""
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(8, "silu"), layers.BatchNormalization(), layers.Dropout(0.5, seed=1)]
    model = stack(*hidden)
    before = [v.numpy() for v in model.variables]
    assert kc.diagnose(model, X).healthy
    assert len(before) == 9  # four of weights, four of the normalisation, and the dropout's seed
    for variable, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


@pytest.mark.slow
def test_a_training_ends_with_a_diagnosis(tmp_path):
    keras.utils.set_random_seed(0)
    model = stack(layers.Dense(8, "relu", name="bend"))
    model.compile("sgd", "mse")
    monitor = kc.CurvatureMonitor(X, tmp_path)
    model.fit(X, X[:, :1], verbose=0, callbacks=[monitor])
    assert monitor.diagnosis is not None
    assert [finding.layers for finding in monitor.diagnosis.findings] == [("bend",)]
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*tfevents*"))
    assert b"relu in 'bend'" in written


@pytest.mark.slow
def test_kinks_inside_of_a_loop_have_a_name():
    keras.utils.set_random_seed(0)
    recurrent = layers.SimpleRNN(8, "relu")
    report = kc.diagnose(stack(layers.Reshape((3, 1)), recurrent), X)
    (finding,) = report.findings
    assert finding.layers == (recurrent.cell.name,), str(report)
    assert finding.where == f"relu in {recurrent.cell.name!r}"
