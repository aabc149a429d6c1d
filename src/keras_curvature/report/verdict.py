"""What is going on, in a few short sentences: a curvature that is there, hidden, 0 or wrong."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_curvature.engines.api import OF_A_CLASSIFIER, Activity, Dependence, may_kink
from keras_curvature.measurement import statistics
from keras_curvature.measurement.constant_inputs import constant_inputs, share_of_constant
from keras_curvature.measurement.results import Measurement
from keras_curvature.measurement.statistics import PARTLY_HIDDEN
from keras_curvature.report.data import Verdict
from keras_curvature.report.metrics import LOW_DIGITS, MEANINGS
from keras_curvature.report.text import listed, percent, plain
from keras_curvature.typing import Output, Units

STRAIGHT = 0.05
"""Slope change, in standard units, below which a function looks like a straight line.

Over one standard deviation of the input the slope changes by less than 5 % of what takes
the output through one of its own. x**2 on [0, 1] has 0.56.
"""

WORTH_LEARNING = 0.02
"""Share of the variance of y from which more is to be learned.

That of x**2 on [0, 1] beyond a straight line is 0.06.
"""

GOOD_FIT = 1 - WORTH_LEARNING
"""R2 from which less than that is left, whatever the noise."""

HIDDEN = 0.5
"""Hidden fraction from which a function is called piecewise linear."""

MOSTLY = 0.5
"""Share of rms² from which it is told to be that of constant inputs."""

KINKED = ("piecewise linear", "partly hidden")
"""Kinds of verdicts on what the exact second derivative does not see all of."""

NEARLY_STRAIGHT = ("still straight", "straight", "linear")
"""Kinds of verdicts on what has no curvature to speak of, and so no digits of it."""

KINDS = (
    "disconnected",
    "stopped",
    "not finite",
    "one point",
    "still straight",
    "straight",
    "linear",
    "piecewise linear",
    "partly hidden",
    "between classes",
    "unresolved",
    "poor fit",
    "smooth",
)
"""All kinds of verdicts."""

FEWEST = 10
"""Points of a probe below which a verdict says little: it is of the lines between them, and of what
they happen to meet.
"""

FEW_POINTS = 10
"""Points that carry the estimated rms below which its standard error says little.

