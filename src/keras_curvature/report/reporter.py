"""From what was measured of an output to its report: numbers, verdict, method."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from keras_curvature.engines.activity import Activity
from keras_curvature.engines.outputs import OF_A_CLASSIFIER
from keras_curvature.measurement.data import EstimatedMeasurement, Measurement
from keras_curvature.measurement.estimated import EstimatedMeasurer
from keras_curvature.report import estimated_statistics, statistics
from keras_curvature.report import verdict as verdicts
from keras_curvature.report.data import Report, Verdict
from keras_curvature.typing import Output


@dataclass(frozen=True)
class Reporter:
    """What the reports of a step have in common.

    Attributes:
        activity: of the model that is measured.
        asked: the `output` that was asked for.
        method: what is measured, how and why, one sentence each.
        units: in which units.
    """

    activity: Activity
    asked: Output
    method: tuple[str, ...]
    units: Literal["raw", "std"]

    def report(
        self,
        measurement: Measurement | EstimatedMeasurement,
        step: int,
        index: int,
        output: str,
        seconds: float,
    ) -> Report:
        """The report of an output.

        Args:
            measurement: what was measured of it.
            step: when.
            index: which of the model's outputs it is.
            output: its name.
            seconds: what measuring took.
        """
        if isinstance(measurement, EstimatedMeasurement):
            return Report(
                step=step,
                output=output,
                headline=estimated_statistics.headline(measurement),
                reference={},
                detail=estimated_statistics.detail(measurement) | {"seconds": seconds},
                features={},
                interactions=None,
                verdict=self._said(
                    verdicts.verdict_of_estimated(measurement, self.activity, index)
                ),
                method=self.method,
                units=self.units,
            )
        shown = in_units(measurement, self.units)
        return Report(
            step=step,
            output=output,
            headline=statistics.headline(shown),
            reference=statistics.reference_errors(shown),
            detail=statistics.detail(shown) | {"seconds": seconds},
            features=statistics.feature_curvature(measurement),
            interactions=statistics.interactions(measurement),
            verdict=self._said(verdicts.verdict(measurement, self.activity, index)),
            method=self.method,
            units=self.units,
            scale_profile=statistics.scale_profile(measurement),
        )

    def _said(self, verdict: Verdict) -> Verdict:
        """The verdict, of a classifier's best classes without blaming its activations."""
        if isinstance(self.asked, str) and self.asked in OF_A_CLASSIFIER:
            return verdicts.between_classes(verdict, self.asked)
        return verdict


def in_units(measurement: Measurement, units: str) -> Measurement:
    """The measurement in the units of the reports."""
    return statistics.in_standard_units(measurement) if units == "std" else measurement


def over_distances(
    measurer: EstimatedMeasurer,
    estimates: Mapping[str, EstimatedMeasurement],
    reports: Mapping[str, Report],
) -> dict[str, Report]:
    """Reports of estimates with their scale profiles, which are taken only where somebody looks."""
    return {
        output: dataclasses.replace(
            reports[output],
            scale_profile=statistics.scale_profile_of(found, estimates[output].output_spread),
        )
        for output, found in measurer.over_scales(estimates).items()
    }


def numbers(reports: Mapping[str, Report]) -> dict[str, float]:
    """The reports' numbers as they go to `logs`."""
    return {
        _joined(output, key): value
        for output, report in reports.items()
        for key, value in report.scalars.items()
    }


def features(reports: Mapping[str, Report]) -> dict[str, float]:
    """The reports' numbers per input."""
    return {
        _joined(output, f"feature/{key}"): value
        for output, report in reports.items()
        for key, value in report.features.items()
    }


def _joined(output: str, key: str) -> str:
    return f"{output}_{key}" if output else key
