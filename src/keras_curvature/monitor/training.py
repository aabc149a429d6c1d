"""One training as a monitor sees it: what is measured of the model, and the log of it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_curvature import diagnosis, verification
from keras_curvature.diagnosis.results import Diagnosis
from keras_curvature.engines.api import NotAsTracedError, Options, forget
from keras_curvature.engines.backend import writes_logs
from keras_curvature.measurement import method_text
from keras_curvature.measurement.exact_or_estimated import measurer_for
from keras_curvature.measurement.ground_truth import UNFITTED, known_at
from keras_curvature.measurement.loss_probe import asks_for_loss, with_loss
from keras_curvature.measurement.named_columns import turned
from keras_curvature.measurement.plane_maps import Maps, PlaneMap, PlaneMaps
from keras_curvature.measurement.probe import (
    Names,
    Probe,
    columns_by_index,
    feature_names,
    fitted,
    names_given,
    names_of_all,
    whole_input,
)
from keras_curvature.measurement.results import Measurement
from keras_curvature.measurement.shape import conditions
from keras_curvature.monitor.pictures import Pictures
from keras_curvature.monitor.proving import Prover
from keras_curvature.monitor.schedule import PictureBudget
from keras_curvature.monitor.watched_network import watched
from keras_curvature.proofs.results import Proof
from keras_curvature.report.data import Report, Reports
from keras_curvature.report.reporter import Reporter
from keras_curvature.report.scale_profile import profile_of
from keras_curvature.verification.results import Verification


@dataclass(frozen=True)
class Asked:
    """What the user wants measured, see `CurvatureMonitor`; `part` is its `model`."""

    probe: Probe
    part: keras.Layer | str | None
    options: Options
    reference: Any
    scale: Any
    units: str
    directions: int | str | None
    feature_names: Names | None
    shape: Mapping[str | int, tuple[str, ...]]
    maps: Maps | None = None
    prove: float | None = None

    def detached(self) -> Asked:
        """Without the network: a copy of it would not be trained, and it is found by its name."""
        return dataclasses.replace(self, part=getattr(self.part, "name", self.part))


@dataclass(frozen=True)
class Found:
    """What was measured at a step, each by the name of the output."""

    measurements: dict[str, Measurement] = dataclasses.field(default_factory=dict)
    reports: Reports = dataclasses.field(default_factory=Reports)

    def of(self, output: str) -> tuple[Measurement, Report]:
        """What was found of an output, for `""` of the first.

        Raises:
            ValueError: where nothing was measured, and for a name that no output has.
        """
        if not self.reports:
            raise ValueError(
                "Nothing has been measured: pass the monitor to `model.fit` (if it was, `fit` ran "
                "no epoch, as with `epochs=0`), or call `monitor.measure(model)`."
            )
        names = list(self.reports)
        name = names[0] if output == "" else output
        if name not in names:
            if names == [""]:
                raise ValueError(
                    "`output` must be left out: the model has one output. Received: "
                    f"{output!r}. Which picture `plot` draws is `picture=`; `savefig` of what it "
                    "gives back writes it."
                )
            raise ValueError(f"`output` must be one of {names}. Received: {output!r}.")
        return self.measurements[name], self.reports[name]


class Training:
    """From `on_train_begin` on; what is wrong with what was asked is raised here.

    Attributes:
        begun: whether the first epoch has.
        is_first: whether that has not ended yet.
        found: at its last step.
        budget: for pictures.
        described: whether the log has a text.
        names: of the inputs, where the user or the probe has some.
        maps: of the user's functions.
        mapped: what they gave at its last step.
        writer: of the log, while it is open.
        page: of the monitor, which keeps what no log has.
    """

    def __init__(self, asked: Asked, model: keras.Model) -> None:
        """Checks what was asked against the model that `fit` was called on."""
        self._asked, self._trained = asked, model
        network = watched(model, asked.part, asked.probe)
        probe = given = fitted(asked.probe, network, asked.feature_names, asked.options.wrt)
        options = columns_by_index(asked.options, asked.feature_names, probe)
        self._subject, self._preface = network, list[str]()
        if asks_for_loss(network, options.output):
            self._subject, probe = with_loss(network, probe, options.output)
            options = dataclasses.replace(options, output=None)
            said = "Of the loss of each example at its label; on a line at the label of its start."
            self._preface = [said]
        self._options, known = options, asked.reference
        self._make = functools.partial(
            measurer_for,
            self._subject,
            probe,
            options=options,
            directions=asked.directions,
            units=asked.units,
            scale=asked.scale,
            reference=known_at(given.x, turned(known, given.columns, options.columns)),
            names=asked.feature_names,
        )
        self.measurer = self._make()
        inputs = self.measurer.f.inputs
        self.names = names_given(asked.feature_names, given, self.measurer.f)
        self._all_names = self.names or feature_names(None, None, inputs)
        self._conditions = conditions(asked.shape, self._all_names, inputs)
        self.measurer.require_bends(self._conditions)
        self.maps = PlaneMaps(asked.maps, self.measurer, self._names_of_all(given))
        self.mapped: tuple[PlaneMap, ...] = ()
        self._prover: Prover | None = None
        if asked.prove is not None:
            if self._preface:
                raise ValueError(
                    "`prove` is for the model's output. Received: output='loss' besides, which is "
                    "of labels too."
                )
            parts = self._subject, probe.x, options, self._conditions, self._all_names
            self._prover = Prover(*parts)
        self.begun, self.is_first = False, True
        self.found = Found()
        self.budget = PictureBudget()
        self.described = False
        self.writer: Any = None
        self.page: Any = None

    def _names_of_all(self, probe: Probe) -> tuple[str, ...]:
        """Of all numbers of the model's input, also of those that are held."""
        whole = whole_input(self.measurer.bound)
        return names_of_all(self._asked.feature_names, probe.columns, self.measurer.f, whole)

    def open_log(self, log_dir: str | Path | None, name: str) -> None:
        """Opens the log, where there is to be one and this process writes it.

        All processes measure, so that callbacks that decide by the numbers decide alike everywhere.
        """
        if log_dir is not None and writes_logs(self._trained):
            # Here, so that only those who log pay for loading it.
            from keras_curvature.summaries.run_writer import RunWriter

            self.writer = RunWriter(log_dir, name)

    def close(self) -> None:
        """Closes the log, come what may."""
        writer, self.writer = self.writer, None
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()

    def verify(self) -> Verification:
        """Checks the derivatives against differences of values."""
        return verification.examine(self._subject, self.measurer.bound, self._options)

    def diagnose(self) -> Diagnosis:
        """What is found out about the model as it is now."""
        return diagnosis.examine(
            self._subject, self.measurer.bound, self._options, self._asked.scale
        )

    def measure(self, step: int, begin: float) -> Found:
        """What holds now; its seconds are counted from `begin` on."""
        # For the page, where somebody looks at it.
        sliced = self.writer is not None or (self.page is not None and self.page.is_live)
        try:
            measurements = self.measurer.measure(sliced=sliced)
        except NotAsTracedError:  # what the model reads may have changed since it was traced
            forget(self._subject)
            self.measurer = self._make()
            measurements = self.measurer.measure(sliced=sliced)
        kept = self.measurer.measure_shape(self._conditions, self._all_names)
        # Made anew: its method says what has happened to the measurer until now.
        method = (*self._preface, *self.measurer.method(), *self.measurer.uncompared)
        if self._conditions:
            method = (*method, method_text.SHAPE)
        if self.measurer.probe.y is not None and any(
            found.target is None for found in measurements.values()
        ):
            method = (*method, UNFITTED)
        reporter = Reporter(
            self.measurer.f.activity, self._options.output, method, self.measurer.units
        )
        reports = Reports(
            (
                output,
                reporter.report(
                    measurement, step, i, output, time.perf_counter() - begin, kept.get(output, ())
                ),
            )
            for i, (output, measurement) in enumerate(measurements.items())
        )
        return Found(measurements, reports)

    def prove(self, verbose: bool | None) -> Proof | None:
        """What can be proved of the shape as the model is now; noted in the reports and the log."""
        seconds, found = self._asked.prove, self.found
        if self._prover is None or seconds is None or not found.measurements:
            return None
        spreads = [one.output_spread for one in found.measurements.values()]
        proof = self._prover.prove(
            self.measurer.points(),
            self.measurer.spread,
            np.concatenate(spreads),
            seconds,
            verbose,
        )
        if proof is not None:
            for output, report in found.reports.items():
                found.reports[output] = dataclasses.replace(report, proof=proof.sentences)
        return proof

    def write_proof(self, proof: Proof) -> None:
        """Writes what was proved: the text and a picture."""
        from keras_curvature import figures

        for report in self.found.reports.values():
            self.writer.write_summary(report)
            png = figures.to_png(proof.plot(theme="card"))
            self.writer.write_picture(report, png, "proof")
        self.writer.flush()

    def evaluate_maps(self) -> None:
        """Evaluates the user's functions, which may fail while all else goes on."""
        self.mapped = ()
        self.mapped = self.maps.evaluate()

    def look(self, found: Found, pictures: Pictures) -> None:
        """Takes the scale profiles of estimates, which pictures need, unless they are there."""
        if all(report.scale_profile is not None for report in found.reports.values()):
            return
        for output, measurement in self.measurer.over_scales(found.measurements).items():
            report = dataclasses.replace(
                found.reports[output], scale_profile=profile_of(measurement)
            )
            found.reports[output] = report
            pictures.add(report)
            if self.page is not None:
                self.page.take_distances(report, measurement)
            if self.writer is not None:
                self.writer.write_scale_profile(report)
                self.writer.write_distances(report, measurement)

    def examples(self, report: Report, pictures: Pictures, theme: str) -> Any:
        """The picture of some examples."""
        return pictures.examples(self.measurer, self._options, report, theme)

    def picture_of_maps(self, report: Report, theme: str) -> Any:
        """The picture of the user's functions."""
        from keras_curvature import figures

        return figures.draw_maps(self.maps.evaluate(), report, theme=theme)

    def write(self, step: int, found: Found) -> None:
        """Writes what was measured."""
        self.writer.write_layout(step, found.reports)
        for output, report in found.reports.items():
            measurement = found.measurements[output]
            self.writer.write_numbers(report)
            self.writer.write_distribution(report, measurement)
            self.writer.write_scale_profile(report)
            self.writer.write_tab(report, measurement, self.mapped)
        self.writer.flush()

    def tell(self, step: int, faults: Sequence[str]) -> None:
        """Writes what went wrong."""
        self.writer.write_faults(step, faults)
        self.writer.flush()

    def decide(self, step: int, sentence: str) -> None:
        """Writes what was done by the verdict or a finding."""
        self.writer.write_decision(step, sentence)
        self.writer.flush()

    def describe(self, found: Found, pictures: Pictures) -> None:
        """Writes the distances and the text of a step without pictures."""
        self.look(found, pictures)
        for report in found.reports.values():
            self.writer.write_summary(report)
        self.writer.flush()
        self.described = True

    def picture(self, found: Found, pictures: Pictures) -> None:
        """Draws and writes the pictures and the text of a step."""
        from keras_curvature import figures

        with self.budget.spending():
            self.look(found, pictures)
            for output, report in found.reports.items():
                measurement = found.measurements[output]
                for name, figure in pictures.all_of(
                    self.measurer, self._options, measurement, report, "card"
                ):
                    self.writer.write_picture(report, figures.to_png(figure), name)
                if self.mapped:
                    drawn = figures.draw_maps(self.mapped, report, theme="card")
                    self.writer.write_picture(report, figures.to_png(drawn), "maps")
                self.writer.write_summary(report)
                pictures.drawn_step = report.step
            self.writer.flush()