With 8 directions two of these errors reach the exact one in 92 to 94 of 100 draws if all points are
alike, in 72 to 87 if one has nearly all of the curvature, and in 88 to 94 if three have.
"""


def verdict(
    measurement: Measurement,
    activity: Activity,
    output: int = 0,
    units: Units = "raw",
    asked: Output = None,
) -> Verdict:
    """Says in a few short sentences what the numbers of one output mean.

    Args:
        measurement: what was measured.
        activity: what is known of the model's graph.
        output: which of the model's outputs this is.
        units: in which its numbers are told.
        asked: the `output` that was asked for; of a classifier's best classes activations are not
            blamed for what lies between them.
    """
    early = _without_numbers(measurement, activity, output)
    if early is not None:
        return early
    shown = measurement.in_units(units)
    numbers = shown.headline() | shown.reference_errors()
    said = _said(measurement, activity, numbers, units)
    if isinstance(asked, str) and asked in OF_A_CLASSIFIER:
        said = _between_classes(said, activity, asked)
    more = (
        f"{_of_few_points(measurement)}{_against_known(said.kind, shown, numbers, units)}"
        f"{_carried(measurement)}"
        f"{_of_constant_inputs(measurement, units)}{_of_digits(said.kind, measurement.digits)}"
        f"{_of_coarse_inputs(measurement.coarse)}"
    )
    return Verdict(said.kind, f"{said.sentence}{more}")


def _said(
    measurement: Measurement, activity: Activity, numbers: Mapping[str, float], units: Units
) -> Verdict:
    """What the numbers amount to."""
    fit = numbers.get("r2")
    fitted = "" if fit is None else f" (R² {fit:.3f} on the probe)"
    if not measurement.straightness() >= STRAIGHT:
        return _straight(fit, fitted, measurement.gain_of_a_parabola())
    kinked = _kinked(numbers, units, fitted)
    if kinked is not None and any(may_kink(place.op_type) for place in activity.active):
        return Verdict(kinked.kind, f"{kinked.sentence}{_of_the_fit(measurement, fit)}")
    if kinked is not None:
        return _unresolved(numbers, fitted)
    if fit is not None and fit < GOOD_FIT:
        more = _unlearned(measurement)
        if fit < 0 or more >= WORTH_LEARNING:
            return _poor_fit(fitted, fit, more)
        return _smooth(numbers, fitted, _untold(measurement, fit))
    return _smooth(numbers, fitted)


def _between_classes(v: Verdict, activity: Activity, output: str) -> Verdict:
    """The same of the best class or of a margin, which have kinks where another class is best."""
    if v.kind not in KINKED:
        return v
    if not any(may_kink(place.op_type) for place in activity.active if place.layer):
        return Verdict(
            "between classes",
            f"Smooth within each class: with output={output!r} all kinks lie where another class "
            "comes to be the best or second best. The exact numbers hold at the points; "
            "slope_change and the curvature over a distance have these kinks in them.",
        )
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


def _kinked(numbers: Mapping[str, float], units: Units, fitted: str) -> Verdict | None:
    hidden = numbers["hidden_fraction"]
    if hidden >= HIDDEN:
        scale_mean, change = (
            _told(name, numbers, units) for name in ("scale_mean", "slope_change")
        )
        return Verdict(
            "piecewise linear",
            f"Piecewise linear: autodiff sees {percent(1 - hidden)} of the curvature, the rest "
            f"sits in kinks. Read {scale_mean} and {change}; use SiLU or GELU for pointwise "
            f"values{fitted}.",
        )
    if hidden >= PARTLY_HIDDEN:
        return Verdict(
            "partly hidden",
            f"Partly piecewise linear: {percent(hidden)} of the curvature sits in kinks that "
            f"autodiff does not see. Compare mean with scale_mean{fitted}.",
        )
    return None


def _unresolved(numbers: Mapping[str, float], fitted: str) -> Verdict:
    seen = percent(1 - numbers["hidden_fraction"])
    return Verdict(
        "unresolved",
        f"Not resolved{fitted}: nothing in the model has kinks, and still the exact second "
        f"derivative accounts for {seen} of its change of slope. It bends between the points "
        "that were looked at, or its values are rounding: give more points, dtype='float64', "
        "inputs in the range of the training.",
    )


def _unlearned(m: Measurement, *, by_a_constant: bool = False) -> float:
    """How much R2 can still rise, at least; 0 or less where nothing is known of that.

    By a constant in the place of the model: how much neighbours tell of y itself.
    """
    exact = m.by_input
    if exact is None or exact.target is None:
        return 0.0
    value = exact.value
    if by_a_constant:
        value = np.where(np.isfinite(value), exact.target.mean(axis=0), np.nan)
    x = (exact.x - exact.x.mean(axis=0)) / exact.input_spread
    return statistics.unlearned(x, value, exact.target)


def _untold(m: Measurement, fit: float) -> str:
    """That neighbours cannot tell whether more is to be learned, where they cannot.

    Where they share less than half of what the model has learned of y, they would share as little
    of what it has not.
    """
    shared = _unlearned(m, by_a_constant=True)
    if shared >= fit / 2:
        return ""
    return (
        " Whether the rest of y is noise or still to be learned is not known: points of the probe "
        "are too far apart, or too few, for neighbours to tell (of the variance of y they share "
        f"{percent(max(0.0, shared))}). Compare R² on training and held-out data."
    )


def _of_the_fit(m: Measurement, fit: float | None) -> str:
    """What is known of the rest of y, beside another verdict."""
    if fit is None or fit >= GOOD_FIT:
        return ""
    more = _unlearned(m)
    if fit < 0 or more >= WORTH_LEARNING:
        known = _left_to_learn(fit, more)
        return f" {known[0].upper()}{known[1:]}."
    return _untold(m, fit)


def _left_to_learn(fit: float, more: float) -> str:
    if more < WORTH_LEARNING:
        return "a constant would fit better"
    return (
        "at neighbouring points the errors are alike, so that they are not noise: R² can reach "
        f"{min(1.0, fit + more):.3f} at least"
    )


def _poor_fit(fitted: str, fit: float, more: float) -> Verdict:
    return Verdict(
        "poor fit",
        f"Poorly fitted{fitted}: {_left_to_learn(fit, more)}. The curvature is the model's, not "
        "yet the data's.",
    )


def _smooth(numbers: Mapping[str, float], fitted: str, untold: str = "") -> Verdict:
    seen = percent(1 - numbers["hidden_fraction"])
    said = (
        f"Smooth: the model's exact second derivative accounts for {seen} of its change of slope"
        f"{fitted}.{untold}"
    )
    if "reference_rmse" in numbers:
        return Verdict("smooth", said)
    return Verdict(
        "smooth",
        f"{said} A fit of values does not fix derivatives: reference= checks them, slopes as "
        "labels (kc.DerivativeOutput) teach them.",
    )


def _of_few_points(measurement: Measurement) -> str:
    """That so few points say little."""
    points = len(measurement.value)
    if points >= FEWEST:
        return ""
    return (
        f" {points} points say little of what lies between and beyond them: give {FEWEST} or more."
    )


def _against_known(
    kind: str, measurement: Measurement, numbers: Mapping[str, float], units: Units
) -> str:
    """How far what is to be read, at points or over a distance, is from what is known."""
    if "reference_rmse" not in numbers:
        return ""
    at_scale = kind in KINKED and np.isfinite(numbers["scale_reference_rmse"])
    name = "scale_reference_rmse" if at_scale else "reference_rmse"
    known = getattr(measurement.by_input, "reference", None)
    size = np.nan if known is None else statistics.root_mean(statistics.finite(known**2))
    share = f", {numbers[name] / size:.2g} of their root mean square" if size > 0 else ""
    off = _told(name, numbers, units)
    return f" From the known second derivatives it is off by {off}{share}."


def _carried(measurement: Measurement) -> str:
    """That an estimate hangs on few points, which a standard error of all hardly sees."""
    carriers, points = measurement.carriers(), len(measurement.value)
    if carriers is None or carriers >= min(FEW_POINTS, points / 2):
        return ""
    return (
        f" {carriers} of {points} probe points carr{'ies' if carriers == 1 else 'y'} "
        f"{percent(statistics.CARRIED)} of the estimated rms²: it may be off by more than its "
        "standard error says. Give more directions."
    )


def _of_constant_inputs(measurement: Measurement, units: Units) -> str:
    """That numbers in the units of the data are mostly of inputs that no data move."""
    exact = measurement.by_input
    if exact is None or units != "raw":
        return ""
    names = constant_inputs(exact)
    share = share_of_constant(exact) if names else 0.0
    if share < MOSTLY:
        return ""
    said = listed([plain(name, 40) for name in names])
    one = len(names) == 1
    return (
        f" {said} {'is' if one else 'are'} the same at all points of the probe and "
        f"{'has' if one else 'have'} {percent(share)} of rms²: no data tell how the model bends "
        "there. units='std' leaves that out."
    )


def _of_digits(kind: str, digits: float) -> str:
    """That few digits of what is there are real."""
    if kind in NEARLY_STRAIGHT or not digits < LOW_DIGITS:
        return ""
    return (
        f" Only {digits:.1f} digits of the second derivatives are real: the dtype has no more, or "
        "they are not those of the values. dtype='float64' helps with the first, kc.verify tells "
        "of the second."
    )


def _of_coarse_inputs(coarse: Mapping[str, float]) -> str:
    """That the model is given some inputs rounded, beside how much they vary."""
    if not coarse:
        return ""
    said = listed([plain(name, 40) for name in coarse])
    one = len(coarse) == 1
    it, its = ("it", "its") if one else ("them", "their")
    return (
        f" {said} {'reaches' if one else 'reach'} the model rounded: in the dtype in which it "
        f"takes {it}, {its} numbers lie {'' if one else 'up to '}{max(coarse.values()):.2g} of a "
        f"standard deviation apart. Subtract {its} mean in float64, before the model is given "
        f"{it}; dtype='float64' does not change what it is trained on."
    )


def _told(name: str, numbers: Mapping[str, float], units: Units) -> str:
    return f"{name} ({numbers[name]:.3g} {MEANINGS[name].unit_in(units)})"


def _straight(fit: float | None, fitted: str, gain: float) -> Verdict:
    if fit is None:
        return Verdict(
            "straight",
            "Nearly a straight line: either the function is linear or the model has not "
            "learned its shape yet. Pass (x, y) as the probe to tell these apart.",
        )
    if fit >= GOOD_FIT:
        return Verdict("linear", f"Really linear{fitted}: there is hardly any curvature to see.")
    if gain >= WORTH_LEARNING:
        return Verdict(
            "still straight",
            f"Still a straight line{fitted}: the shape is not learned yet, and differentiation is "
            "not the problem. Train longer; SiLU and GELU bend sooner than sigmoid or tanh.",
        )
    if fit < 0:
        return Verdict(
            "straight",
            f"Nearly a straight line{fitted}: worse than a constant, so its shape says nothing of "
            "the data yet.",
        )
    if gain < WORTH_LEARNING:
        return Verdict(
            "straight",
            f"Nearly a straight line{fitted}, and a parabola in each input would fit the probe "
            "hardly better: the function is linear, or noise or its shape hides more.",
        )
    return Verdict(
        "straight",
        f"Nearly a straight line{fitted}: the function is linear, noise hides more, or its shape "
        "is not learned yet.",
    )
