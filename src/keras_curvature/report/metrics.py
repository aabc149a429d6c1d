"""What every number means, in words. docs/meanings.py copies it into docs/numbers.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keras_curvature.typing import Units

CURVATURE, SLOPE_OVER_CURVATURE, SHARE, SCORE, SECONDS = "y/x²", "1/x", "0 to 1", "", "s"
COUNT = "points"
DIGITS = "digits"
SLOPE = "y/x"
VALUE = "y"

IN_DEVIATIONS = {
    CURVATURE: "σy/σx²",
    SLOPE: "σy/σx",
    VALUE: "σy",
    SLOPE_OVER_CURVATURE: "1/σx",
}
"""Units of data, and the same in standard deviations over the probe."""

LOW_DIGITS = 3
"""Digits below which that is told with the numbers to look at first."""

MOST_FEATURES = 20
"""Features named in text and pictures: what a person reads before giving up."""

MOST_PAIRS = 10
"""Pairs of them."""


@dataclass(frozen=True)
class Meaning:
    """What a number tells.

    Attributes:
        sentence: what to think when it is read, short enough for a table.
        formula: how it is computed, of the output f at the input x.
        unit: for input `x` and output `y` in units of the data.
    """

    sentence: str
    formula: str
    unit: str

    def unit_in(self, units: Units) -> str:
        """The unit when numbers are in `units`."""
        return IN_DEVIATIONS.get(self.unit, self.unit) if units == "std" else self.unit

    def description(self, units: Units) -> str:
        """Sentence, formula and unit as one paragraph."""
        unit = self.unit_in(units)
        parts = [f"{self.sentence[0].upper()}{self.sentence[1:]}.", f"{self.formula}."]
        return " ".join(parts + ([f"Unit: {unit}."] if unit else []))


_AT_SCALE = (
    "(f(x + h eᵢ) − 2 f(x) + f(x − h eᵢ)) / h² along each input, over the points whose window "
    "x ± h eᵢ lies inside the probe's range"
)
_OF_SOME = (
    "Standard error over other choices of the points at which it is taken, and other draws of the "
    "random directions, where there are such"
)
_EIGENVALUES = "Eigenvalues of the exact Hessian at every point"
_JOINT = (
    "of all inputs but those of two values jointly; not a number from a hidden_fraction of 0.05 on"
)

MEANINGS: dict[str, Meaning] = {
    # headline
    "mean": Meaning(
        "bends up (above 0) or down (below 0) on average",
        "Mean over the probe of Σᵢ ∂²f/∂xᵢ², the Laplacian: the exact second derivatives along the "
        "inputs, summed",
        CURVATURE,
    ),
    "rms": Meaning(
        "how much it bends, up and down alike",
        "√ of the mean over the probe of ‖Hessian‖², the sum of all squared exact second "
        "derivatives; where these are taken along the inputs only (more than 64 of them), of its "
        "diagonal, which leaves interactions out; estimates are of the whole Hessian",
        CURVATURE,
    ),
    "scale_mean": Meaning(
        "as mean, over a distance h: kinks count too",
        f"Mean of {_AT_SCALE}, summed over the inputs",
        CURVATURE,
    ),
    "scale_rms": Meaning(
        "as rms, over a distance h: kinks count too",
        f"√ of the sum over the inputs of the mean square of {_AT_SCALE}; an estimate is of the "
        "whole Hessian over that distance, which is more where inputs interact",
        CURVATURE,
    ),
    "slope_change": Meaning(
        "how fast the slope changes: for ReLU and smooth alike",
        "On straight lines between probe points: Σ |change of the slope along the line| / Σ length",
        CURVATURE,
    ),
    "hidden_fraction": Meaning(
        "share the exact derivative misses: 1 ReLU, 0 smooth",
        "On straight lines between probe points, piece by piece: Σ |change of slope − ∫ exact "
        "second derivative| / Σ max(|change of slope|, |∫|)",
        SHARE,
    ),
    "shape_fraction": Meaning(
        "points where all of `shape` holds: 1 to pass a gate",
        "Share of the probe's points where every entry of `shape` holds",
        SHARE,
    ),
    "r2": Meaning(
        "fit on the probe: 1 is perfect, 0 no better than a mean",
        "1 − Σ (f − y)² / Σ (y − mean of y)²; of several outputs the mean of that of each whose y "
        "varies",
        SCORE,
    ),
    # reference
    "reference_rmse": Meaning(
        "error of the exact second derivatives",
        "√ of the mean of (∂²f/∂xᵢ² − known)² over points and inputs",
        CURVATURE,
    ),
    "scale_reference_rmse": Meaning(
        "error of the curvature over a distance h",
        f"√ of the mean of (second difference − known)² over points and inputs: {_AT_SCALE}",
        CURVATURE,
    ),
    # detail
    "p05": Meaning("5 % of the points have a smaller Laplacian", "5th percentile", CURVATURE),
    "p50": Meaning("half of the points have a smaller one", "Median of the Laplacian", CURVATURE),
    "p95": Meaning("5 % of the points have a larger Laplacian", "95th percentile", CURVATURE),
    "max": Meaning(
        "the strongest bend at any point", "Largest |Laplacian| over the probe", CURVATURE
    ),
    "positive_fraction": Meaning(
        "points where it bends up", "Share of points with Laplacian > 0", SHARE
    ),
    "zero_fraction": Meaning(
        "points where autodiff sees no curvature",
        "Share of points where every exact second derivative is exactly 0",
        SHARE,
    ),
    "nonfinite_fraction": Meaning(
        "points left out: NaN or infinite there",
        "Share of points with a second derivative that is not finite",
        SHARE,
    ),
    "normalized": Meaning(
        "1 / distance in which the gradient turns",
        "Median over the probe of the largest |eigenvalue| of the Hessian / |gradient|; NaN "
        "where kinks hide it",
        SLOPE_OVER_CURVATURE,
    ),
    "joint_convex_fraction": Meaning(
        "convex in all inputs at once; NaN where kinks hide it",
        f"{_EIGENVALUES}; share of points with none below 0, rounding aside; {_JOINT}",
        SHARE,
    ),
    "joint_concave_fraction": Meaning(
        "concave in all inputs at once; NaN where kinks hide it",
        f"{_EIGENVALUES}; share of points with none above 0, rounding aside; {_JOINT}",
        SHARE,
    ),
    "joint_convexity_violation": Meaning(
        "0 where jointly convex everywhere; NaN with kinks",
        f"{_EIGENVALUES}; how far the lowest of all is below 0; {_JOINT}",
        CURVATURE,
    ),
    "top_eigenvalue": Meaning(
        "strongest bend in any direction, signed",
        f"{_EIGENVALUES}; the one of largest magnitude; NaN where kinks hide it",
        CURVATURE,
    ),
    "interaction_fraction": Meaning(
        "0: inputs act one by one, 1: only jointly",
        "Σ squared off-diagonal entries of the Hessians / Σ all squared entries, in standard "
        "deviations; NaN where kinks hide it",
        SHARE,
    ),
    "digits": Meaning(
        "how many digits of the second derivatives are real",
        "−log₁₀ of √Σ error² / √Σ (vᵀ Hessian v)², over a direction v through each of up to 8 "
        "points (of estimates 4 or more), as the model is given them: those of a float64 table "
        "rounded to its dtype. In float32 the error is the distance from the same in "
        "float64; in float64 the noise that fourth differences of it leave, at places 10⁻⁶ "
        "standard deviations apart; besides, of exact second derivatives, what differences of "
        "values over distances, extrapolated to order 8, contradict beyond twice their own doubt, "
        "unless kinks give a hidden_fraction of 0.05 or more. At most 7.2 in float32 and 16 in "
        "float64; NaN where all second derivatives are 0",
        DIGITS,
    ),
    "mean_standard_error": Meaning(
        "sampling error of mean",
        "Standard error over other draws of the k random directions v at these points: √ of the "
        "sum over n points of the variance of vᵀ Hessian v over its v, over k, over n",
        CURVATURE,
    ),
    "rms_standard_error": Meaning(
        "sampling error of rms",
        "Standard error over other draws of the random directions and of the points, by the "
        "jackknife: √ of (n − 1)/n times the sum of (rms without the point − mean of these)² over "
        "the n points; ‖Hessian‖² at each is half the variance of vᵀ Hessian v over its v",
        CURVATURE,
    ),
    "rms_points": Meaning(
        "points that have 90 % of rms²; few: trust errors less",
        "The fewest points of the probe whose ‖Hessian‖², as estimated at each, add up to 90 % of "
        "that of all",
        COUNT,
    ),
    "scale_mean_standard_error": Meaning(
        "sampling error of scale_mean",
        f"{_OF_SOME}: standard deviation, over the points where it is taken, of what each adds, "
        "over √ of their number; of exact differences times √(1 − their share of the probe)",
        CURVATURE,
    ),
    "scale_rms_standard_error": Meaning(
        "sampling error of scale_rms",
        f"{_OF_SOME}: the same of scale_rms², over 2 scale_rms; of estimates by the jackknife, as "
        "rms_standard_error, and yet too small: from 16 points one of them reaches the truth in "
        "about 50 of 100 draws, from 64 in 60, as too small a root comes with too small an error",
        CURVATURE,
    ),
    "slope_change_standard_error": Meaning(
        "sampling error of slope_change",
        "Standard error over other choices of the lines: √ of the sum of r² over n lines, and of "
        "2 r r′ of each and the next, with which it shares a point, over Σ length, for r = Σ "
        "|change of the slope along the line| − slope_change · length",
        CURVATURE,
    ),
    "normalized_rms": Meaning(
        "curvature over slope: how soon the gradient turns",
        "√ of (mean over the probe of ‖Hessian‖² / mean of |gradient|²), both estimated",
        SLOPE_OVER_CURVATURE,
    ),
    "seconds": Meaning("what this measurement took", "Wall-clock time", SECONDS),
}

_WHOLE = "‖Hessian‖², the sum of all squared exact second derivatives, along two inputs too"
_ALONG_SINGLE = "second derivatives along two inputs are not in it"

OF_HESSIANS: dict[str, dict[str, Meaning]] = {
    "whole": {
        "rms": Meaning(
            "how much it bends, up and down, inputs together too",
            f"√ of the mean over the probe of {_WHOLE}",
            CURVATURE,
        ),
        "scale_rms": Meaning(
            "along single inputs, over a distance h: kinks count too",
            f"√ of the sum over the inputs of the mean square of {_AT_SCALE}; {_ALONG_SINGLE}",
            CURVATURE,
        ),
    },
    "diagonal": {
        "rms": Meaning(
            "how much it bends along single inputs: no interactions",
            "√ of the mean over the probe of the sum of all squared exact second derivatives along "
            f"the inputs, the Hessian's diagonal: {_ALONG_SINGLE}, of more than 64 inputs",
            CURVATURE,
        ),
        "scale_rms": Meaning(
            "as rms, over a distance h: kinks count too",
            f"√ of the sum over the inputs of the mean square of {_AT_SCALE}; {_ALONG_SINGLE}",
            CURVATURE,
        ),
    },
    "estimates": {
        "rms": Meaning(
            "how much it bends, inputs together too: an estimate",
            "√ of the mean over the probe of ‖Hessian‖², the sum of all squared second "
            "derivatives, along two inputs too, as half the variance of vᵀ Hessian v over random "
            "directions v",
            CURVATURE,
        ),
        "scale_rms": Meaning(
            "as rms, over a distance h: kinks count too",
            "√ of the mean over some points of ‖Hessian‖², averaged over a window of half-width h, "
            "as half the variance of the change of slope along v, over the window, for two random "
            "directions v",
            CURVATURE,
        ),
    },
}
"""What numbers mean by what is known of each Hessian; where that is all, what `MEANINGS` says."""


def meaning_of(name: str, hessians: str) -> Meaning | None:
    """What a number means.

    Args:
        name: of the number.
        hessians: of `OF_HESSIANS`, or empty where there is one input.
    """
    return OF_HESSIANS.get(hessians, {}).get(name) or MEANINGS.get(name)


FEATURE = Meaning(
    "how much it bends along this input",
    "Mean over the probe of |∂²f/∂xᵢ²|, the exact second derivative along the input, with input "
    "and output always in their standard deviations over the probe",
    IN_DEVIATIONS[CURVATURE],
)

CHANGE = Meaning(
    "how much the output changes along this input, which has two values in the probe",
    "Mean over the probe of |f at the higher value of the input − f at the lower one|, all other "
    "inputs as they are, in standard deviations of the output over the probe",
    IN_DEVIATIONS[VALUE],
)

_BOTH = (
    "the derivative along the input at the point, first (increasing, decreasing) or second "
    "(convex, concave, linear), and the difference of that order over the window [x − h, x + h] "
    "around it, which is moved inside the probe's range"
)
_FROM_ONE = "of an input of two values, f at the higher one − f at the lower one"
SHAPE = {
    "fraction": Meaning(
        "points where it holds, exactly and over a distance h",
        "Share of the probe's points where both have the sign that is asked, up to 10⁻⁶ in "
        f"standard deviations (linear: are within ±0.05): {_BOTH}; {_FROM_ONE}",
        SHARE,
    ),
    "worst_violation": Meaning(
        "how far the worst point is from it; 0 where it holds",
        f"The largest |derivative or difference| of a wrong sign (linear: of any): {_BOTH}; "
        f"{_FROM_ONE}",
        f"{SLOPE}, {CURVATURE} or {VALUE}",
    ),
}
"""Of each entry of `shape`."""

_ALWAYS = "with input and output always in their standard deviations over the probe"
PROFILE = {
    "impact": Meaning(
        "how much the output follows this input",
        f"Mean over the probe of |∂f/∂xᵢ|, {_ALWAYS}",
        IN_DEVIATIONS[SLOPE],
    ),
    "volatility": Meaning(
        "how much its slope differs from point to point",
        f"Variance over the probe of ∂f/∂xᵢ, {_ALWAYS}",
        "σy²/σx²",
    ),
    "nonlinearity": Meaning(
        "how much its effect bends; as feature/<name>",
        f"Mean over the probe of |∂²f/∂xᵢ²|, {_ALWAYS}",
        IN_DEVIATIONS[CURVATURE],
    ),
    "interaction": Meaning(
        "how much it changes what the other inputs do",
        "Sum over the other inputs j of the mean over the probe of |∂²f/∂xᵢ∂xⱼ|, those of two "
        f"values aside, {_ALWAYS}; NaN where the whole Hessian is not taken",
        IN_DEVIATIONS[CURVATURE],
    ),
}
"""Of each of several inputs, in `Report.profiles`."""

LAPLACIAN = Meaning(
    "how the curvature is spread over the probe",
    "Sum of the exact second derivatives along the inputs, at every point where it is finite",
    CURVATURE,
)


def largest(features: Mapping[str, float], most: int = MOST_FEATURES) -> list[tuple[str, float]]:
    """The features with the largest numbers, largest first; what is not a number last."""
    return sorted(features.items(), key=lambda item: -item[1] if item[1] == item[1] else 1.0)[:most]
