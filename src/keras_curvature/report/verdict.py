"""In one sentence what is going on: a curvature that is there, hidden, 0 or wrong."""

from __future__ import annotations

from collections.abc import Mapping

from keras_curvature.engines.api import Activity, Dependence
from keras_curvature.measurement.data import Measurement
from keras_curvature.measurement.statistics import PARTLY_HIDDEN
from keras_curvature.report.data import Verdict
from keras_curvature.report.text import percent

STRAIGHT = 0.05
"""Slope change, in standard units, below which a function looks like a straight line.

Over one standard deviation of the input the slope changes by less than 5 % of what takes
the output through one of its own. x**2 on [0, 1] has 0.56.
"""

GOOD_FIT = 0.98
"""R2 from which a straight line is what the data asks for. x**2 on [0, 1]: a line has 0.94."""

WORTH_LEARNING = 0.02
"""Gain in adjusted R2 from which data is called curved. x**2 on [0, 1] has 0.06."""

HIDDEN = 0.5
"""Hidden fraction from which a function is called piecewise linear."""


def verdict(measurement: Measurement, activity: Activity, output: int = 0) -> Verdict:
    """Says in one sentence what the numbers of one output mean.

    Args:
        measurement: what was measured.
        activity: what is known of the model's graph.
        output: which of the model's outputs this is.
    """
    early = _without_numbers(measurement, activity, output)
    if early is not None:
        return early
    raw = measurement.headline()
    fit = raw.get("r2")
    shown = "" if fit is None else f" (R² {fit:.3f} on the probe)"
    if not measurement.straightness() >= STRAIGHT:
        return _straight(fit, shown, measurement.gain_of_a_parabola())
    return _curved(raw, fit, shown)


def between_classes(v: Verdict, output: str) -> Verdict:
    """The same of the best class or of a margin, which have kinks where another class is best."""
    if v.kind not in ("piecewise linear", "partly hidden"):
        return v
    said = v.sentence.replace("; use SiLU or GELU for pointwise values", "")
    return Verdict(
        v.kind,
        f"{said} With output={output!r} some kinks lie where another class comes to be the best or "
        "second best: output=<a class> shows the network's own alone.",
    )


def _without_numbers(measurement: Measurement, activity: Activity, output: int) -> Verdict | None:
    """What can be said whatever the numbers are."""
    dependence = activity.dependence[output]
    if dependence is Dependence.NONE:
        return Verdict(
            "disconnected",
            "The output does not depend on this input: every derivative is exactly 0.",
        )
    if dependence is Dependence.CUT:
        return Verdict(
            "stopped",
            f"The derivative is cut by {activity.cuts[0]}: every derivative is 0, as asked for.",
        )
    if not measurement.has_numbers:
        return Verdict(
            "not finite",
            "No second derivative is finite: look for NaN or infinity in the weights.",
        )
    if not measurement.segments.lengths.any():
        return Verdict(
            "one point",
            "The probe is one point only, so that nothing can be said of what lies between: give "
            "different points for slope_change, hidden_fraction and a verdict.",
        )
    return None


def _curved(raw: Mapping[str, float], fit: float | None, shown: str) -> Verdict:
    hidden = raw["hidden_fraction"]
    if hidden >= HIDDEN:
        return Verdict(
            "piecewise linear",
            f"Piecewise linear: autodiff sees {percent(1 - hidden)} of the curvature, the rest "
            f"sits in kinks. Read scale_mean ({raw['scale_mean']:.3g}) and slope_change "
            f"({raw['slope_change']:.3g}); use SiLU or GELU for pointwise values{shown}.",
        )
    if hidden >= PARTLY_HIDDEN:
        return Verdict(
            "partly hidden",
            f"Partly piecewise linear: {percent(hidden)} of the curvature sits in kinks that "
            f"autodiff does not see. Compare mean with scale_mean{shown}.",
        )
    if fit is not None and fit < GOOD_FIT:
        return Verdict(
            "poor fit",
            f"The curvature is real, but the model fits the probe poorly{shown}: it is the "
            "curvature of the model, not yet of the data.",
        )
    return Verdict(
        "healthy",
        f"Healthy: the exact second derivative accounts for {percent(1 - hidden)} of the "
        f"change of slope{shown}.",
    )


def _straight(fit: float | None, shown: str, gain: float) -> Verdict:
    if fit is None:
        return Verdict(
            "straight",
            "Nearly a straight line: either the function is linear or the model has not "
            "learned its shape yet. Pass (x, y) as the probe to tell these apart.",
        )
    if fit < 0 and gain < WORTH_LEARNING:
        return Verdict(
            "straight",
            f"Nearly a straight line{shown}: worse than a constant, so its shape says nothing of "
            "the data yet.",
        )
    if fit < GOOD_FIT and gain < WORTH_LEARNING:
        return Verdict(
            "straight",
            f"Nearly a straight line{shown}, and a parabola in each input would fit the probe "
            "hardly better: the function is linear, or noise or its shape hides more.",
        )
    if fit < GOOD_FIT:
        return Verdict(
            "still straight",
            f"Still a straight line{shown}: the shape is not learned yet, and differentiation is "
            "not the problem. Train longer; SiLU and GELU bend sooner than sigmoid or tanh.",
        )
    return Verdict("linear", f"Really linear{shown}: there is hardly any curvature to see.")
