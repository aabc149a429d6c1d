"""From what was measured of an output to its report: numbers, verdict, method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from keras_curvature.engines.api import Activity
from keras_curvature.measurement.results import Measurement
from keras_curvature.measurement.shape import Kept
from keras_curvature.report import shape
from keras_curvature.report.data import Report
from keras_curvature.report.features import profiles
from keras_curvature.report.scale_profile import profile_of
from keras_curvature.report.verdict import verdict
from keras_curvature.typing import Output, Units


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
    units: Units

    def report(
        self,
        measurement: Measurement,
        step: int,
        index: int,
        output: str,
        seconds: float,
        kept: Sequence[Kept] = (),
    ) -> Report:
        """The report of an output.

        Args:
            measurement: what was measured of it.
            step: when.
            index: which of the model's outputs it is.
            output: its name.
            seconds: what measuring took.
            kept: how well it keeps what is asked of its shape.
        """
        shown = measurement.in_units(self.units)
        entries = shape.entries(kept, self.units)
        said = verdict(measurement, self.activity, index, self.units, self.asked)
        if broken := shape.broken(entries):
            # In front: it is what was asked for, and a picture has room for three lines.
            said = replace(said, sentence=f"{broken} {said.sentence}")
        return Report(
            step=step,
            output=output,
            headline=shown.headline() | shape.fraction(kept),
            reference=shown.reference_errors(),
            detail=shown.detail() | {"seconds": seconds},
            features=measurement.feature_curvature(),
            changes=measurement.feature_changes(),
            interactions=measurement.interactions(),
            verdict=said,
            method=self.method,
            units=self.units,
            scale_profile=profile_of(measurement),
            shape=entries,
            example_shape=None if (exact := measurement.by_input) is None else exact.example_shape,
            hessians=measurement.hessians,
            profiles=profiles(measurement),
        )
