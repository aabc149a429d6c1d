"""The Keras callback that watches a model's curvature while it trains."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_curvature import diagnosis, verification
from keras_curvature.diagnosis.results import Diagnosis
from keras_curvature.engines.options import Options
from keras_curvature.engines.tensorflow.private import unobserved
from keras_curvature.measurement.data import EstimatedMeasurement, Measurement
from keras_curvature.measurement.estimated import EstimatedMeasurer
from keras_curvature.measurement.exact import ExactMeasurer
from keras_curvature.measurement.exact_or_estimated import checked_directions, measurer_for
from keras_curvature.measurement.ground_truth import UNFITTED
from keras_curvature.measurement.loss_probe import asks_for_loss, with_loss
from keras_curvature.measurement.probe import (
    Names,
    Probe,
    make_probe,
    names_given,
    require_batches,
)
from keras_curvature.measurement.slices import Slices
from keras_curvature.monitor import chief
from keras_curvature.monitor.arguments import require_name, require_one_of, words
from keras_curvature.monitor.faults import Fault, Tolerance
from keras_curvature.monitor.history import History, forget_after, record
from keras_curvature.monitor.logs import Logs
from keras_curvature.monitor.order import require_order
from keras_curvature.monitor.pictures import Pictures
from keras_curvature.monitor.schedule import PictureBudget, continued, due, leaves_out
from keras_curvature.monitor.watched_network import watched
from keras_curvature.report import reporter as reporting
from keras_curvature.report.data import NOW, Report
from keras_curvature.report.reporter import Reporter, in_units
from keras_curvature.typing import Output, Wrt
from keras_curvature.verification.results import Verification, WrongDerivativeError


class CurvatureMonitor(keras.callbacks.Callback):
    """Measures the second derivatives of a model with respect to its input while it trains.

    Example:
        >>> import keras, numpy as np, keras_curvature as kc
        >>> x = np.linspace(0, 1, 64)[:, None]
        >>> model = keras.Sequential(
        ...     [keras.Input((1,)), keras.layers.Dense(8, "silu"), keras.layers.Dense(1)]
        ... )
        >>> model.compile("adam", "mse")
        >>> monitor = kc.CurvatureMonitor((x, x**2))
        >>> fit = model.fit(x, x**2, epochs=2, verbose=0, callbacks=[monitor])
        >>> monitor.history["step"]
        [0, 1, 2]
        >>> len(fit.history["curvature_mean"])
        2

    Step 0 is the model before training; Keras's epoch `e`, counted from 0, ends at step `e
    + 1`. At the end of an epoch the numbers go to three places under the same names: to
    `logs` as `curvature_<name>`, to TensorBoard in the run `<log_dir>/curvature`, and to
    `callback.history`. Keras hands one `logs` to its callbacks in the order of the list, so
    place the monitor before those that are to read it (EarlyStopping, ModelCheckpoint,
    CSVLogger) and after those that change weights at the end of an epoch
    (`SwapEMAWeights`), and after Keras's TensorBoard, which would draw each number again.
    In epochs that `freq` leaves out, `logs` repeats the numbers of the step before, and
    `curvature_step` says which that was: they are no improvement, so that a `patience` counts
    epochs and must be longer than `freq`.

    Watching changes nothing: weights, optimizer, metrics and random numbers are what they
    would be without it, and so is what layers assign, print, count or write when they are called.
    The model is traced, so that the Python code of its `call` runs, and never called: of the trace
    only what the output is computed from is evaluated. A variable that a call assigns and then
    reads counts as it was before the call.

    Args:
        probe: points to measure at: an array, the list or dict of arrays that the model
            takes, `(x, y)` with known values of the function, or batches of either as Keras
            takes them: a batched `tf.data.Dataset`, a `keras.utils.PyDataset`, a `DataLoader`.
            They are read once, here. `(x, y, weights)` is taken too; the weights have no effect.
            For a model that takes so many examples at a time (a stateful recurrent layer,
            `batch_size` in its `keras.Input`) as many, or several times as many.
        log_dir: where TensorBoard looks; a relative path begins where the process is when
            training begins. `None` writes nothing.
        output: which output, as in `keras_curvature.derivatives`. Default: all of it. `"loss"`,
            or a loss (an object of Keras, a function of labels and predictions): the loss of each
            example at the labels of a probe `(x, y)`, `"loss"` as the model was compiled with it,
            without weights of examples and without regularisation.
        wrt: with respect to what, as there. Default: the model's input.
        model: the network to watch, itself or its name, if that is not the trained model but one
            inside it: of a model that has a `train_step` and no `call`, say, or inside a
            `DerivativeOutput`.
        reference: known second derivatives along each input at the probe, in the shape of
            `hessian_diagonal` (a dict by name where the model has dicts), or a function of the
            probe's `x` that gives them.
        scale: half-width of the window of the curvature at a scale, as in
            `scale_curvature`; of several inputs a dict too. Default: a quarter of each input's
            standard deviation.
        units: `"raw"`, the units of x and y, or `"std"`: every input and output measured in
            its standard deviation over the probe, so that numbers compare between runs.
            Numbers per feature and their pictures are always in `"std"`.
        directions: `None`: exact second derivatives along every input where these take at most
            512 forward passes over the probe or there are at most 64 inputs, else estimates from
            8 random directions at each point, the same at every step, which take 11 passes (9
            for networks of ReLU) and about one more. `"all"`: exact ones at any price. An int:
            estimates from so many. The summary says which. Estimates come with standard errors,
            not by feature.
        vocabulary: of a model of token ids (`wrt="embedding"`): the words in the order of their
            ids, as from `TextVectorization.get_vocabulary()`, for pictures; ids beyond it are
            shown as numbers.
        freq: `"epoch"`, an int n for every n-th epoch, or a function that is given Keras's
            epoch (from 0) and says whether to measure at its end. The first epoch of a training
            is measured in any case: other callbacks begin with its numbers.
        engine: as in `keras_curvature.derivatives`.
        dtype: as there.
        batch_size: as there.
        feature_names: names of the inputs. Default: a data frame's columns, the names that the
            inputs of a model of several have, or x0, x1, …. Of a model with a dict of inputs a
            dict by input, of one name or as many as it has columns: Keras sorts the keys of a
            dict, so that a list would name the wrong numbers.
        name: prefix of everything that is written. Give each of several monitors its own.
        on_error: `"raise"`, or `"warn"` to let the training go on when measuring, drawing or
            writing fails: it warns once per kind of fault, puts NaN where a number is not known
            and lists the faults in `faults` and on TensorBoard. What is wrong before the first
            batch raises all the same.
        verify: check the derivatives of the model against differences of its values, once before
            training, as `keras_curvature.verify` does.

    Attributes:
        history: dict of lists, one entry per measured step; `"step"` says which.
        reports: the last `Report` by the name of the output, `""` if there is but one.
        diagnosis: with a `log_dir`, what `keras_curvature.diagnose` found before training, and
            in the end what it found after it; `print` it.
        faults: with `on_error="warn"`, what has gone wrong, one entry per kind.
        verification: with `verify`, what was found; `print` it.

    Raises:
        WrongDerivativeError: with `verify`, for a derivative that is not that of the values; with
            `on_error="warn"` it is a warning.
        ValueError: before training starts, for a probe that is empty, holds NaN or does not
            fit the model, an unknown output or layer, a `freq` of 0, a `log_dir` that
            cannot be written.
        TypeError: for an argument of a wrong type, an integer input without `wrt`.
    """

    def __init__(
        self,
        probe: Any,
        log_dir: str | Path | None = None,
        *,
        output: Output = None,
        wrt: Wrt = None,
        model: keras.Layer | str | None = None,
        reference: Any = None,
        scale: Any = "auto",
        units: str = "raw",
        directions: int | str | None = None,
        vocabulary: Sequence[str] | None = None,
        freq: str | int | Callable[[int], Any] = "epoch",
        engine: str = "auto",
        dtype: str | None = None,
        batch_size: int | None = None,
        feature_names: Names | None = None,
        name: str = "curvature",
        on_error: str = "raise",
        verify: bool = False,
    ) -> None:
        super().__init__()
        require_one_of("units", units, ("raw", "std"))
        require_one_of("on_error", on_error, ("raise", "warn"))
        require_name(name)
        if not isinstance(model, keras.Layer | str | None):
            raise TypeError(
                "`model` must be a Keras model or layer inside the trained model, or its name. "
                f"Received: {model!r}."
            )
        self.probe = make_probe(probe)
        self.log_dir = log_dir
        self.name = name
        self.history: History = {"step": []}
        self.reports: dict[str, Report] = {}
        self.diagnosis: Diagnosis | None = None
        self.verification: Verification | None = None
        self._output = output
        self._options = Options(output, wrt, engine, dtype, batch_size)
        self._reference = reference
        self._scale = scale
        self._units: Any = units
        self._directions = checked_directions(directions)
        self._pictures = Pictures(words(vocabulary))
        self._is_due = due(freq)
        self._leaves_out = leaves_out(freq)
        self._feature_names = feature_names
        self._verifies = verify
        self._tolerance = Tolerance(on_error == "warn", "CurvatureMonitor")
        self._part = model
        self._network: Any = None
        self._subject: Any = None
        self._measurer: ExactMeasurer | EstimatedMeasurer | None = None
        self._measurements: dict[str, Measurement | EstimatedMeasurement] = {}
        self._slices: dict[str, Slices] = {}
        self._writer: Any = None
        self._budget = PictureBudget()
        self._pictured_step = -1
        self._diagnosed_step = -1
        self._logs = Logs(name)
        self._begun = self._is_first = False
        self._offset = 0
        self._ended = 0

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What has gone wrong while training went on, one entry per kind."""
        return self._tolerance.faults

    def __getstate__(self) -> dict[str, Any]:
        """What a copy holds: all that was measured, but neither the model nor the open log.

        A part of the model it finds again by its name: a copy of the part would not be trained.
        """
        left_out = dict.fromkeys(("_model", "_network", "_subject", "_measurer", "_writer"))
        return vars(self) | left_out | {"_part": getattr(self._part, "name", self._part)}

    def set_model(self, model: keras.Model) -> None:
        """Takes the model that `fit` was called on."""
        if not isinstance(model, keras.Layer):
            raise TypeError(
                "`CurvatureMonitor` must be given to a model of Keras 3. Received: a "
                f"{type(model).__name__} of {type(model).__module__}. Build it with `keras`; the "
                "functions, `keras_curvature.laplacian` and so on, take models of tf_keras too."
            )
        super().set_model(model)

    @unobserved()
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks everything against the model and opens the log."""
        require_order(self, self.name)
        self._begun, self._is_first = False, True
        self._prepare()
        if self._verifies and self.verification is None:
            assert self._measurer is not None, "it has been prepared"
            self._verify(self._measurer)
        self._close()  # a training that was broken off has left it open
        if self.log_dir is not None and chief.writes(self.model):
            # Here, so that only those who log pay for loading it.
            from keras_curvature.summaries.run_writer import RunWriter

            self._writer = RunWriter(self.log_dir, self.name)
        self._budget = PictureBudget()

    @unobserved()
    def measure(self, model: keras.Model | None = None) -> dict[str, Report]:
        """Measures now: the model as it is, whether or not it is being trained.

        `plot` and `summary` show it from then on. It is no step of the training: `history`, `logs`
        and TensorBoard stay as they are, since the weights may be those of no step, as after
        `EarlyStopping(restore_best_weights=True)`.

        Args:
            model: what to measure. Default: the model that `fit` was last called on.

        Returns:
            The reports by the name of the output, `""` if there is but one, as `reports`.

        Raises:
            ValueError: where there is no model yet, and for all that `fit` raises at its beginning.

        Example:
            >>> import keras, numpy as np, keras_curvature as kc
            >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
            >>> monitor = kc.CurvatureMonitor(np.linspace(0, 1, 64)[:, None])
            >>> float(monitor.measure(model)[""].headline["rms"])
            0.0
        """
        if model is not None:
            self.set_model(model)
        if self.model is None:
            raise ValueError(
                "`measure` needs a model: pass the monitor to `model.fit` first, or give the model "
                "here, `monitor.measure(model)`."
            )
        self._prepare()
        self._measure(NOW, time.perf_counter())
        return dict(self.reports)

    def _prepare(self) -> None:
        """Checks everything against the model and traces it."""
        self._network = watched(self.model, self._part, self.probe)
        require_batches(self.probe, self._network)
        self._subject, probe, self._options = self._asked_for()
        self._measurer = measurer_for(
            self._subject,
            probe,
            options=self._options,
            directions=self._directions,
            units=self._units,
            scale=self._scale,
            reference=self._known(),
            names=self._feature_names,
        )
        self._pictures.names = names_given(self._feature_names, self.probe, self._measurer.f)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures once before the first epoch."""
        if self._begun:
            return
        self._begun = True
        self._offset = continued(epoch, self._offset, self._ended)
        step = epoch + self._offset
        self._forget_after(step)
        if not self.history["step"] or step > self._ended:
            self._step(step)
            self._diagnose()
        self._ended = step

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures, and publishes the numbers in `logs`."""
        self._ended = epoch + 1 + self._offset
        first, self._is_first = self._is_first, False
        if first or self._asked(epoch):
            self._step(self._ended, logs)
        else:
            self._logs.repeat(logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Draws the last picture and closes the log."""
        if self._writer is not None:
            shown = (self._pictured_step, NOW)
            if any(report.step not in shown for report in self.reports.values()):
                self._attempt(self._ended, "draw", self._picture)
            self._diagnose()
            self._attempt(self._ended, "close the log", self._writer.close)
            self._writer = None

    def plot(self, output: str = "", *, picture: str = "shape", theme: str = "light") -> Any:
        """Draws the last measurement.

        Args:
            output: name of the output of a model that has several.
            picture: `"shape"`, the function and how it bends; `"distances"`, the curvature
                against the distance over which it is taken, at several steps; or `"examples"`,
                the first examples of the probe and where they bend, by pixel, step or token,
                looked at with the weights that the model has now. Where the monitor estimates,
                these are the shape too, and distances are looked at as seldom as pictures are
                drawn.
            theme: `"light"` or `"dark"`.

        Returns:
            A `matplotlib.figure.Figure`; a notebook shows it, `figure.savefig(path)` keeps it.
        """
        require_one_of("picture", picture, ("shape", "distances", "examples"))
        measurement, report = self._last(output)
        if picture == "distances":
            self._look_over_distances()
            return self._pictures.distances(measurement, self.reports[report.output], theme)
        if isinstance(measurement, EstimatedMeasurement) or picture == "examples":
            assert self._measurer is not None, "reports come from it"
            return self._pictures.examples(self._measurer, self._options, report, theme)
        return self._pictures.shape(measurement, report, theme)

    def summary(self, output: str = "", print_fn: Callable[[str], Any] = print) -> None:
        """Prints the verdict and the numbers of the last measurement.

        Args:
            output: name of the output of a model that has several.
            print_fn: called with the text.
        """
        from keras_curvature.report import terminal

        print_fn(terminal.table(self._last(output)[1]))

    def _last(self, output: str) -> tuple[Measurement | EstimatedMeasurement, Report]:
        if not self._measurements:
            began = self._measurer is not None
            raise ValueError(
                "Nothing has been measured: `fit` ran no epoch, as with `epochs=0` or an "
                "`initial_epoch` that is not below `epochs`. `monitor.measure()` measures now."
                if began
                else "Nothing has been measured yet: pass the monitor to `model.fit`, or call "
                "`monitor.measure(model)`."
            )
        names = list(self._measurements)
        if output == "" and output not in self._measurements:
            output = names[0]
        if output not in self._measurements:
            raise ValueError(f"`output` must be one of {names}. Received: {output!r}.")
        return self._measurements[output], self.reports[output]

    def _step(self, step: int, logs: dict[str, Any] | None = None) -> None:
        """Measures once, and adds the numbers to `logs`."""
        begin = time.perf_counter()
        measured = self._attempt(step, "measure", lambda: self._measure(step, begin))
        numbers = reporting.numbers(self.reports) if measured else {}
        features = reporting.features(self.reports) if measured else {}
        record(self.history, step, numbers | features)
        self._log(step, measured)
        when = {"step": float(step)} if measured and self._leaves_out else {}
        self._logs.publish(numbers | when, logs)

    def _measure(self, step: int, begin: float) -> None:
        assert self._measurer is not None, "measuring before `on_train_begin`"
        found: dict[str, Measurement | EstimatedMeasurement] = {**self._measurer.measure()}
        reporter = self._reporter(self._measurer, found)
        reports = {
            output: reporter.report(measurement, step, i, output, time.perf_counter() - begin)
            for i, (output, measurement) in enumerate(found.items())
        }
        self._measurements, self.reports = found, reports
        self._pictures.seen = {}
        if self._writer is not None and isinstance(self._measurer, ExactMeasurer):
            self._slices = self._measurer.measure_slices()
        for report in reports.values():
            self._pictures.add(report)

    def _log(self, step: int, measured: bool) -> None:
        """Writes and draws what was measured, and what went wrong."""
        if self._writer is None:
            if measured and self._budget.allows():
                with self._budget.spending():
                    self._attempt(step, "look over distances", self._look_over_distances)
            return
        if measured:
            if not self._attempt(step, "write the log", self._write):
                with contextlib.suppress(OSError):
                    self._writer.close()
                # Once more, into a new file: that helps if the old one was deleted.
                self._attempt(step, "write the log", self._write)
            if self._budget.allows():
                self._attempt(step, "draw", self._picture)
        self._tell_faults(step)

    def _tell_faults(self, step: int) -> None:
        if self._writer is None or not self._tolerance.untold:
            return
        if self._attempt(step, "write the log", lambda: self._write_faults(step)):
            self._tolerance.told()

    def _write_faults(self, step: int) -> None:
        self._writer.write_faults(step, [str(fault) for fault in self.faults])
        self._writer.flush()

    def _write(self) -> None:
        self._writer.write_layout(self.history["step"][-1], self.reports)
        for output, report in self.reports.items():
            measurement = self._measurements[output]
            self._writer.write_numbers(report)
            if isinstance(measurement, Measurement):  # the sampling error would widen an estimate's
                shown = in_units(measurement, self._units)
                self._writer.write_distribution(report, shown)
                self._writer.write_scale_profile(report)
            self._writer.write_tab(report, measurement, self._slices.get(output))
        self._writer.flush()

    def _look_over_distances(self) -> None:
        """Takes the scale profiles of estimates, which pictures need, unless they are there."""
        if not isinstance(self._measurer, EstimatedMeasurer):
            return
        if all(report.scale_profile is not None for report in self.reports.values()):
            return
        estimates = {
            k: m for k, m in self._measurements.items() if isinstance(m, EstimatedMeasurement)
        }
        for output, report in reporting.over_distances(
            self._measurer, estimates, self.reports
        ).items():
            self.reports[output] = report
            self._pictures.add(report)
            if self._writer is not None:
                self._writer.write_scale_profile(report)
                self._writer.write_distances(report, estimates[output])

    def _asked_for(self) -> tuple[keras.Model, Probe, Options]:
        """What is differentiated, where, and how: the model, or its loss at the probe's labels."""
        asked = dataclasses.replace(self._options, output=self._output)
        if not asks_for_loss(self._network, self._output):
            return self._network, self.probe, asked
        subject, probe = with_loss(self._network, self.probe, self._output)
        return subject, probe, dataclasses.replace(asked, output=None)

    def _reporter(
        self,
        measurer: ExactMeasurer | EstimatedMeasurer,
        found: Mapping[str, Measurement | EstimatedMeasurement],
    ) -> Reporter:
        """Made anew at each step: its method says what has happened to the measurer until then."""
        lines = measurer.method(self._units)
        if measurer.probe.y is not None and any(m.target is None for m in found.values()):
            lines = (*lines, UNFITTED)
        if self._subject is not self._network:
            lines = (
                "Of the loss of each example at its label; on a line at the label of its start.",
                *lines,
            )
        return Reporter(measurer.f.activity, self._options.output, lines, self._units)

    def _known(self) -> Any:
        """The known second derivatives at the probe."""
        return self._reference(self.probe.x) if callable(self._reference) else self._reference

    def _verify(self, measurer: ExactMeasurer | EstimatedMeasurer) -> None:
        """Checks the derivatives once; raises or warns if one is wrong."""
        found = verification.examine(self._subject, measurer.bound, self._options)
        self.verification = found
        if found.ok:
            return
        error = WrongDerivativeError(found)
        if not self._tolerance.tolerant:
            raise error
        warnings.warn(str(error), stacklevel=2)

    def _diagnose(self) -> None:
        """Writes what is found out about the model as it is at the last step."""
        if self._writer is None or not self.reports:
            return
        assert self._measurer is not None, "reports come from it"
        if isinstance(self._measurer, EstimatedMeasurer) and not self._measurer.diagnosable:
            return
        step = self.history["step"][-1]
        if step == self._diagnosed_step:
            return
        bound = self._measurer.bound

        def examine() -> None:
            self.diagnosis = diagnosis.examine(self._subject, bound, self._options, self._scale)
            self._diagnosed_step = step
            self._writer.write_diagnosis(step, self.diagnosis)

        self._attempt(step, "diagnose", examine)
        self._tell_faults(step)

    def _picture(self) -> None:
        """Draws and writes the pictures and the text of the last step."""
        from keras_curvature import figures

        with self._budget.spending():
            self._look_over_distances()
            assert self._measurer is not None, "reports come from it"
            for report in self.reports.values():
                measurement = self._measurements[report.output]
                for theme in ("light", "dark"):
                    for name, figure in self._pictures.all_of(
                        self._measurer, self._options, measurement, report, theme
                    ):
                        self._writer.write_picture(report, figures.to_png(figure), name, theme)
                self._writer.write_summary(report)
                self._pictured_step = report.step
            self._writer.flush()

    def _asked(self, epoch: int) -> bool:
        """Whether `freq` wants a measurement; a `freq` that fails leaves a NaN behind."""
        answer: list[bool] = []
        if self._attempt(self._ended, "ask `freq`", lambda: answer.append(self._is_due(epoch))):
            return answer[0]
        record(self.history, self._ended, {})
        self._tell_faults(self._ended)
        return False

    @unobserved()
    def _attempt(self, step: int, doing: str, work: Callable[[], object]) -> bool:
        """Whether `work()` succeeded; what `on_error` lets pass closes the log first."""
        try:
            return self._tolerance.attempt(step, doing, work)
        except BaseException:
            # Keras does not call `on_train_end` then.
            self._close()
            raise

    def _close(self) -> None:
        """Closes the log, come what may."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()

    def _forget_after(self, step: int) -> None:
        """Drops what came after a backup from which the training goes on."""
        forget_after(self.history, step)
        self._pictures.forget_after(step)
        self._diagnosed_step = min(self._diagnosed_step, step)
