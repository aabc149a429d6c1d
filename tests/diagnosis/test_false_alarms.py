"""The whole table of cases, diagnosed: whatever is found has to be true, what is known found.

    pytest -s -m slow tests/diagnosis/test_false_alarms.py

prints how many findings there were, how many of them are true, and the false alarms by name.
What is true comes from the tables of cases: from their tags, from what TensorFlow was found to
get wrong, and from the list of exceptions below, each with its reason.
"""

from __future__ import annotations

import dataclasses
import gc
from collections import Counter

import pytest

import keras_curvature as kc
from cases import CASES, Case, forget_models, model_of
from cases.tensorflow_own import known_verdict

EXAMPLES = 24
"""As many as a user might pass; what happens between them counts too."""

KINKS = {"piecewise linear", "partly hidden", "flat"}

TRUE_BY_TAG = {
    "kinked": KINKS,
    "linear": {"linear"},
    "piecewise_linear": KINKS | {"linear"},  # where no kink lies between the examples
    "stop_gradient": {"altered gradient", "stopped"},
    "straight_through": KINKS | {"altered gradient"},  # rounded values jump
}

TRUE_BY_ID = {
    "layers/MelSpectrogram": KINKS,  # cuts off what is 80 decibels below the loudest
    "ops/eig": KINKS,  # sorts eigenvalues, which meet and turn complex between the examples
    "ops/lu_factor": {"no derivative"},
    "ops/ptp": KINKS,  # the largest less the smallest
    "tensorflow/clip_by_norm": KINKS,  # leaves short vectors as they are
    "tensorflow/dilation2d": {"no derivative"},
    # As layers/MaxPooling2D[stride_1], but in float32 only: TensorFlow says 0 everywhere.
    "tensorflow/max_pool_overlapping": {"TensorFlow wrong"},
}
"""Kinks that are not near the points of the case, what has no derivative, what gets lost."""

REFUSED = {"ops/associative_scan", "ops/ctc_loss"}
"""What can not be traced for a batch of any size: an error, see `tests/engines/test_engines.py`."""

QUICK = {"networks/mlp_relu", "layers/LayerNormalization"}


def true_findings(case: Case) -> set[str]:
    """The kinds that may be found in a case."""
    true = set(TRUE_BY_ID.get(case.id, ()))
    for tag in case.tags & TRUE_BY_TAG.keys():
        true |= TRUE_BY_TAG[tag]
    known = known_verdict(case)
    if known != "right":
        true.add("TensorFlow wrong" if known == "wrong" else "TensorFlow missing")
    return true


@pytest.fixture(scope="module")
def tally():
    """Counts, and prints them after the last case."""
    counts, false = Counter(), []
    yield counts, false
    found = counts.total() - counts["models"] - counts["healthy models"]
    print(f"\n{counts['models']} models, {counts['healthy models']} of them without a finding.")
    print(f"{found} findings: {dict(counts)}")
    print(f"{len(false)} false alarms: {false}")


@pytest.mark.tensorflow  # which of its own derivatives are wrong is in the tables
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.id, marks=[] if case.id in QUICK else [pytest.mark.slow])
        for case in CASES
        if case.id not in REFUSED
    ],
)
def test_whatever_is_found_is_true(case, tally):
    counts, false = tally
    x = dataclasses.replace(case, examples=EXAMPLES).batch("float32")
    report = kc.diagnose(model_of(case, "float32"), x, compare_tapes=True, **case.kwargs)
    counts.update(["models", *report.kinds, *(["healthy models"] if report.healthy else [])])
    alarms = [kind for kind in report.kinds if kind not in true_findings(case)]
    false += [f"{case.id}: {kind}" for kind in alarms]
    forget_models()  # of hundreds of models with their compiled functions
    gc.collect()
    assert not alarms, str(report)
    if "moments" in case.tags and "slow" not in case.tags:
        assert "TensorFlow wrong" in report.kinds
