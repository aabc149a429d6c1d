"""What the Curvature tab is given: packets of bounded size for each output and step.

See `keras_curvature_page.packets` for their form. One packet holds what stays the
same, one more each step. Arrays have the output's entry first, as `(entries, ...)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.diagnosis.results import Diagnosis
from keras_curvature.measurement.example_shape import axes_of, is_grid, on_grid
from keras_curvature.measurement.plane_maps import PlaneMap
from keras_curvature.measurement.results import ExactMeasurement, Measurement
from keras_curvature.measurement.slices import Slices
from keras_curvature.measurement.statistics import deviations
from keras_curvature.measurement.windows import fitting
from keras_curvature.report.data import Report
from keras_curvature.report.features import by_impact
from keras_curvature.report.metrics import FEATURE, MEANINGS, PROFILE, largest
from keras_curvature.report.pairs import why_none
from keras_curvature.report.scale_profile import read, shown_units
from keras_curvature.report.text import labels, plain
from keras_curvature.typing import Array
from keras_curvature_page.packets import pack

VERSION = 1

ENTRIES = 4
"""Entries of an output that are drawn: the first ones, the same at every step."""

POINTS = 1024
"""Probe points that are drawn: what a screen has columns for."""

FLOATS = 1 << 14
"""Numbers per step for all points and entries together: 64 KiB."""

QUANTILES = 256
"""Of the Laplacian over the probe; all values where there are fewer."""

BARS = 64
"""Inputs with a bar, the most curved ones."""

NAME_LENGTH = 60

LABEL_LENGTH = 20
"""Of a name beside a chart; the whole one is shown where the mouse is."""

PIXELS = FLOATS // 2
"""Places of an image up to which it is drawn."""

FINDINGS, TEXT_LENGTH = 16, 600
"""Of a diagnosis: the gravest findings, and letters of each sentence."""


def probe_packet(
    report: Report,
    measurement: Measurement,
    maps: Sequence[PlaneMap] = (),
) -> bytes:
    """What does not change while the model trains; arguments as of `step_packet`."""
    about, axes, _ = _maps(maps)
    exact = measurement.by_input
    if exact is not None:
        return _exact_probe_packet(report, exact, about, axes)
    points, inputs = len(measurement.value), len(measurement.input_spread)
    about |= {"points": points, "shown": 0, "inputs": inputs, "names": []}
    return _still_packet(report, measurement, about, axes)


def step_packet(
    report: Report,
    measurement: Measurement,
    maps: Sequence[PlaneMap] = (),
) -> bytes:
    """What was found at one step.

    Of a model of thousands of inputs its numbers and its verdict: nothing can be drawn against
    single inputs or at single points there; the pictures of examples are on the Images dashboard.

    Args:
        report: says in which units.
        measurement: in units of the data.
        maps: of functions of the user's.
    """
    *_, values = _maps(maps)
    exact = measurement.by_input
    if exact is None:
        return _moving_packet(report, {}, values)
    return _exact_step_packet(report, exact, values)


def _maps(maps: Sequence[PlaneMap]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Of the user's functions: what is said of them, where they are evaluated, what they give."""
    if not maps:
        return {}, {}, {}
    said = [
        {
            "name": plain(one.name, NAME_LENGTH),
            "inputs": [plain(name, NAME_LENGTH) for name in one.inputs],
            "held": plain(one.held, TEXT_LENGTH),
        }
        for one in maps
    ]
    axes, values = ([getattr(one, what) for one in maps] for what in ("axes", "values"))
    return {"maps": said}, {"map_axes": axes}, {"maps": values}


def _exact_probe_packet(
    report: Report,
    measurement: ExactMeasurement,
    about: dict[str, Any],
    axes: dict[str, Any],
) -> bytes:
    m = measurement.in_units(report.units)
    n, d = m.x.shape
    drawn, shown, entries = _drawn(m), _shown(m), _entries(m)
    arrays: dict[str, Any] = {"scale": measurement.scale} | axes
    if d <= 2:
        arrays["x"] = drawn.x[_shown(drawn)].T
        arrays["window"] = fitting(drawn.x, drawn.x, measurement.scale)
        if m.held is not None and d == 1:
            arrays["points"] = m.x[shown].T
        # Dots on the lines of one input; a map is compared with them where it is drawn.
        known = m if d == 1 else drawn
        if known.target is not None:
            arrays["target"] = known.target[shown, entries].T
        if known.reference is not None:
            arrays["reference"] = known.reference[shown, entries].transpose(1, 2, 0)
    if m.slices is not None:
        arrays |= {"slice_x": m.slices.positions, "slice_centre": m.slices.centre}
    about |= {"points": n, "shown": len(shown), "inputs": d, "names": []}
    about["held"] = m.held is not None
    if _on_grid(m):
        about["grid"] = axes_of(m.example_shape or ())
    elif d <= BARS:
        about["names"] = [plain(name, NAME_LENGTH) for name in m.feature_names]
        about["labels"] = labels(m.feature_names, LABEL_LENGTH)
    return _still_packet(report, measurement, about, arrays)


