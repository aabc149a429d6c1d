"""Measures a model at a probe exactly: its second derivatives along every input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.engines.api import Engine, Options, bind, chunking, may_kink, xp
from keras_curvature.engines.backend import computing_in
from keras_curvature.engines.quantities import DIAGONAL, DIRECTIONAL, HESSIAN, JACOBIAN, VALUE
from keras_curvature.measurement import (
    digits,
    ground_truth,
    method_text,
    segments,
    slices,
)
from keras_curvature.measurement import windows as scales
from keras_curvature.measurement.base import Measurer
from keras_curvature.measurement.example_shape import is_grid
from keras_curvature.measurement.multiscale import OFFSETS, scale_lines
from keras_curvature.measurement.one_call import Task
from keras_curvature.measurement.probe import Names, Probe, feature_names, names_given
from keras_curvature.measurement.results import ExactMeasurement
from keras_curvature.measurement.slices import Slices
from keras_curvature.measurement.statistics import PARTLY_HIDDEN
from keras_curvature.measurement.two_valued import CHANGE_ROWS, CHANGES
from keras_curvature.typing import Array, Model, Tensor

FULL_HESSIAN_INPUTS = 64
"""Up to so many inputs the monitor takes the whole Hessian, beyond them its diagonal."""

SCALE_ROWS = 1536
"""Points at which the model is evaluated for the curvature at a scale, beyond two inputs.

