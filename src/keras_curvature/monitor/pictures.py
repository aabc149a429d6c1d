"""The pictures of a training: what they need from more than one step, and which there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from keras_curvature.engines.api import Options
from keras_curvature.measurement.base import Measurer
from keras_curvature.measurement.examples import Example, examples_of
from keras_curvature.measurement.results import ExactMeasurement, Measurement
from keras_curvature.report.data import NOW, Report, ScaleProfile


class Pictures:
    """Draws reports and what was measured for them; matplotlib is loaded for the first one.

    Attributes:
        names: of the inputs, where the user or the probe has some.
        scale_profiles: by the name of the output, at all steps at which they were taken.
        seen: the examples that were looked at since the last step.
        drawn_step: the last one whose pictures went to TensorBoard.
    """

    def __init__(self, vocabulary: Sequence[str] | None) -> None:
        """Makes an empty one; see `CurvatureMonitor` for the vocabulary."""
        self.names: Sequence[str] | None = None
        self.scale_profiles: dict[str, list[tuple[int, ScaleProfile]]] = {}
        self.seen: dict[str, tuple[Example, ...]] = {}
        self.drawn_step = -1
        self._vocabulary = vocabulary

    def begin_step(self, reports: Iterable[Report]) -> None:
        """Forgets the examples of the step before, and keeps the scale profiles of this one."""
        self.seen = {}
        for report in reports:
            self.add(report)

    def add(self, report: Report) -> None:
        """Keeps the report's scale profile, if it has one."""
        if report.scale_profile is not None and report.step != NOW:
            self.scale_profiles.setdefault(report.output, []).append(
                (report.step, report.scale_profile)
            )

    def forget_after(self, step: int) -> None:
        """Drops what came after a backup from which the training goes on."""
        for scale_profiles in self.scale_profiles.values():
            scale_profiles[:] = [
                (at, scale_profile) for at, scale_profile in scale_profiles if at <= step
            ]

    def shape(self, measurement: ExactMeasurement, report: Report, theme: str) -> Any:
        """The function and how it bends."""
        from keras_curvature import figures

        return figures.draw(measurement, report, theme=theme)

    def distances(self, measurement: Measurement, report: Report, theme: str) -> Any:
        """The curvature against the distance over which it is taken, at several steps."""
        from keras_curvature import figures

        scale_profiles = list(self.scale_profiles.get(report.output, []))
        if report.step == NOW and report.scale_profile is not None:
            scale_profiles.append((NOW, report.scale_profile))
        return figures.draw_distances(measurement, report, scale_profiles, theme=theme)

    def examples(
        self,
        measurer: Measurer,
        options: Options,
        report: Report,
        theme: str,
    ) -> Any:
        """Some examples of the probe, looked at unless that was done at this step."""
        from keras_curvature import figures

        if report.output not in self.seen:
            i = measurer.f.output_names.index(report.output)
            start = sum(measurer.f.outputs.sizes[:i])
            part = slice(start, start + measurer.f.outputs.sizes[i])
            self.seen[report.output] = examples_of(measurer.bound, options, part)
        seen = self.seen[report.output]
        return figures.draw_examples(seen, report, names=self._names_of(seen), theme=theme)

    def all_of(
        self,
        measurer: Measurer,
        options: Options,
        measurement: Measurement,
        report: Report,
        theme: str,
    ) -> Iterator[tuple[str, Any]]:
        """The pictures of an output that go to TensorBoard, by their names."""
        exact = measurement.by_input
        if exact is None:
            yield "examples", self.examples(measurer, options, report, theme)
        else:
            yield "shape", self.shape(exact, report, theme)
        yield "distances", self.distances(measurement, report, theme)

    def _names_of(self, seen: Sequence[Example]) -> list[list[str]] | None:
        """The words of each example, or the names of the inputs."""
        rows = [one.tokens for one in seen if one.tokens is not None]
        words = self._vocabulary
        if rows:
            return None if words is None else [[_word(words, int(i)) for i in row] for row in rows]
        return None if self.names is None else [list(self.names)] * len(seen)


def _word(words: Sequence[str], token: int) -> str:
    """The word of a token, or its id where the vocabulary has none."""
    return words[token] if 0 <= token < len(words) else f"#{token}"