def diagnosis_packet(step: int, diagnosis: Diagnosis) -> bytes:
    """What was found out about the model as it was at a step."""
    findings = [
        {
            "title": plain(finding.title, TEXT_LENGTH),
            "found": plain(finding.found, TEXT_LENGTH),
            "means": plain(finding.meaning, TEXT_LENGTH),
            "do": plain(finding.advice, TEXT_LENGTH),
        }
        for finding in diagnosis.findings[:FINDINGS]
    ]
    header = {
        "step": step,
        "headline": plain(diagnosis.headline, TEXT_LENGTH),
        "opening": plain(diagnosis.opening, TEXT_LENGTH),
        "findings": findings,
        "left_out": len(diagnosis.findings) - len(findings),
        "checks": [plain(check, TEXT_LENGTH) for check in diagnosis.checks[:FINDINGS]],
    }
    return pack(header, {})


def _exact_step_packet(
    report: Report,
    measurement: ExactMeasurement,
    values: dict[str, Any],
) -> bytes:
    m = measurement.in_units(report.units)
    d = m.x.shape[1]
    laplacian_over = m.scale_diagonal.sum(axis=-1)[m.inside.all(axis=-1)]
    arrays: dict[str, Any] = {
        "laplacian_quantiles": _quantiles(m.laplacian),
        "scale_laplacian_quantiles": _quantiles(laplacian_over),
    }
    if d <= 2:
        arrays |= _at_points(_drawn(m))
        if m.held is not None and d == 1:
            dots = _at_points(m)
            arrays |= {f"point_{name}": dots[name] for name in ("value", "slope", "second")}
    arrays |= values
    said, changes = _changes(report)
    arrays |= changes
    if not _on_grid(m):
        table, profiles = _profiles(report)
        said, arrays = said | table, arrays | profiles
    if _on_grid(m):
        arrays["grid"] = _grids(report, m)
    elif d > 2:
        more, by_input = _by_input(report, m)
        said, arrays = said | more, arrays | by_input
    if measurement.slices is not None:
        arrays |= _on_slices(report, measurement, measurement.slices)
    arrays |= _over_distances(report, measurement)
    return _moving_packet(report, said, arrays)


def _on_grid(m: ExactMeasurement) -> bool:
    """Whether the inputs are drawn as an image, and not one by one."""
    return is_grid(m.example_shape) and len(m.feature_names) <= PIXELS


def _grids(report: Report, m: ExactMeasurement) -> list[Array]:
    """Mean |second derivative| by place, exact and over the scale, `(2, rows, columns)`."""
    sizes = (report.features, m.scale_feature_curvature())
    return [on_grid(np.array(list(size.values())), m.example_shape or ()) for size in sizes]


def _by_input(report: Report, m: ExactMeasurement) -> tuple[dict[str, Any], dict[str, Any]]:
    """What bars and the matrix of pairs show: in words, and in numbers."""
    over = m.scale_feature_curvature()
    sizes = {
        name: float(np.fmax(size, over.get(name, np.nan))) for name, size in report.curved.items()
    }
    bars = [name for name, _ in largest(sizes, BARS)]
    arrays: dict[str, Any] = {
        "features": [report.features[name] for name in bars],
        "features_over": [over.get(name, np.nan) for name in bars],
    }
    why = why_none(report.interactions, np.array(list(over.values())))
    if not why:
        arrays["interactions"] = report.interactions
    said = {
        "features": [plain(name, NAME_LENGTH) for name in bars],
        "pairs": why.replace("\n", " "),
    }
    if len(m.feature_names) > BARS:
        said["labels"] = labels(bars, LABEL_LENGTH)
    return said, arrays


def _changes(report: Report) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is said of inputs of two values, and their numbers."""
    sizes = largest({name: change.size for name, change in report.changes.items()}, BARS)
    if not sizes:
        return {}, {}
    said = {
        "changes": [plain(name, NAME_LENGTH) for name, _ in sizes],
        "counts": [report.changes[name].counts for name, _ in sizes],
        "ways": [report.changes[name].way for name, _ in sizes],
    }
    return said, {"changes": [size for _, size in sizes]}


def _profiles(report: Report) -> tuple[dict[str, Any], dict[str, Any]]:
    """The table of features: names and archetypes, and a row of numbers for each."""
    shown = by_impact(report.profiles, BARS)
    if not shown:
        return {}, {}
    said = [[plain(name, NAME_LENGTH), one.archetype, one.meaning] for name, one in shown]
    return {"profiles": said}, {"profiles": [one.numbers for _, one in shown]}


def distances_packet(report: Report, measurement: Measurement) -> bytes:
    """The curvature over distances, where it is not in every step's packet."""
    return pack({"step": report.step} | _read(report), _over_distances(report, measurement))