Each probe point takes two per input and itself. In one or two inputs, where every point is
drawn, all are taken; in more, as many as this allows, but at least `SCALE_POINTS`.
"""

SCALE_POINTS = 64

MOST_NUMBERS = 1024
"""Of an input, up to which it has a say in which example is central."""

HELD, HELD_SCALE, SLICED = "held_", "held_scale", "sliced_"
"""In front of the names of what is taken with the other inputs held, and on slices."""

ROUNDING_LIMIT = 1e-3
"""Noise allowed in the curvature at the scale, in standard deviations; see `_needs_float64`."""


class ExactMeasurer(Measurer):
    """A model, a probe and all that is measured there."""

    @computing_in("float64")
    def __init__(
        self,
        model: Model,
        probe: Probe,
        *,
        options: Options,
        units: str = "auto",
        scale: Any = "auto",
        reference: Any = None,
        names: Names | None = None,
    ) -> None:
        """Traces the model and settles names, scale, target and reference.

        Args:
            model: a built model.
            probe: where to measure.
            options: output, input, engine, dtype and chunks.
            units: `"raw"`, `"std"`, or `"auto"`.
            scale: as in `scale_curvature`, one scale.
            reference: known second derivatives, like `hessian_diagonal`, or a function
                of `x` that gives them.
            names: of the inputs.
        """
        super().__init__(model, probe, options, units, scale)
        f = self._bound.f
        self.full_hessian = f.inputs.width <= FULL_HESSIAN_INPUTS
        self.choice = self._bound.choice(self._quantities)
        self.names = names_given(names, probe, f) or feature_names(None, None, f.inputs)
        self._scale_bound = self._bound
        if _needs_float64(self._scale / self._spread, self._spacing):
            exactly = bind(model, probe.x, options, in_float64=True)
            self._scale_bound = exactly.as_taken(f.dtype)
        self._scaled = _scaled(probe.size, f.inputs.width)
        z = self.points()
        whole = len(self._scaled) == probe.size
        self._scaled_leaves = self._bound.inputs.leaves if whole else self._gathered(self._scaled)
        self._inside = _inside(z, self._scale, self._scaled)
        self._two_valued = tuple(np.flatnonzero(np.isfinite(self._ends[:, 0])).tolist())
        self._references = ground_truth.references(probe, reference, f)
        self._pairs = segments.pairs(probe.size)
        self._scale_lines = scale_lines(z, self._spread)
        self._centre = slices.central(self._numbers() if f.is_held else [z])
        self._cuts = None if is_grid(self._example_shape) else slices.cuts(z, self._centre)
        self._grid = slices.grid(z) if f.is_held else None

    @property
    def _quantities(self) -> tuple[str, ...]:
        """What is taken at every point."""
        second = (HESSIAN,) if self.full_hessian else ()
        return (VALUE, JACOBIAN, DIAGONAL, *second)

    @property
    def scale(self) -> Array:
        """Half-width of the window of the curvature at the scale, per input."""
        return self._scale

    def method(self) -> tuple[str, ...]:
        """What is measured, how and why, one sentence each."""
        n, d, m = self.probe.size, self.f.inputs.width, self.f.outputs.width
        second = (
            "the whole Hessian"
            if self.full_hessian
            else f"the Hessian's diagonal (the whole one has {d * d} entries per point and "
            f"output, and is taken up to {FULL_HESSIAN_INPUTS} inputs)"
        )
        lines = [
            f"{n} probe points, {d} input(s), {m} output(s): the slope and {second}.",
            f"{method_text.begun(str(self.choice))}; in {xp.name_of(self.f.dtype)}.",
            f"Curvature at the scale: central second differences over h = "
            f"{method_text.few(self._scale)}, in {xp.name_of(self._scale_bound.f.dtype)}, at "
            f"{len(self._scaled)} points, averaged over those whose window lies inside the probe's "
            "range.",
            f"Slope change and hidden fraction: on {len(self._pairs[0])} straight lines between "
            f"probe points, in {segments.PIECES} pieces each.",
            f"Curvature over many distances: second differences in float64 along "
            f"{len(self._scale_lines.start)} of these lines, in standard deviations.",
            f"Units: {method_text.UNITS[self.units]}; numbers per feature in standard deviations.",
        ]
        if self._grid is not None:
            lines.append(
                "Lines and maps are drawn with all other inputs held as at probe point "
                f"{self._centre}."
            )
        if self._still.any():
            names = method_text.some([self.names[i] for i in np.flatnonzero(self._still)])
            lines.append(
                f"The same at all points: {names}. How the model goes on along these no data tell; "
                "in standard deviations they have no weight, and their numbers are 0."
            )
        if self._two_valued:
            names = ", ".join(self.names[i] for i in self._two_valued)
            lines.append(
                f"Two values in the probe have {names}: what changes from one to the other, the "
                "output and the slopes, stands in the place of second derivatives per feature; all "
                "other numbers hold these as of any input."
            )
        return (*lines, *method_text.remarks(self._bound, self._scale_bound))

    def _found(self, *, sliced: bool) -> dict[str, Tensor]:
        rows = self._on_lines.rows_at_once() // segments.rows_of_one(self.f)
        tasks = {
            "points": self._at_points(self._bound.inputs.leaves),
            "lines": self._on_segments(self._directional, segments.PIECES, rows),
            "distances": self._on_scales(),
            "scale": self._at_scale(self._scaled_leaves),
        }
        if self.f.batch is None:
            lines = self._scale_lines
            of_own = not self.full_hessian  # else the Hessians tell
            tasks["digits"] = self._digits_along(lines.start, lines.unit, own=of_own)
        if self._two_valued:
            # Rows cost as much as the Hessian, and are only read beside it.
            tasks["changes"] = self._changes_along(self._two_valued, self.f, rows=self.full_hessian)
        if self._grid is not None:
            leaves = self._gathered([self._centre] * len(self._grid))
            moved = [xp.constant(self._grid)]
            tasks[HELD] = self._at_points(leaves, moved)
            tasks[HELD_SCALE] = self._at_scale(leaves, moved)
        if sliced and self._cuts is not None:
            tasks[SLICED] = self._on_slices(self._cuts)
        found = self._run_all(tasks)
        at_scale = np.full(found["points"][DIAGONAL].shape, np.nan)
        at_scale[self._scaled] = found.pop("scale")["scale"]
        found.get("changes", {}).pop(VALUE, None)
        prefixes = {HELD: HELD, HELD_SCALE: HELD, SLICED: SLICED}
        every = {
            f"{prefixes.get(task, '')}{name}": part
            for task, parts in found.items()
            for name, part in parts.items()
        }
        return every | {"scale": at_scale}

    def _measurement(self, found: dict[str, Array], part: slice, i: int) -> ExactMeasurement:
        value = found[VALUE][:, part]
        measured = ExactMeasurement(
            **self._derivatives(found, part),
            scale=self._scale,
            inside=self._inside,
            scaled_share=len(self._scaled) / self.probe.size,
            segments=segments.segments_of(found, part),
            target=self._targets[i],
            reference=self._references[i],
            feature_names=self.names,
            example_shape=self._example_shape,
            ends=self._ends,
            changes=found[CHANGES][:, part] if CHANGES in found else None,
            change_rows=found[CHANGE_ROWS][:, part] if CHANGE_ROWS in found else None,
            input_spread=self._spread,
            output_spread=self._output_spread(value, i),
            multiscale=self._multiscale(found["scales"][..., part], value[self._scale_lines.start]),
            slices=self._slices(found, part),
            coarse=self._coarse(self.names),
        )
        measured = replace(measured, digits=self._digits(found, part, measured))
        if self._grid is None:
            return measured
        held = replace(
            measured,
            **self._derivatives(found, part, HELD),
            inside=_inside(self._grid, self._scale, np.arange(len(self._grid))),
            scaled_share=1.0,
            target=None,
            reference=None,
            multiscale=None,
            slices=None,
        )
        return replace(measured, held=held)

    def _digits(self, found: dict[str, Array], part: slice, measured: ExactMeasurement) -> float:
        """How many digits are real of the second derivatives along the lines over distances."""
        if "precise" not in found or measured.multiscale is None:
            return float("nan")
        start, unit = self._scale_lines.start, self._scale_lines.unit
        if self.full_hessian:
            own = np.einsum("ni,nmij,nj->nm", unit, found[HESSIAN][start][:, part], unit)
        else:
            own = found["own"][:, part]
        second = digits.Second(own, found["precise"][:, part], xp.eps(self.f.dtype))
        kinked = any(may_kink(place.op_type) for place in self.f.activity.active)
        if kinked and not measured.segments.hidden_fraction() < PARTLY_HIDDEN:
            return second.digits()  # differences see kinks, which these are not to have
        values = found["scales"][:, : len(OFFSETS), part]
        return second.digits(digits.contradicted(second, values, measured.multiscale.noise))

    def _derivatives(self, found: dict[str, Array], part: slice, where: str = "") -> dict[str, Any]:
        """What is known at each point of one of the outputs, by the fields of a measurement."""
        at = {name.removeprefix(where): a for name, a in found.items() if name.startswith(where)}
        return {
            "x": at["z"],
            "value": at[VALUE][:, part],
            "jacobian": at[JACOBIAN][:, part],
            "diagonal": at[DIAGONAL][:, part],
            "hessian": at[HESSIAN][:, part] if self.full_hessian else None,
            "scale_diagonal": at["scale"][:, part],
        }

    def _slices(self, found: dict[str, Array], part: slice) -> Slices | None:
        """One of the outputs along each input in turn, where slices were taken."""
        if self._cuts is None or f"{SLICED}{VALUE}" not in found:
            return None
        shape = (*self._cuts.positions.shape, part.stop - part.start)
        return Slices(
            positions=self._cuts.positions,
            centre=self._cuts.centre,
            **{
                name: found[f"{SLICED}{name}"][:, part].reshape(shape)
                for name in (VALUE, "curvature", "scale_curvature")
            },
        )

    @property
    def _directional(self) -> Engine[Any]:
        """Computes what is taken along lines."""
        return self._bound.engine_for((DIRECTIONAL,))

    def _at_points(self, leaves: Sequence[Tensor], moved: Sequence[Tensor] = ()) -> Task:
        """At the points of `leaves`, or, with other inputs as there, at those that are `moved`."""
        f, names, count = self.f, self._quantities, len(leaves)
        engine = self._bound.engine_for(names)
        examples, directions = self._bound.evaluator.plan(engine, names)

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            z, rest = f.point(tensors[:count])
            z = xp.cast(tensors[-1], z.dtype) if len(tensors) > count else z
            found = engine.compute(f, z, rest, None, names, directions)
            return {"z": z, **found}

        halved_from = self._bound.evaluator.halved_from(engine, names)
        return self._task(compute, [*leaves, *moved], examples, halved_from=halved_from)

    def _at_scale(self, leaves: Sequence[Tensor], moved: Sequence[Tensor] = ()) -> Task:
        bound = self._scale_bound
        f, d, count = bound.f, bound.f.inputs.width, len(leaves)
        examples, windows = chunking.plan(f.rows_at_once(), 2, d)

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            *given, scale = tensors
            z, rest = f.point(given[:count])
            z = xp.cast(given[-1], z.dtype) if len(given) > count else z
            h = xp.repeat(xp.cast(scale, z.dtype)[None, None], xp.lengths(z)[0], axis=0)
            return {"scale": scales.along_axes(f, z, rest, h, windows)[:, :, 0]}

        return self._task(compute, [*leaves, *moved], examples, [self._scale], bound)

    def _numbers(self) -> list[Array]:
        """What the model is given of each example, but for images and the like."""
        leaves = [x for x in self._bound.inputs.leaves if xp.is_floating(x.dtype)]
        narrow = [xp.to_numpy(leaf) for leaf in leaves if np.prod(leaf.shape[1:]) <= MOST_NUMBERS]
        return narrow or [self.points()]

    def _on_slices(self, cuts: slices.Cuts) -> Task:
        bound = self._scale_bound
        f, engine = bound.f, self._directional

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            *leaves, axis, position, scale = tensors
            z, rest = f.point(leaves)
            return slices.along(engine, f, z, rest, axis, position, scale)

        every = [cuts.index] * cuts.positions.size
        tensors = [xp.take(leaf, every) for leaf in bound.inputs.leaves]
        tensors += [xp.constant(cuts.axes), xp.constant(cuts.positions.reshape(-1))]
        size = f.rows_at_once() // (3 * f.outputs.width)
        return self._task(compute, tensors, size, [self._scale], bound)


def _needs_float64(scale: Array, spacing: Array) -> bool:
    """Whether rounding in float32 would show in second differences at this scale.

    The noise of `(f(x + h) - 2 f(x) + f(x - h)) / h**2` is about `4 c eps |f| / h**2`; `c`
    is about 5 for a network of 1024 units (measured), and scale and value are in
    standard deviations here. Places are off by half a spacing of their numbers, and values by as
    much of what they change by over a deviation.
    """
    noise = np.maximum(20 * np.finfo(np.float32).eps, spacing)
    return bool(np.any(noise / scale**2 > ROUNDING_LIMIT))


def _scaled(n: int, d: int) -> NDArray[np.integer]:
    """The points at which the curvature at the scale is taken, the same for every epoch."""
    if d <= 2:
        return np.arange(n)
    count = max(SCALE_POINTS, SCALE_ROWS // (2 * d + 1))
    return np.sort(np.random.default_rng(0).permutation(n)[:count])


def _inside(z: Array, scale: Array, scaled: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether the window of each point is taken and inside the range of the probe, `(n, d)`."""
    first, last = scales.fitting(z, z[scaled], scale)
    taken = np.zeros(len(z), dtype=bool)
    taken[scaled] = True
    return (z >= first) & (z <= last) & taken[:, None]
