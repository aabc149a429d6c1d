"""Models for which a derivative per example means nothing: coupled examples, and chance."""

from __future__ import annotations

from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Subject
from keras_curvature.engines.api import TOLERANCE, influence, randomness
from keras_curvature.engines.backend import keeps_examples_apart


def coupling(s: Subject) -> list[Finding]:
    """Whether an output depends on other examples of the batch, or on chance."""
    f = s.bound.f
    # Where the graph has neither, the comparison that was made when it was bound is enough.
    if keeps_examples_apart(f) and not s.bound.evaluator.coupled:
        return []
    drift, found = randomness(f, s.leaves), influence(f, s.leaves)
    if found > TOLERANCE and f.draws:
        drift = max(drift, found)  # a generator that is left as it is draws the same twice
    if drift > TOLERANCE:
        return [
            Finding(
                kind="random",
                where="",
                layers=(),
                found=f"Two calls with the same examples differ by {drift:.1%} of the largest "
                "output.",
                meaning="The model draws random numbers when it predicts: a derivative of one draw "
                "is not one of the model.",
                advice="Turn the noise off when `training` is False, or average many draws.",
                size=drift,
            )
        ]
    if found > TOLERANCE:
        return [
            Finding(
                kind="coupled examples",
                where="",
                layers=(),
                found="An example's output changes with the other examples of its batch, by up to "
                f"{found:.1%} of the largest output.",
                meaning="Derivatives per example are not defined: what autodiff gives is the "
                "derivative of the batch's sum.",
                advice="Look for a statistic over the batch axis (a mean, a normalisation, a "
                "softmax on axis 0) and take it over the features, or from the training.",
                size=found,
            )
        ]
    return []