def _still_packet(
    report: Report,
    m: Measurement,
    about: dict[str, Any],
    arrays: dict[str, Any],
) -> bytes:
    along, _, distance_units = shown_units(m, report)
    header = about | {
        "version": VERSION,
        "entries": m.value.shape[1],
        "units": report.units,
        "curvature_unit": MEANINGS["mean"].unit_in(report.units),
        "feature_unit": FEATURE.unit,
        "distance_units": [unit.replace(" per ", "/") for unit in distance_units],
        "meanings": _meanings(report),
        "profile_columns": [
            [name, one.unit, one.sentence, one.formula] for name, one in PROFILE.items()
        ],
        "method": [plain(sentence) for sentence in report.method],
    }
    return pack(header, arrays | {"distance": [along * np.mean(m.scale / m.input_spread)]})


def _moving_packet(report: Report, said: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    return pack(_said(report) | _read(report) | said, arrays)


def _read(report: Report) -> dict[str, str]:
    return {
        "distances": ""
        if report.scale_profile is None
        else plain(read(report.scale_profile).sentence)
    }


def _said(report: Report) -> dict[str, Any]:
    """What is said of a step in words and single numbers."""
    return {
        "step": report.step,
        "verdict": {"kind": report.verdict.kind, "sentence": plain(report.verdict.sentence)},
        "numbers": {**report.headline, **report.reference},
        "shape": [plain(str(entry), TEXT_LENGTH) for entry in report.shape[:BARS]],
    }


def _drawn(m: ExactMeasurement) -> ExactMeasurement:
    """What is drawn as one function: the probe's points may differ in other inputs."""
    return m if m.held is None else m.held


def _at_points(m: ExactMeasurement) -> dict[str, Array]:
    """What is drawn against one input, or over the plane of two."""
    shown, entries = _shown(m), _entries(m)
    arrays = {
        "value": m.value[shown, entries].T,
        "second": m.diagonal[shown, entries].transpose(1, 2, 0),
        "scale_second": m.scale_diagonal[shown, entries].transpose(1, 2, 0),
    }
    if m.x.shape[1] == 1:
        arrays["slope"] = m.jacobian[shown, entries, 0].T
    elif m.hessian is not None:
        arrays["mixed"] = m.hessian[shown, entries, 0, 1].T
    return arrays


def _shown(m: ExactMeasurement) -> NDArray[np.integer]:
    """The probe points that are drawn: in order of a single input, evenly thinned."""
    n, d = m.x.shape
    each = 4 if d == 1 else 6
    most = min(n, POINTS, FLOATS // (each * min(m.value.shape[1], ENTRIES)))
    if d == 1:
        order = np.argsort(m.x[:, 0], kind="stable")
        return order[np.linspace(0, n - 1, most).round().astype(int)]
    return np.sort(np.random.default_rng(0).permutation(n)[:most])


def _entries(m: ExactMeasurement) -> slice:
    return slice(min(m.value.shape[1], ENTRIES))


def _quantiles(laplacian: Array) -> Array:
    """The finite values in order, thinned evenly; the extremes are kept."""
    values = np.sort(laplacian[np.isfinite(laplacian)])
    if len(values) <= QUANTILES:
        return values
    return np.quantile(values, np.linspace(0, 1, QUANTILES))


def _on_slices(report: Report, m: ExactMeasurement, slices: Slices) -> dict[str, Array]:
    """The slices in the report's units, each `(entries, inputs, positions)`."""
    entries = _entries(m)
    std = report.units == "std"
    per_value = m.output_spread[entries] if std else 1.0
    per_input = deviations(m.x, m.input_spread)[:, None, None] if std else 1.0
    arrays = {
        "slice_value": slices.value[..., entries] / per_value,
        "slice_second": slices.curvature[..., entries] * per_input**2 / per_value,
        "slice_scale_second": slices.scale_curvature[..., entries] * per_input**2 / per_value,
    }
    return {name: array.transpose(2, 0, 1) for name, array in arrays.items()}


def _over_distances(report: Report, measurement: Measurement) -> dict[str, Array]:
    """Distance, mean, root mean square and rounding, by rising distance, `(4, distances)`.

    The rounding is that of the dtype in which derivatives are taken.
    """
    scale_profile = report.scale_profile
    if scale_profile is None:
        return {}
    along, up, _ = shown_units(measurement, report)
    curvatures = np.stack([scale_profile.mean, scale_profile.rms, scale_profile.single_rounding])
    rows = np.concatenate([along * scale_profile.distances[None], up * curvatures])
    return {"spectrum": rows[:, np.argsort(scale_profile.distances)]}


def _meanings(report: Report) -> dict[str, list[str]]:
    """Unit, sentence and formula of every number in the header of a step."""
    return {
        name: [meaning.unit_in(report.units), meaning.sentence, meaning.formula]
        for name in (*report.headline, *report.reference)
        if (meaning := report.meaning(name)) is not None
    }
