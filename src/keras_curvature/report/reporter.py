"""From what was measured of an output to its report: numbers, verdict, method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from keras_curvature.engines.api import OF_A_CLASSIFIER, Activity
from keras_curvature.measurement.data import Measurement
from keras_curvature.report import verdict as verdicts
from keras_curvature.report.data import Report, Verdict
from keras_curvature.report.scale_profile import profile_of
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
        measurement: Measurement,
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
        shown = measurement.in_units(self.units)
        return Report(
            step=step,
            output=output,
            headline=shown.headline(),
            reference=shown.reference_errors(),
            detail=shown.detail() | {"seconds": seconds},
            features=measurement.feature_curvature(),
            changes=measurement.feature_changes(),
            shape=None if (exact := measurement.by_input) is None else exact.shape,
            interactions=measurement.interactions(),
            verdict=self._said(verdicts.verdict(measurement, self.activity, index)),
            method=self.method,
            units=self.units,
            scale_profile=profile_of(measurement),
        )

    def _said(self, verdict: Verdict) -> Verdict:
        """The verdict, of a classifier's best classes without blaming its activations."""
        if isinstance(self.asked, str) and self.asked in OF_A_CLASSIFIER:
            return verdicts.between_classes(verdict, self.asked)
        return verdict


def numbers(reports: Mapping[str, Report]) -> dict[str, float]:
    """The reports' numbers as they go to `logs`."""
    return {
        _joined(output, key): value
        for output, report in reports.items()
        for key, value in report.scalars.items()
    }


def features(reports: Mapping[str, Report]) -> dict[str, float]:
    """The reports' numbers per input: curvature, or the change along one that has two values."""
    found: dict[str, float] = {}
    for output, report in reports.items():
        curved = {f"feature/{key}": size for key, size in report.curved.items()}
        changed = {f"change/{key}": change.size for key, change in report.changes.items()}
        found |= {_joined(output, key): size for key, size in (curved | changed).items()}
    return found


def _joined(output: str, key: str) -> str:
    return f"{output}_{key}" if output else key
