"""Third and fourth derivatives of the table's models on the other backends."""

from __future__ import annotations

import keras
import pytest

import higher_orders
from cases import named
from cases.weights import precision
from higher_orders import NOT_OF_VALUES, QUICK

TENSORFLOW_S = ("tensorflow", "differentiating", "applications")
"""Families of raw TensorFlow ops, of its tapes, and of weights that are downloaded."""

REFUSED = {
    "jax": {
        "models/autograph",
        "models/exported",
        "models/text_beside_numbers",
        "ops/average_pool",
        "ops/max_pool",
        "ops/rearrange",
    },
    "torch": {
        "models/autograph",
        "models/exported",
        "models/text_beside_numbers",
        "ops/ctc_loss",
        "ops/full_like",
        "ops/get_item[negative_stride]",
        "ops/linspace",
        "ops/logspace",
        "ops/scatter",
        "ops/vdot",
    },
}[keras.config.backend()]
"""What Keras or the backend does not build or take: see `test_cases.py`."""


def rows():
    for case in higher_orders.table():
        hidden = case.family in TENSORFLOW_S or case.tags & NOT_OF_VALUES
        if not hidden and case.id not in REFUSED:
            marks = [] if case.id in QUICK else [pytest.mark.slow]
            yield pytest.param(case, id=case.id, marks=marks)


@pytest.fixture(scope="module")
def model_of(truths):
    def model(case):
        with precision("float32"):
            made = case.make()
        for variable, value in zip(made.weights, truths[case.id]["weights"], strict=True):
            variable.assign(value.astype(variable.dtype))
        return made

    return model


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", [*rows()])
def test_power_series_are_right(case, dtype, model_of):
    higher_orders.check(case, model_of(case), dtype)


@pytest.mark.parametrize("case", named(*QUICK), ids=QUICK)
def test_engines_agree(case, model_of):
    higher_orders.check_engines_agree(case, model_of(case))
