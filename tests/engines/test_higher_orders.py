"""Third and fourth derivatives of the table's models, against differences of second ones."""

from __future__ import annotations

import pytest

import higher_orders
from cases import model_of, named
from higher_orders import NOT_OF_VALUES, QUICK

REFUSED = {
    "differentiating/gradient[recurrent]",
    "differentiating/of_a_loop",
    "ops/associative_scan",
    "ops/average",
    "ops/ctc_loss",
    "ops/lu_factor",
    "tensorflow/dilation2d",
}
"""What there is no Taylor propagation for: see `test_engines.py`."""


def rows():
    for case in higher_orders.table():
        if case.id not in REFUSED:
            marks = [] if case.id in QUICK else [pytest.mark.slow]
            yield pytest.param(case, id=case.id, marks=marks)


def rows_of_values():
    return [row for row in rows() if not row.values[0].tags & NOT_OF_VALUES]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", rows_of_values())
def test_power_series_are_right(case, dtype):
    if dtype == "float64" and "float32_only" in case.tags:
        pytest.skip("there is no float64 model to be right about")
    higher_orders.check(case, model_of(case, "float32"), dtype)


@pytest.mark.parametrize("case", named(*QUICK), ids=QUICK)
def test_engines_agree(case):
    higher_orders.check_engines_agree(case, model_of(case, "float32"))


@pytest.mark.parametrize("case", named("activations/gelu"))
def test_finite_differences_are_close(case):
    higher_orders.check(case, model_of(case, "float32"), "float32", "finite_difference")
