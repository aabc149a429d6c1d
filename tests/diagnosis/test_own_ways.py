"""What of the backend's own ways fails on a model, and which units it cannot differentiate."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc
from ailing import IMAGES, X, stack

BACKEND = keras.config.backend()


def normalised():
    return stack(layers.Dense(8, "tanh"), layers.LayerNormalization())


def convolved():
    hidden = [layers.Conv2D(3, 3, activation="tanh"), layers.Flatten()]
    return stack(*hidden, inputs=IMAGES.shape[1:])


def looped(x):
    """`x⁴` by a loop, which JAX differentiates forwards only."""
    import jax

    return jax.lax.while_loop(lambda c: c[1] < 2, lambda c: (c[0] ** 2, c[1] + 1), (x, 0))[0]


BY_WAYS = {
    # model, examples, part of what is found, ways that are named, one that is right
    "tensorflow": [
        (normalised, X, "is off by", ("tape in tape", "tf.hessians"), ""),
    ],
    "torch": [
        (normalised, X, "torch forward over forward is off by", ("torch forward over forward",),
         "torch double backward"),
        (lambda: stack(layers.Dense(8, "silu")), X, "silu_backward", ("torch.func.hessian",),
         "torch double backward"),
    ],
    "jax": [
        (lambda: looped, X, "Reverse-mode differentiation does not work",
         ("jax reverse over reverse",), "jax forward over forward"),
    ],
}[BACKEND]  # fmt: skip


@pytest.mark.parametrize("case", BY_WAYS, ids=lambda case: case[2])
def test_ways_that_fail_or_are_wrong_are_named(case):
    make, x, said, named, right = case
    keras.utils.set_random_seed(0)
    model = make()
    assert "own ways" not in kc.diagnose(model, x).kinds
    report = kc.diagnose(model, x, compare_ways=True)
    (finding,) = [f for f in report.findings if f.kind == "own ways"]
    assert said in finding.found, str(report)
    assert set(named) <= set(finding.where.replace(" and ", ", ").split(", "))
    assert right in finding.found.partition("Right here")[2]
    assert not right or right not in finding.where


@pytest.mark.parametrize("make", [lambda: stack(layers.Dense(8, "tanh")), convolved],
                         ids=["dense", "convolution"])  # fmt: skip
def test_of_a_healthy_model_nothing_is_said_of_right_ways(make):
    keras.utils.set_random_seed(0)
    model = make()
    report = kc.diagnose(model, X if len(model.input_shape) == 2 else IMAGES, compare_ways=True)
    wrong = [f for f in report.findings if "off by" in f.found]
    assert wrong == []
    if make is not convolved:
        assert report.healthy, str(report)
    assert "ways of" in report.checks[-1]


def test_ways_are_not_asked_of_several_inputs():
    a, b = keras.Input((3,)), keras.Input((3,))
    model = keras.Model([a, b], layers.Dense(1)(layers.Dense(4, "tanh")(layers.add([a, b]))))
    report = kc.diagnose(model, [X, X], compare_ways=True)
    assert report.healthy
    assert "were not asked" in report.checks[-1]


def pushed(activation, units, by):
    keras.utils.set_random_seed(0)
    model = stack(layers.Dense(16, activation, name="ailing"))
    kernel, bias = model.get_layer("ailing").get_weights()
    bias[:units] = by
    model.get_layer("ailing").set_weights([kernel, bias])
    return model


@pytest.mark.parametrize(
    ("activation", "units", "by", "share"),
    [
        ("softplus", 2, 40, "12 %"),
        ("softplus", 8, 40, "50 %"),
        ("tanh", 2, 30, "12 %"),
        ("tanh", 2, -30, "12 %"),
    ],
)
def test_units_beyond_the_dtype_are_counted(activation, units, by, share):
    model = pushed(activation, units, by)
    (finding,) = kc.diagnose(model, X).findings
    assert finding.kind == "saturated units"
    assert finding.found.startswith(f"{share} of the 16 units of {activation} in 'ailing'")
    assert finding.layers == ("ailing",)
    assert finding.size == pytest.approx(units / 16)
    assert f"float32's {activation}" in finding.found


@pytest.mark.parametrize(
    ("activation", "units", "by"),
    [
        ("softplus", 2, 5),
        ("softplus", 16, -9),
        ("tanh", 2, 3),
        ("elu", 16, 9),
        ("silu", 2, 40),
        ("gelu", 2, 40),
        ("celu", 16, 9),
    ],
)
def test_units_that_bend_or_were_never_to_are_no_alarm(activation, units, by):
    assert "saturated units" not in kc.diagnose(pushed(activation, units, by), X).kinds


def test_what_float64_can_differentiate_is_no_alarm():
    model = pushed("softplus", 2, 22)
    assert kc.diagnose(model, X).kinds == ("saturated units",)
    assert kc.diagnose(model, np.float64(X), dtype="float64").healthy


@pytest.mark.slow
def test_what_16_bits_round_is_no_fault_of_a_way():
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(16, "tanh", dtype="mixed_bfloat16")]
    report = kc.diagnose(stack(*hidden), X, compare_ways=True)
    assert not [f for f in report.findings if f.kind == "own ways" and " off by " in f.found]
