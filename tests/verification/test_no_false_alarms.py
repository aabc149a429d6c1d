"""The whole table of cases, verified: what is right has to pass, and be judged.

pytest -m slow tests/verification/test_no_false_alarms.py
"""

from __future__ import annotations

import gc

import pytest

import keras_curvature as kc
from cases import CASES, forget_models, model_of

ANOTHER_FUNCTION = {"stop_gradient", "straight_through"}
"""Tags of cases whose derivative is not that of their values, on purpose."""

REFUSED = {"ops/associative_scan", "ops/ctc_loss", "ops/lu_factor"}
"""What cannot be traced for any batch, or has no derivative: see
`tests/engines/test_engines.py`."""

QUICK = {"layers/LayerNormalization"}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.id, marks=[] if case.id in QUICK else [pytest.mark.slow])
        for case in CASES
        if case.id not in REFUSED and "slow" not in case.tags
    ],
)
def test_what_is_right_passes(case):
    report = kc.verify(model_of(case, "float32"), case.batch("float32"), **case.kwargs)
    forget_models()  # of hundreds of models with their compiled functions
    gc.collect()
    if case.tags & ANOTHER_FUNCTION:
        assert report.ok or report.causes
    else:
        assert report.ok, str(report)
        assert all(check.judged for check in report.checks), str(report)
        assert report.checks
