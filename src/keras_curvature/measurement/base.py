"""A model at a probe: what both ways of measuring it share."""

from __future__ import annotations

import dataclasses
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.engines.api import (
    BoundModel,
    Engine,
    EngineChoice,
    NotAsTracedError,
    Options,
    bind,
    chunking,
    require_as_traced,
    xp,
)
from keras_curvature.engines.backend import FlatFunction, computing_in, unobserved
from keras_curvature.engines.quantities import DIRECTIONAL, VALUE
from keras_curvature.measurement import (
    digits,
    ground_truth,
    multiscale,
    number_spacing,
    one_call,
    rounding_noise,
    segments,
    shape,
    two_valued,
    windows,
)
from keras_curvature.measurement.example_shape import is_grid
from keras_curvature.measurement.one_call import Compute, Task
from keras_curvature.measurement.probe import Probe, feature_names, names_given
from keras_curvature.measurement.results import Measurement, Multiscale
from keras_curvature.measurement.statistics import spread_of, still, units_of
from keras_curvature.typing import Array, Model, Tensor, Units


class Measurer(ABC):
    """A traced model, the probe's points, and the scale on which they differ.

    The two kinds differ in what they take at the points; on lines between these, and over many
    distances, they measure alike. Everything that can be known to be wrong is raised on
    construction.

    Attributes:
        probe: where to measure.
        choice: how the second derivatives at the points are computed.
        units: of the numbers: those asked for, or what suits the inputs.
        uncompared: why the values could not be compared with the model's own, where that is so.
    """

    choice: EngineChoice
    units: Units
    uncompared: tuple[str, ...] = ()
    _pairs: tuple[NDArray[np.integer], NDArray[np.integer]]
    _scale_lines: multiscale.ScaleLines

    @computing_in("float64")
    def __init__(
        self, model: Model, probe: Probe, options: Options, units: str, scale: Any
    ) -> None:
        """Traces the model and settles units, scale and target; arguments as for both kinds."""
        self.probe = probe
        self._model, self._is_compared = model, False
        self._run_all = one_call.RunAll()
        self._options = options
        self._bound = bind(model, probe.x, options).as_taken()
        f = self._bound.f
        points = self.points()
        self._example_shape = f.inputs.shapes[0] if len(f.inputs.shapes) == 1 else None
        grid = is_grid(self._example_shape)
        self._still = still(points)
        self._ends = np.full((f.inputs.width, 2), np.nan) if grid else two_valued.ends(points)
        self.units = units_of(units, points)
        self._spread: Array = xp.to_numpy(windows.spread(xp.constant(points)))
        self._spacing = number_spacing.spacing(points, self._spread, xp.eps(f.dtype))
        found = windows.resolve(scale, f.inputs, lambda: xp.constant(self._spread))
        self._scale: Array = xp.to_numpy(found)
        if not isinstance(scale, str):
            windows.warn_of_wide(self._scale, points, self._ends)
        self._targets = ground_truth.targets(probe, options.output, f, model)

    @property
    def bound(self) -> BoundModel:
        """The traced model and the probe's points."""
        return self._bound

    @property
    def spread(self) -> Array:
        """Standard deviation of each input over the probe, `(d,)`; 1 where it is constant."""
        return self._spread

    @property
    def f(self) -> FlatFunction:
        """The model as a function of one vector."""
        return self._bound.f

    @property
    def diagnosable(self) -> bool:
        """Whether a diagnosis takes seconds and not minutes."""
        return True

    @abstractmethod
    def method(self) -> tuple[str, ...]:
        """What is measured, how and why, one sentence each."""

    @unobserved()
    @computing_in("float64")
    def measure(self, *, sliced: bool = False) -> dict[str, Measurement]:
        """What holds now, by the name of each output (`""` if there is but one).

        Args:
            sliced: whether to take slices along each input too, where there are some.

        Raises:
            NotAsTracedError: the first time, if the model itself gives other values.
        """
        arrays: dict[str, Array] = {
            key: xp.to_numpy(part, np.float64) for key, part in self._found(sliced=sliced).items()
        }
        if not self._is_compared:
            self._compare(arrays[VALUE])
        return {
            name: self._measurement(arrays, part, i) for i, (name, part) in enumerate(self._parts())
        }

    def _compare(self, values: Array) -> None:
        try:
            require_as_traced(self._model, self.probe.x, self._options.output, values)
        except NotAsTracedError:
            # In float64 the trace has digits that the model itself has not.
            if self.f.dtype == self.f.native:
                raise
            require_as_traced(self._model, self.probe.x, self._options.output, self._natively())
        except Exception as error:  # an extra, which must not end a training by itself
            first = next(iter(str(error).splitlines()), "")
            self.uncompared = (
                "The values of the trace were not compared with those of the model itself: "
                f"{first or type(error).__name__}",
            )
        self._is_compared = True

    def _natively(self) -> Array:
        """Values at the first points, in the dtype of the model, `(n, m)`."""
        f = dataclasses.replace(self.f, dtype=self.f.native)

        def compute(*leaves: Tensor) -> dict[str, Tensor]:
            return {VALUE: f(*f.point(leaves))}

        leaves = self._bound.inputs.leaves
        found = one_call.run(self._task(compute, leaves, f.rows_forward()))
        return xp.to_numpy(found[VALUE], np.float64)

    def require_bends(self, asked: Sequence[shape.Condition]) -> None:
        """Refuses to look for a bend along an input of two values; warns along one of one value.

        Raises:
            ValueError: where that is asked.
        """
        for condition in asked:
            shape.require_bend(condition, *self._ends[condition.index].tolist())
            if self._still[condition.index]:
                shape.warn_of_constant(condition)

    @computing_in("float64")
    def measure_shape(
        self, asked: Sequence[shape.Condition], names: Sequence[str]
    ) -> dict[str, tuple[shape.Kept, ...]]:
        """How well each output keeps what is asked of its shape.

        Args:
            asked: the conditions.
            names: one per input number.
        """
        if not asked:
            return {}
        every = sorted({condition.index for condition in asked})
        two = [i for i in every if np.isfinite(self._ends[i, 0])]
        axes = [i for i in every if i not in two]
        found, reach = self._along_axes(axes) if axes else ({}, np.empty(0))
        exactly = dataclasses.replace(self.f, dtype=xp.dtype_of("float64"))
        changes = one_call.run(self._changes_along(two, exactly)) if two else {}
        changed = {key: np.asarray(part) for key, part in changes.items()}
        called = dict(enumerate(names)) | {one.index: one.input for one in asked}

        def at(point: int) -> dict[str, float]:
            if len(names) > shape.NAMED:
                return {}
            z = xp.to_numpy(self.f.point(self._gathered([point]))[0])[0]
            return {called[i]: float(number) for i, number in enumerate(z)}

        def kept(condition: shape.Condition, part: slice, i: int) -> shape.Kept:
            if condition.index in two:
                value = changed[VALUE][:, part]
                change = changed[two_valued.CHANGES][:, part, two.index(condition.index)]
                spread = self._output_spread(value, i)
                return shape.kept_from_one_to_the_other(condition, value, change, spread, at)
            k, value = axes.index(condition.index), found[VALUE][:, part]
            of_one = {key: found[key][:, part, k] for key in found.keys() - {VALUE}}
            return shape.kept(
                condition,
                of_one | {VALUE: value},
                float(reach[k]),
                float(self._spread[condition.index]),
                self._output_spread(value, i),
                at,
            )

        return {
            name: tuple(kept(condition, part, i) for condition in asked)
            for i, (name, part) in enumerate(self._parts())
        }

    def over_scales(self, measured: Mapping[str, Measurement]) -> dict[str, Measurement]:
        """The last ones with their curvature over many distances, where that is not in them."""
        return dict(measured)

    @abstractmethod
    def _found(self, *, sliced: bool) -> dict[str, Tensor]:
        """All arrays of a step, the outputs laid flat."""

    @abstractmethod
    def _measurement(self, found: dict[str, Array], part: slice, i: int) -> Measurement:
        """What they say of the output `i`, which lies in a part of them."""

    def _parts(self) -> list[tuple[str, slice]]:
        """Each output's name and place among all of them laid flat."""
        ends = np.cumsum([0, *self.f.outputs.sizes]).tolist()
        places = [slice(start, stop) for start, stop in itertools.pairwise(ends)]
        return list(zip(self.f.output_names, places, strict=True))

    @computing_in("float64")
    def points(self) -> Array:
        """The probe's points `(n, d)`: as large as the probe, so nobody keeps them."""
        return xp.to_numpy(self.f.point(self._bound.inputs.leaves)[0], np.float64)

    def _task(
        self,
        compute: Compute,
        tensors: Sequence[Tensor],
        size: int,
        constants: Sequence[Any] = (),
        bound: BoundModel | None = None,
        halved_from: float = math.inf,
    ) -> Task:
        """To be done on so many examples at a time, or as many as the user has said."""
        return Task(
            bound or self._bound,
            compute,
            tensors,
            self._options.batch_size or max(1, size),
            [xp.constant(constant) for constant in constants],
            halved_from,
        )

    def _gathered(self, rows: Any) -> list[Tensor]:
        """Some of the probe's points, as the model takes them."""
        return [xp.take(leaf, rows) for leaf in self._bound.inputs.leaves]

    def _output_spread(self, value: Array, i: int) -> Array:
        """The spread of the known values, or of the model's where none are known."""
        target = self._targets[i]
        return spread_of(value if target is None else target)

    @property
    def _on_lines(self) -> FlatFunction:
        """The model as it is evaluated on lines between points.

        In float64 where its own dtype would put places on these beside where they ought to be.
        """
        near = self._spacing.max() <= number_spacing.FINE
        return self.f if near else dataclasses.replace(self.f, dtype=xp.dtype_of("float64"))

    def _coarse(self, names: Sequence[str] | None = None) -> Mapping[str, float]:
        """Inputs of which the model has few numbers in its own dtype, in which it is trained."""
        f = self.f
        trained = xp.eps(xp.widened(f.native, xp.dtype_of("float32")))
        apart = self._spacing * (trained / xp.eps(f.dtype))
        if f.layer is not None or apart.max() < number_spacing.COARSE:
            return {}
        names = names or names_given(None, self.probe, f) or feature_names(None, None, f.inputs)
        return number_spacing.coarse(names, apart)

    def _on_segments(self, engine: Engine[Any], pieces: int, size: int) -> Task:
        f = self._on_lines

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            *leaves, spread = tensors
            half = len(leaves) // 2
            start, rest = f.point(leaves[:half])
            end, _ = f.point(leaves[half:])
            return segments.along(engine, f, start, end, rest, spread, pieces)

        starts, ends = (self._gathered(side) for side in self._pairs)
        return self._task(compute, [*starts, *ends], size, [self._spread])

    def _along_axes(self, axes: Sequence[int]) -> tuple[dict[str, Array], Array]:
        """Derivatives along these inputs, in float64: of the network, without rounding.

        Returns:
            What `windows.exact_and_averaged` gives, and the windows' half-widths in standard
            deviations of the inputs.
        """
        f = dataclasses.replace(self.f, dtype=xp.dtype_of("float64"))
        engine = self._bound.engine_for((DIRECTIONAL,))

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            *leaves, unit, reach, low, high = tensors
            z, rest = f.point(leaves)
            return windows.exact_and_averaged(engine, f, z, rest, unit, reach, low, high)

        leaves, spread = self._bound.inputs.leaves, self._spread[axes]
        places = xp.to_numpy(xp.take(self.f.point(leaves)[0], axes, axis=1), np.float64)
        low, high = places.min(axis=0), places.max(axis=0)
        # Of an input that is the same everywhere the window is not moved.
        low, high = np.where(low < high, [low, high], [[-np.inf], [np.inf]])
        reach = np.minimum(self._scale[axes], (high - low) / 2) / spread
        unit = np.zeros((len(axes), f.inputs.width))
        unit[np.arange(len(axes)), axes] = spread
        size = engine.rows_along(f) // (5 * len(axes))
        found = one_call.run(self._task(compute, leaves, size, [unit, reach, low, high]))
        return {key: xp.to_numpy(part) for key, part in found.items()}, reach

    def _changes_along(self, inputs: Sequence[int], f: FlatFunction, *, rows: bool = False) -> Task:
        """What `two_valued.changes` gives along these inputs of two values, at every point."""
        leaves, inputs = self._bound.inputs.leaves, tuple(inputs)
        places = xp.to_numpy(xp.take(f.point(leaves)[0], inputs, axis=1))
        between = np.stack([places.min(axis=0), places.max(axis=0)], axis=1)
        fitting = f.rows_at_once() if rows else f.rows_forward()
        per_example = f.outputs.width if rows else 1
        examples, at_once = chunking.plan(fitting, per_example, len(inputs))

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            *leaves, between = tensors
            z, rest = f.point(leaves)
            return two_valued.changes(f, z, rest, inputs, between, at_once, rows=rows)

        return self._task(compute, leaves, examples, [between])

    def _on_scales(self, *, own: bool = False) -> Task:
        """Values in float64 on the lines; those at their centres in the model's own dtype too."""
        f, narrow = dataclasses.replace(self.f, dtype=xp.dtype_of("float64")), self.f

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            *leaves, unit = tensors
            z, rest = f.point(leaves)
            single = {"single": narrow(*narrow.point(leaves))} if own else {}
            return {"scales": multiscale.values(f, z, unit, rest), **single}

        rows = f.rows_forward()
        tensors = [*self._gathered(self._scale_lines.start), xp.constant(self._scale_lines.unit)]
        return self._task(compute, tensors, rows // len(multiscale.PLACES))

    def _digits_along(self, rows: Any, units: Tensor | Array, *, own: bool) -> Task:
        """Second derivatives along a direction through each of these probe points, in float64.

        With `own` in the model's dtype too.
        """
        f, narrow = dataclasses.replace(self.f, dtype=xp.dtype_of("float64")), self.f
        engine, where = self._bound.engine_for((DIRECTIONAL,)), digits.places(narrow.dtype)

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            *leaves, unit = tensors
            z, rest = f.point(leaves)
            found = {"precise": digits.along(engine, f, z, rest, unit, where)}
            if own:
                z, rest = narrow.point(leaves)
                here = digits.along(engine, narrow, z, rest, unit, digits.HERE)
                found["own"] = here[..., 0]
            return found

        size = engine.rows_along(f) // (2 * len(where) + own)
        return self._task(compute, [*self._gathered(rows), xp.constant(units)], size)

    def _multiscale(self, values: Array, single: Array) -> Multiscale:
        """Of the values on the lines, and of those at their centres in the model's own dtype."""
        count = len(multiscale.OFFSETS)
        with np.errstate(invalid="ignore"):
            apart = values[:, 0] - single
        return Multiscale(
            distances=multiscale.DISTANCES,
            curvature=multiscale.differences(values[:, :count], self._scale_lines.inside),
            noise=rounding_noise.noise(values[:, count:]),
            single_noise=np.sqrt(np.mean(apart**2, axis=0)),
        )
