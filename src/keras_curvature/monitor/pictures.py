"""The pictures of a training: what they need from more than one step, and which there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from keras_curvature.engines.options import Options
from keras_curvature.measurement.data import Measurement, Sketch
from keras_curvature.measurement.estimated import Sketcher
from keras_curvature.measurement.exact import Gauge
from keras_curvature.measurement.examples import Closeup, closeups
from keras_curvature.report.data import Report, Spectrum


class Album:
    """Draws reports and what was measured for them; matplotlib is loaded for the first one.

    Attributes:
        spectra: by the name of the output the spectra of all steps at which they were taken.
        seen: the examples that were looked at since the last step.
    """

    def __init__(
        self, vocabulary: Sequence[str] | None, feature_names: Sequence[str] | None
    ) -> None:
        """Makes an empty one; see `CurvatureMonitor` for the names."""
        self.spectra: dict[str, list[tuple[int, Spectrum]]] = {}
        self.seen: dict[str, tuple[Closeup, ...]] = {}
        self._vocabulary = vocabulary
        self._feature_names = feature_names

    def add(self, report: Report) -> None:
        """Keeps the report's spectrum, if it has one."""
        if report.spectrum is not None:
            self.spectra.setdefault(report.output, []).append((report.step, report.spectrum))

    def forget_after(self, step: int) -> None:
        """Drops what came after a backup from which the training goes on."""
        for spectra in self.spectra.values():
            spectra[:] = [(at, spectrum) for at, spectrum in spectra if at <= step]

    def shape(self, measurement: Measurement, report: Report, theme: str) -> Any:
        """The function and how it bends."""
        from keras_curvature import figures

        return figures.draw(measurement, report, theme=theme)

    def distances(self, measurement: Measurement | Sketch, report: Report, theme: str) -> Any:
        """The curvature against the distance over which it is taken, at several steps."""
        from keras_curvature import figures

        spectra = self.spectra[report.output]
        return figures.draw_distances(measurement, report, spectra, theme=theme)

    def examples(
        self, gauge: Gauge | Sketcher, options: Options, report: Report, theme: str
    ) -> Any:
        """Some examples of the probe, looked at unless that was done at this step."""
        from keras_curvature import figures

        if report.output not in self.seen:
            i = gauge.f.output_names.index(report.output)
            start = sum(gauge.f.outputs.sizes[:i])
            part = slice(start, start + gauge.f.outputs.sizes[i])
            self.seen[report.output] = closeups(gauge.problem, options, part)
        seen = self.seen[report.output]
        return figures.draw_examples(seen, report, names=self._names_of(seen), theme=theme)

    def all_of(
        self,
        gauge: Gauge | Sketcher,
        options: Options,
        measurement: Measurement | Sketch,
        report: Report,
        theme: str,
    ) -> Iterator[tuple[str, Any]]:
        """The pictures of an output that go to TensorBoard, by their names."""
        if isinstance(measurement, Sketch):
            yield "examples", self.examples(gauge, options, report, theme)
        else:
            yield "shape", self.shape(measurement, report, theme)
        yield "distances", self.distances(measurement, report, theme)

    def _names_of(self, seen: Sequence[Closeup]) -> list[list[str]] | None:
        """The words of each example, or the user's names for the inputs."""
        rows = [one.tokens for one in seen if one.tokens is not None]
        words = self._vocabulary
        if rows:
            return None if words is None else [[_word(words, int(i)) for i in row] for row in rows]
        return None if self._feature_names is None else [list(self._feature_names)] * len(seen)


def _word(words: Sequence[str], token: int) -> str:
    """The word of a token, or its id where the vocabulary has none."""
    return words[token] if 0 <= token < len(words) else f"#{token}"
