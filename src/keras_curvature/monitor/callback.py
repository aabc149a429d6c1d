"""The Keras callback that watches a model's curvature while it trains."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_curvature.diagnosis.results import Diagnosis
from keras_curvature.engines.api import Options
from keras_curvature.engines.backend import unobserved
from keras_curvature.measurement.exact_or_estimated import checked_directions
from keras_curvature.measurement.plane_maps import Maps
from keras_curvature.measurement.probe import Names, make_probe
from keras_curvature.measurement.shape import checked_shape
from keras_curvature.monitor.arguments import (
    require_directory,
    require_keras,
    require_name,
    require_one_of,
    require_part,
    words,
)
from keras_curvature.monitor.faults import Fault, Tolerance
from keras_curvature.monitor.history import History, forget_after, record
from keras_curvature.monitor.logs import Logs
from keras_curvature.monitor.order import require_order, require_written
from keras_curvature.monitor.page import Page
from keras_curvature.monitor.pictures import Pictures
from keras_curvature.monitor.proving import checked_seconds
from keras_curvature.monitor.schedule import Due, continued, leaves_out
from keras_curvature.monitor.training import Asked, Found, Training
from keras_curvature.proofs.results import Proof
from keras_curvature.report.data import ALL, HEADLINE, NOW, Reports
from keras_curvature.typing import Columns, Output, Shape, Wrt
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
    `callback.history`, to TensorBoard in the run `<log_dir>/curvature`, and, those that `logs`
    chooses, to Keras's `logs` as `curvature_<name>`. Keras hands one `logs` to its callbacks in
    the order of the list, so place the monitor before those that are to read it (EarlyStopping,
    ModelCheckpoint, CSVLogger) and after those that change weights at the end of an epoch
    (`SwapEMAWeights`), and after Keras's TensorBoard, which would draw each number again.
    In epochs that `freq` leaves out, `logs` repeats the numbers of the step before, and
    `curvature_step` says which that was: they are no improvement, so that a `patience` counts
    epochs and must be longer than `freq`.

    Watching changes nothing: weights, optimizer, metrics and random numbers are what they would be
    without it. The model is traced, so that the Python code of its `call` runs, and never called:
    of the trace only what the output is computed from is evaluated, and nothing assigned, printed
    or written. A variable that a call assigns and then reads counts as it was before.

    Equal weights give equal numbers, in every run: lines between points, points of windows and
    directions of estimates are drawn once, by the places of the points in the probe and from
    nobody's seed. The same points in another order are another draw.

    Args:
        probe: points to measure at: an array, the list or dict of arrays that the model
            takes, a data frame with a column for each input, `(x, y)` with known values of the
            function, or batches of either as Keras takes them: a batched `tf.data.Dataset`, a
            `keras.utils.PyDataset`, a `DataLoader`. They are read once, here. `(x, y, weights)` is
            taken too; the weights have no effect.
            For a model that takes so many examples at a time (a stateful recurrent layer,
            `batch_size` in its `keras.Input`) as many, or several times as many.
        log_dir: where TensorBoard looks; a relative path begins where the process is when
            training begins. `None` writes nothing.
        output: which output, as in `keras_curvature.derivatives`. Default: all of it. `"loss"`,
            or a loss (an object of Keras, a function of labels and predictions): the loss of each
            example at the labels of a probe `(x, y)`, `"loss"` as the model was compiled with it,
            without weights of examples and without regularisation.
        wrt: with respect to what, as there. Default: the model's input.
        columns: by which columns of an input, as there; by name where `probe` is a data frame or
            there are `feature_names`.
        model: the network to watch, itself or its name, if that is not the trained model but one
            inside it: of a model that has a `train_step` and no `call`, say, or inside a
            `DerivativeOutput`.
        reference: known second derivatives along each input at the probe, in the units of x and
            y whatever `units` is, in the shape of `hessian_diagonal` (a dict by name where the
            model has dicts), or functions of the probe's whole `x` that give them, one for all or
            one in the place of any array: `{"u": u_xx}`.
        scale: half-width of the window of the curvature at a scale, as in
            `scale_curvature`; of several inputs a dict too. Default: a quarter of each input's
            standard deviation.
        units: `"raw"`, the units of x and y, or `"std"`: every input measured in its standard
            deviation over the probe and the output in its own, that of the probe's y where there
            is one, so that numbers compare between inputs and runs. `"auto"`: `"raw"` with one
            input, `"std"` with more. Numbers per feature and their pictures are always in `"std"`.
        shape: what the function must be along single inputs, by name or index: `"convex"`,
            `"concave"`, `"increasing"`, `"decreasing"`, `"linear"`, or several of them in a tuple:
            `{"strike": ("convex", "decreasing"), "maturity": "increasing"}`. Logs for each the
            share of the probe where it holds, at the point and over a distance (`scale`), so that
            kinks count, and the worst violation; `shape_fraction` is the share where all of it
            does.
        directions: `None`: exact second derivatives along every input where these take at most
            512 forward passes over the probe or there are at most 64 inputs, else estimates from
            8 random directions at each point, the same at every step, which take 11 passes (9
            for networks of ReLU) and about one more. `"all"`: exact ones at any price. An int:
            estimates from so many, with a warning beyond the number of inputs. The summary says
            which. Estimates come with standard errors,
            not by feature.
        vocabulary: of a model of token ids (`wrt="embedding"`): the words in the order of their
            ids, as from `TextVectorization.get_vocabulary()`, for pictures; ids beyond it are
            shown as numbers.
        logs: which numbers go to Keras's `logs`, and so to its progress bar, `History` and other
            callbacks: `"headline"`, those that `summary` prints, `"all"`, `None`, or a list of
            names as in `history`, those of an output with its name before them or of each without.
        freq: `"epoch"`, an int n for every n-th epoch, or a function that is given Keras's
            epoch (from 0) and says whether to measure at its end. The first epoch of a training
            is measured in any case: other callbacks begin with its numbers.
        engine: as in `keras_curvature.derivatives`.
        dtype: as there.
        batch_size: as there.
        feature_names: names of the inputs; with `columns`, of all columns. Default: a data frame's
            columns, the names that the inputs of a model of several have, or x0, x1, …. For a
            model of one array the columns of a data frame are put into their order. Of a model
            with a dict of inputs a dict by input, of one name or as many as it has columns: Keras
            sorts the keys of a dict, so that a list would name the wrong numbers.
        maps: functions to draw over the plane of two inputs, by name: `{"residual": residual}`, or
            with the two inputs, by name or index, where there are more than two: `{"residual":
            (residual, ("t", "x"))}`. Each is given points as the model takes them, 1,024 on a grid
            over the range of the probe with all other inputs held at a central point, and gives
            one number for each. It may call the model and the functions of this library, and is
            of the model's whole input, whatever `wrt` and `columns` are.
        name: prefix of everything that is written. Give each of several monitors its own.
        on_error: `"raise"`, or `"warn"` to let the training go on when measuring, drawing or
            writing fails: it warns once per kind of fault, puts NaN where a number is not known
            and lists the faults in `faults` and on TensorBoard. What is wrong before the first
            batch raises all the same.
        prove: prove `shape` at the end of training, everywhere in the box that the probe spans and
            not only at its points, as `keras_curvature.prove` does: `True` for at most 30 seconds,
            or so many seconds. What counts as none at a point counts as none between them. It is
            printed unless `fit` is silent, stands in the report and the log, and is in `proof`.
        verify: check the derivatives of the model against differences of its values, once before
            training, as `keras_curvature.verify` does. What these cannot judge is a warning.

    Attributes:
        history: dict of lists, one entry per measured step; `"step"` says which.
        reports: the last `Report` by the name of the output, `""` if there is but one; print it.
        diagnosis: with a `log_dir`, what `keras_curvature.diagnose` found beside the second
            pictures, and in the end what it found after training; `print` it.
        faults: with `on_error="warn"`, what has gone wrong, one entry per kind.
        verification: with `verify`, what was found; `print` it.
        proof: with `prove`, the `Proof` of the end of the last training; `print` it, `plot` it.

    Raises:
        WrongDerivativeError: with `verify`, for a derivative that is not that of the values; with
            `on_error="warn"` it is a warning.
        ValueError: before training starts, for a probe that is empty, holds NaN or does not
            fit the model, an unknown output, layer or input of `shape`, a `freq` of 0, a
            `log_dir` that cannot be written, a model that gives other values than its trace.
        TypeError: for an argument of a wrong type, an integer input without `wrt`.
    """

    def __init__(
        self,
        probe: Any,
        log_dir: str | Path | None = None,
        *,
        output: Output = None,
        wrt: Wrt = None,
        columns: Columns = None,
        model: keras.Layer | str | None = None,
        reference: Any = None,
        scale: Any = "auto",
        units: str = "auto",
        shape: Shape | None = None,
        directions: int | str | None = None,
        vocabulary: Sequence[str] | None = None,
        logs: str | Sequence[str] | None = HEADLINE,
        freq: str | int | Callable[[int], Any] = "epoch",
        engine: str = "auto",
        dtype: str | None = None,
        batch_size: int | None = None,
        feature_names: Names | None = None,
        maps: Maps | None = None,
        name: str = "curvature",
        on_error: str = "raise",
        verify: bool = False,
        prove: bool | float = False,
    ) -> None:
        super().__init__()
        require_one_of("units", units, ("auto", "raw", "std"))
        require_one_of("on_error", on_error, ("raise", "warn"))
        require_name(name)
        require_part(model)
        require_directory(log_dir)
        self.probe = make_probe(probe)
        self.log_dir = log_dir
        self.name = name
        self.history: dict[str, list[Any]] = History()
        self.diagnosis: Diagnosis | None = None
        self.verification: Verification | None = None
        self.proof: Proof | None = None
        self._asked = Asked(
            self.probe,
            model,
            Options(output, wrt, engine, dtype, batch_size, columns),
            reference,
            scale,
            units,
            checked_directions(directions),
            feature_names,
            {} if shape is None else checked_shape(shape),
            maps,
            checked_seconds(prove, has_shape=bool(shape)),
        )
        self._verifies = verify
        self._is_due = Due(freq)
        self._tolerance = Tolerance(on_error == "warn", "CurvatureMonitor")
        self._logs = Logs(name, logs, leaves_out(freq))
        self._pictures = Pictures(words(vocabulary))
        self._page = Page(name)
        self._training: Training | None = None
        self._measured: Training | None = None
        self._found = Found()
        self._diagnosed_step = -1
        self._offset = self._ended = 0

    @property
    def reports(self) -> Reports:
        """The last report by the name of the output."""
        return self._found.reports

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What has gone wrong while training went on, one entry per kind."""
        return self._tolerance.faults

    @property
    def freq(self) -> str | int | Callable[[int], Any]:
        """How often it measures."""
        asked: str | int | Callable[[int], Any] = self._is_due.freq
        return asked

    @property
    def diagnosable(self) -> bool:
        """Whether a diagnosis of the model in training takes seconds and not minutes."""
        return self._now.measurer.diagnosable

    @property
    def has_shape(self) -> bool:
        """Whether it was asked for a shape."""
        return bool(self._asked.shape)

    def __repr__(self) -> str:
        """What it measures at, how often it has, and what it found last."""
        shapes = [tuple(leaf.shape) for leaf in keras.tree.flatten(self.probe.x)]
        steps = self.history.get("step", [])
        points = f"{shapes[0]}" if len(shapes) == 1 else f"{len(shapes)} arrays of {shapes[0][0]}"
        last = [repr(report.verdict.kind) for report in self.reports.values()][:3]
        return (
            f"<CurvatureMonitor {self.name!r}: probe {points}"
            f"{'' if self.probe.y is None else ' with y'}, {len(steps)} "
            f"step{'s' * (len(steps) != 1)} measured{', last ' if last else ''}{', '.join(last)}>"
        )

    def __getstate__(self) -> dict[str, Any]:
        """What a copy holds: all that was measured, but neither the model nor the open log.

        A part of the model it finds again by its name: a copy of the part would not be trained.
        """
        left_out = dict.fromkeys(("_model", "_training", "_measured"))
        return vars(self) | left_out | {"_asked": self._asked.detached()}

    def set_model(self, model: keras.Model) -> None:
        """Takes the model that `fit` was called on."""
        require_keras(model)
        super().set_model(model)

    @unobserved()
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks everything against the model and opens the log."""
        require_order(self, self.name)
        training = Training(self._asked, self.model)
        if self._verifies and self.verification is None:
            self.verification = training.verify()
            if self.verification.wrong:
                self._tolerance.complain(WrongDerivativeError(self.verification))
            elif not self.verification.ok:
                told = " ".join([f"{self.verification.headline}.", *self.verification.unjudged])
                warnings.warn(told, stacklevel=2)
        self._close()  # a training that was broken off has left it open
        self._training = training
        training.open_log(self.log_dir, self.name)
        training.page = self._page
        self._page.begin(None if training.writer is None else training.writer.directory)

    @unobserved()
    def measure(self, model: keras.Model | None = None) -> Reports:
        """Measures now: the model as it is, whether or not it is being trained.

        `plot` and `summary` show it from then on. It is no step of the training: `history`, `logs`
        and TensorBoard stay as they are, since the weights may be those of no step, as after
        `EarlyStopping(restore_best_weights=True)`.

        Args:
            model: what to measure. Default: the model that `fit` was last called on, before that
                the network that was given as `model=`.

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
        part = self._asked.part
        own = self.model if self.model is not None or isinstance(part, str) else part
        model = own if model is None else model
        if model is None:
            inside = "" if part is None else f", the one with {part!r} inside"
            raise ValueError(
                "`measure` needs a model: pass the monitor to `model.fit` first, or give the model "
                f"here, `monitor.measure(model)`{inside}."
            )
        require_keras(model)
        self._take(Training(self._asked, model), NOW, time.perf_counter())
        return Reports(self.reports)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures once before the first epoch."""
        training = self._now
        if training.begun:
            return
        training.begun = True
        self._offset = continued(epoch, self._offset, self._ended)
        step = epoch + self._offset
        forget_after(self.history, step)
        self._pictures.forget_after(step)
        self._page.forget_after(step)
        self._diagnosed_step = min(self._diagnosed_step, step)
        if not self.history["step"] or step > self._ended:
            self._step(step)
        self._ended = step
        if self.reports:
            self._logs.require(self.reports)
            require_written(self, self.name, self.reports.numbers(), self._logs.names)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures, and publishes the numbers in `logs`."""
        self._ended = epoch + 1 + self._offset
        training = self._now
        first, training.is_first = training.is_first, False
        if first or self._wants(epoch):
            self._step(self._ended, logs)
        else:
            self._logs.repeat(logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Draws the last picture, proves what is to be proved and closes the log."""
        training = self._training
        if training is None:
            return
        if training.writer is not None:
            found, drawn = training.found, self._pictures.drawn_step
            if any(report.step != drawn for report in found.reports.values()):
                self._attempt(self._ended, "draw", lambda: training.picture(found, self._pictures))
            self._diagnose(training)
        self._prove(training)
        if training.writer is not None:
            self._attempt(self._ended, "close the log", training.writer.close)
            training.writer = None
        if self._page.is_live:
            self._attempt(self._ended, "show the page", lambda: self._page.end(self._found))

    def _prove(self, training: Training) -> None:
        """Proves the shape, says so and writes it."""
        self.proof = None
        silent = not (self.params or {}).get("verbose", 0)

        found: list[Proof | None] = []

        def prove() -> None:
            found.append(training.prove(False if silent else None))

        if not self._attempt(self._ended, "prove", prove):
            return
        self.proof = proof = found[0]
        if proof is None:
            return
        if not silent:
            print(proof)
        if training.writer is not None:
            self._attempt(self._ended, "write the log", lambda: training.write_proof(proof))

    def plot(self, output: str = "", *, picture: str = "shape", theme: str = "light") -> Any:
        """Draws the last measurement.

        Args:
            output: name of the output of a model that has several.
            picture: `"shape"`, the function and how it bends; `"distances"`, the curvature
                against the distance over which it is taken, at several steps; `"maps"`, the
                functions of `maps=`; or `"examples"`, the first examples of the probe and where
                they bend, by pixel, step or token. Maps and examples are looked at with the
                weights that the model has now. Where the monitor estimates, examples are the shape
                too, and distances are looked at as seldom as pictures are drawn.
            theme: of the page it will stand on, `"light"` or `"dark"`, or `"card"`, which suits
                either and is what goes to TensorBoard.

        Returns:
            A `matplotlib.figure.Figure`; a notebook shows it, `figure.savefig(path)` keeps it.
        """
        require_one_of("picture", picture, ("shape", "distances", "examples", "maps"))
        measurement, report = self._found.of(output)
        training, exact = self._measured, measurement.by_input
        if picture == "distances":
            if training is not None:
                training.look(self._found, self._pictures)
            return self._pictures.distances(measurement, self.reports[report.output], theme)
        if picture == "maps" and not self._asked.maps:
            raise ValueError(
                '`plot(picture="maps")` draws what `maps=` of the monitor has: nothing.'
            )
        if exact is None or picture in ("examples", "maps"):
            if training is None:
                raise ValueError(
                    "`plot` looks at examples with the model, and a copied monitor has none. Pass "
                    "it to `model.fit`, or plot with the monitor that was there."
                )
            if picture == "maps":
                return training.picture_of_maps(report, theme)
            return training.examples(report, self._pictures, theme)
        return self._pictures.shape(exact, report, theme)

    def summary(
        self,
        numbers: str = HEADLINE,
        *,
        output: str | None = None,
        print_fn: Callable[[str], Any] = print,
    ) -> None:
        """Prints the verdict and the numbers of the last measurement.

        Args:
            numbers: `"headline"`, those to look at first, or `"all"`, with how it was measured.
            output: name of the output of a model that has several. Default: every one.
            print_fn: called with the text of each output.
        """
        require_one_of("numbers", numbers, (HEADLINE, ALL))
        for name in [output] if output is not None else self.reports or [""]:
            print_fn(self._found.of(name)[1].text(numbers=numbers))

    def diagnose(self) -> Diagnosis | None:
        """Diagnoses the model in training as it is at the last step, unless that has been done.

        Returns:
            What was found, `diagnosis` from then on; `None` where `on_error` has let it fail.
        """
        step, training = self.history["step"][-1], self._now
        if step == self._diagnosed_step:
            return self.diagnosis
        self._diagnosed_step = step

        def examine() -> None:
            self.diagnosis = training.diagnose()
            self._page.take_diagnosis(step, self.diagnosis)
            if training.writer is not None:
                training.writer.write_diagnosis(step, self.diagnosis)

        return self.diagnosis if self._attempt(step, "diagnose", examine) else None

    def note_decision(self, step: int, sentence: str) -> None:
        """Writes to the log what a callback did by the numbers of a step."""
        training = self._now
        if training.writer is not None:
            self._attempt(step, "write the log", lambda: training.decide(step, sentence))

    def to_html(self, path: str | Path, *, force: bool = False) -> Path:
        """Writes what the Curvature tab shows of this monitor as a single file.

        As `keras_curvature.to_html`, of this monitor alone and with or without a `log_dir`: without
        one the steps are kept in memory, of a long training every other one, and there is
        no diagnosis unless a `StopOnVerdict` asked for it; slices along inputs and `maps` are there
        only after `show`.

        Args:
            path: of the file to write.
            force: write over a file that is there.

        Returns:
            The path.

        Raises:
            ValueError: where nothing was measured.
            FileExistsError: for a file that is there, without `force`.
            OSError: if the file cannot be written.
        """
        return self._page.to_html(self._found, path, force=force)

    def show(self) -> None:
        """Shows the Curvature tab of this monitor in a notebook, and follows the training in it.

        Call it before `model.fit`, in the same cell or one before: its output moves on with each
        measured epoch. A monitor as the last line of a cell shows what there is at that time.

        Raises:
            RuntimeError: outside of a notebook.
        """
        self._page.show(self._found)

    def _repr_html_(self) -> str | None:
        """The page, for notebooks."""
        return self._page.frame(self._found)

    @property
    def _now(self) -> Training:
        assert self._training is not None, "measuring before `on_train_begin`"
        return self._training

    def _step(self, step: int, logs: dict[str, Any] | None = None) -> None:
        """Measures once, and adds the numbers to `logs`."""
        training, begin = self._now, time.perf_counter()
        measured = self._attempt(step, "measure", lambda: self._measure(step, begin))
        reports = self.reports if measured else Reports()
        record(self.history, step, reports.numbers())
        if measured:
            self._log(training, step)
        self._tell_faults(training, step)
        if self._page.is_live:
            self._attempt(step, "show the page", lambda: self._page.update(self._found))
        self._logs.publish(reports, step, logs)

    def _measure(self, step: int, begin: float) -> None:
        self._take(self._now, step, begin)
        self._now.found = self._found

    def _take(self, training: Training, step: int, begin: float) -> None:
        """Measures, and keeps what was found and of whom."""
        self._found, self._measured = training.measure(step, begin), training
        self._pictures.names = training.names
        self._pictures.begin_step(self.reports.values())

    def _log(self, training: Training, step: int) -> None:
        """Writes and draws what was measured."""
        found, pictures, budget = self._found, self._pictures, training.budget
        if training.writer is not None or self._page.is_live:
            self._attempt(step, "evaluate `maps`", training.evaluate_maps)
        self._attempt(step, "keep the page", lambda: self._page.take(found, training.mapped))
        if training.writer is None:
            self._attempt(step, "look over distances", lambda: training.look(found, pictures))
            return
        if not self._attempt(step, "write the log", lambda: training.write(step, found)):
            with contextlib.suppress(OSError):
                training.writer.close()
            # Once more, into a new file: that helps if the old one was deleted.
            self._attempt(step, "write the log", lambda: training.write(step, found))
        again = budget.begun  # with the first pictures it would hold up a short training
        if budget.allows():
            self._attempt(step, "draw", lambda: training.picture(found, pictures))
            if again and self._diagnosed_step < 0:
                self._diagnose(training)
        elif not training.described:
            self._attempt(step, "describe", lambda: training.describe(found, pictures))

    def _tell_faults(self, training: Training, step: int) -> None:
        if training.writer is None or not self._tolerance.untold:
            return
        sentences = [str(fault) for fault in self.faults]
        if self._attempt(step, "write the log", lambda: training.tell(step, sentences)):
            self._tolerance.told()

    def _diagnose(self, training: Training) -> None:
        """Writes what is found out about the model as it is at the last step."""
        if training.writer is None or not self.reports or not training.measurer.diagnosable:
            return
        self.diagnose()
        self._tell_faults(training, self._diagnosed_step)

    def _wants(self, epoch: int) -> bool:
        """Whether `freq` wants a measurement; a `freq` that fails leaves a NaN behind."""
        answer: list[bool] = []
        if self._attempt(self._ended, "ask `freq`", lambda: answer.append(self._is_due(epoch))):
            return answer[0]
        record(self.history, self._ended, {})
        self._tell_faults(self._now, self._ended)
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
        if self._training is not None:
            self._training.close()
