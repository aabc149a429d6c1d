"""Cuts a box into smaller ones until a claim is proved or refuted in each of them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keras_curvature.enclosures.planes import Planes, share_above
from keras_curvature.enclosures.planes import joined as joined_planes
from keras_curvature.proofs.boxes import Boxes, Waiting, cut, joined, largest, undivided
from keras_curvature.proofs.margins import Margins
from keras_curvature.proofs.sampling import Sample, sampled
from keras_curvature.proofs.violations import Violation, Violations
from keras_curvature.typing import Array

LEAST, MOST = 256, 8192
"""Boxes that a core is given at a time: fewer would spend their time in Python, more would keep the
others waiting. The encloser divides them again as its cache allows."""

BATCH_SECONDS = 0.25
"""What a batch should take: after it the clock is looked at, and Ctrl-C is obeyed."""

TOGETHER = 32
"""Boxes up to which halves are cut again at once: so many take hardly longer than one."""

FEWEST = 16
"""Boxes of a batch, however little time is left: Python's share of it is no less for fewer."""

LOOKED_AT = 5
"""Cuts after which it is looked at again which input's width is to blame for the bounds.

That takes an enclosure for each input and one more, and a box has 32 descendants then.
"""

ENOUGH = 1e-3
"""Share of the volume that may stay open once a claim is refuted: along the border of where it
is violated boxes stay open however small they are."""

FINEST = 2.0**-40
"""Width, relative to the first box, below which none is cut: rounding is as wide."""

SHORT = 2.0**-6
"""Share of the box's width over which a change of slope the wrong way refutes a box with kinks.

A kink itself has no volume; over a longer way little of a box may be to blame.
"""

ROUNDED = 0.25
"""Share of a box's bounds that those of its middle alone may be as wide as: rounding is as wide, as
of a second derivative that is 0 everywhere, and no smaller box is decided; a tolerance does it."""

TRIED = 32
"""Boxes of a batch in whose middles a violation is looked for."""

KEPT = 100_000
"""Boxes that a result keeps of each kind, the largest of them."""


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes:
        proved: share of the volume where the claim holds.
        refuted: share where it holds nowhere.
        open: share that is neither.
        least: no margin in the box is below it.
        boxes: that were enclosed.
        violations: points where it does not hold, the worst first.
        proved_boxes: those of the share that is proved, if they were to be kept.
        refuted_boxes: those of the share that is refuted.
        open_boxes: those of the share that is open.
    """

    proved: float
    refuted: float
    open: float
    least: float
    boxes: int
    violations: tuple[Violation, ...]
    proved_boxes: Boxes
    refuted_boxes: Boxes
    open_boxes: Boxes


class Search:
    """One claim in one box."""

    def __init__(
        self,
        margins: Margins,
        low: Array,
        high: Array,
        tolerance: float,
        pool: ThreadPoolExecutor,
        *,
        keeps: bool = False,
    ) -> None:
        """Nothing is cut yet.

        Args:
            margins: by how much the claim holds.
            low: lower corner of the box, `(d,)`.
            high: upper corner; nothing is cut along an input where it is the same.
            tolerance: that a margin may be below 0.
            pool: of threads: NumPy lets others run while it computes.
            keeps: whether boxes that are proved are kept, for a picture, and none is decided in
                parts, which it would not show.
        """
        self._margins, self._tolerance, self._pool, self._keeps = margins, tolerance, pool, keeps
        self._width = high - low
        self._divides = not keeps and margins.has_planes
        self._violations = Violations(margins, low, high, tolerance)
        unknown = np.full((1, len(low)), np.nan)
        known = margins.inside(low[None], high[None])
        self._first = undivided(low[None], high[None], *known, unknown, np.zeros(1, np.int64))
        self._none = self._first.of(slice(0))
        self._proved, self._refuted = Kept(self._none, keeps), Kept(self._none, True)
        self._finest = Kept(self._none, True)
        self._enclosed, self._size = 0, LEAST
        self._speed = math.inf
        self._waiting = Waiting(self._none)
        self._waiting.add(self._decided(self._first))
        claim = margins.claim
        along_one = claim.order == 2 and not claim.joint
        self._violations.kinked = along_one and bool(np.isneginf(self._first.lower[0]))

    def sample(
        self, known: Sample | None = None, deadline: float = math.inf
    ) -> tuple[Violation, ...]:
        """Looks for violations at points; the worst first.

        Args:
            known: what is known at points already. Default: it is found out.
            deadline: by `time.monotonic`, after which nothing is looked at closer.
        """
        margins = self._margins
        if known is None:
            low, high = self._first.low[0], self._first.high[0]
            known = sampled(margins.enclose, low, high, [margins.quantity], self._pool)
        bounds = margins.of(known.bounds[margins.quantity])
        self._violations.sample(known.points, bounds, deadline)
        return self._violations.worst()

    def know(self, violation: Violation) -> None:
        """Takes a violation in this box that was found elsewhere, in place of a sample."""
        self._violations.know(violation)

    def to_blame(self) -> Array:
        """How much the width of each input adds to the bounds over the whole box, `(d,)`."""
        blame = self._looked_at(self._first)[0][0]
        return np.where(np.isnan(blame), 0, blame)

    @property
    def done(self) -> bool:
        """Whether nothing is left to be decided, or so little that it is enough."""
        left = 1 - sum(self._shares)
        return not len(self._waiting) or (self._violations.any and left <= ENOUGH)

    @property
    def _shares(self) -> tuple[float, float]:
        """Proved and refuted by now."""
        waiting = self._waiting
        return self._proved.share + waiting.proved, self._refuted.share + waiting.refuted

    def run(
        self, deadline: float, watch: Callable[[float, float], object] = lambda *shares: None
    ) -> None:
        """Cuts until all is decided or time is up; another call goes on from there.

        Args:
            deadline: by `time.monotonic`.
            watch: is told the shares proved and refuted after each batch.

        Raises:
            KeyboardInterrupt: for Ctrl-C; all that was decided before is kept.
        """
        while not self.done and (begin := time.monotonic()) < deadline:
            taken, before = self._fitting(deadline - begin), self._enclosed
            try:
                undecided = self._divided(taken)
            except BaseException:
                self._waiting.add(taken)
                raise
            self._waiting.add(undecided)
            watch(*self._shares)
            spent = time.monotonic() - begin
            self._speed = (self._enclosed - before) / spent if spent > 0 else math.inf
            if spent < BATCH_SECONDS / 2 and len(taken) == self._size:
                self._size *= 2
            elif spent > 2 * BATCH_SECONDS and self._size > LEAST:
                self._size //= 2

    def _fitting(self, seconds: float) -> Boxes:
        """The next batch: as many boxes as can be enclosed in the time that is left."""
        taken = self._waiting.take(self._size)
        active = int(np.sum(self._width > 0))
        each = 2 + (taken.cuts % LOOKED_AT == 0) * (active * (active > 1) + 1)  # see `_looked_at`
        fit = int(np.sum(np.cumsum(each) <= self._speed * seconds))
        most = max(FEWEST, fit)
        if len(taken) > most:
            self._waiting.add(taken.of(slice(most, None)))
        return taken.of(slice(most))

    def _divided(self, boxes: Boxes) -> Boxes:
        """Cuts boxes in halves, and gives those that are not decided."""
        suspect = boxes.of(np.argsort(boxes.lower)[:TRIED])
        self._violations.look(suspect.middle)
        blame, fine = self._looked_at(boxes)
        boxes = replace(boxes, blame=blame)
        along = self._cut_along(boxes)
        fine |= (boxes.high - boxes.low)[np.arange(len(boxes)), along] <= FINEST * self._width[
            along
        ]
        halves = cut(boxes.of(~fine), along[~fine])
        while 0 < len(halves) < TOGETHER and (halves.cuts % LOOKED_AT).all():
            halves = cut(halves, self._cut_along(halves))
        undecided = self._decided(halves)
        self._finest.add(boxes.of(fine))
        return undecided

    def _decided(self, boxes: Boxes) -> Boxes:
        """Decides of boxes what can be decided, and gives the others."""
        if not len(boxes):
            return boxes
        lower, upper, planes = self._inside(boxes.low, boxes.high, planes=self._divides)
        self._enclosed += len(boxes)
        # What holds for a box holds for its halves.
        lower, upper = np.maximum(lower, boxes.lower), np.minimum(upper, boxes.upper)
        boxes = replace(boxes, lower=lower, upper=upper)
        holds, fails = lower >= -self._tolerance, upper < -self._tolerance
        if self._violations.kinked:
            fails |= self._fails_across(boxes, ~holds & ~fails)
        rest = ~holds & ~fails
        undecided = boxes.of(rest)
        if planes is not None:
            undecided = self._with_parts(undecided, planes.of(rest))
        self._proved.add(boxes.of(holds))
        self._refuted.add(boxes.of(fails))
        return undecided

    def _with_parts(self, boxes: Boxes, planes: Planes) -> Boxes:
        """How much of boxes is on either side of where the margin changes its sign."""
        lower, upper = planes.lower + self._tolerance, planes.upper + self._tolerance
        return replace(
            boxes,
            proved=share_above(planes.slopes, lower),
            refuted=share_above(-planes.slopes, -upper),
            plane=np.concatenate([planes.slopes, planes.lower[:, None]], axis=1),
        )

    def _inside(
        self, low: Array, high: Array, *, planes: bool = False
    ) -> tuple[Array, Array, Planes | None]:
        """The margins' bounds, on all cores."""
        cores = os.cpu_count() or 1
        size = min(max(LEAST, -(-len(low) // cores)), MOST)
        if len(low) <= size:
            return self._margins.inside_with_planes(low, high, planes)
        parts = [(low[i : i + size], high[i : i + size], planes) for i in range(0, len(low), size)]
        found = self._pool.map(lambda part: self._margins.inside_with_planes(*part), parts)
        lower, upper, each = zip(*found, strict=True)
        known = [one for one in each if one is not None]
        whole = joined_planes(known) if len(known) == len(each) else None
        return np.concatenate(lower), np.concatenate(upper), whole

    def _fails_across(self, boxes: Boxes, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where the slope changes the wrong way on every line through the box, over a short way."""
        fails = np.zeros(len(boxes), bool)
        (i,) = self._margins.claim.inputs
        rows = rows & (boxes.high[:, i] - boxes.low[:, i] <= SHORT * self._width[i])
        if rows.any():
            some = boxes.of(rows)
            _, upper = self._margins.between(some.low, some.high)
            fails[rows] = upper < -self._tolerance
        return fails

    def _looked_at(self, boxes: Boxes) -> tuple[Array, NDArray[np.bool_]]:
        """Looks at some from near, with each input held at its middle, and with all of them.

        Returns:
            How much narrower the bounds are with each input held, `(n, d)`, and where nothing but
            rounding makes them wide.
        """
        blame, rounded = boxes.blame.copy(), np.zeros(len(boxes), bool)
        active = np.flatnonzero(self._width > 0)
        rows = np.flatnonzero(boxes.cuts % LOOKED_AT == 0)
        if not len(rows):
            return blame, rounded
        some, alone = boxes.of(rows), len(active) > 1
        held = [[i] for i in active] * alone + [active.tolist()]
        low, high = (np.repeat(part[None], len(held), axis=0) for part in (some.low, some.high))
        for k, inputs in enumerate(held):
            low[k][:, inputs] = high[k][:, inputs] = some.middle[:, inputs]
        d = low.shape[-1]
        lower, upper, _ = self._inside(low.reshape(-1, d), high.reshape(-1, d))
        self._enclosed += lower.size
        with np.errstate(invalid="ignore"):
            widths = (upper - lower).reshape(len(held), -1)
            whole = some.upper - some.lower
            blame[np.ix_(rows, active[: len(held) - 1])] = (whole - widths[:-1]).T
            rounded[rows] = np.isfinite(widths[-1]) & (widths[-1] >= ROUNDED * whole)
        return blame, rounded

    def _cut_along(self, boxes: Boxes) -> NDArray[np.integer]:
        """The input that is most to blame; where none is, the one that is widest."""
        share = np.divide(
            boxes.high - boxes.low, self._width, where=self._width > 0,
            out=np.zeros_like(boxes.low),
        )  # fmt: skip
        blame = np.where(np.isnan(boxes.blame) | (share == 0), 0, boxes.blame)
        unclear = ~(blame.max(axis=1) > 0) if len(boxes) else np.zeros(0, bool)
        blame[unclear] = share[unclear]
        return blame.argmax(axis=1)

    @property
    def found(self) -> Found:
        """What is known by now."""
        undecided = joined([*self._waiting.parts(), self._finest.boxes])
        refuted = self._refuted.share + float((undecided.volume * undecided.refuted).sum())
        is_open = bool(len(undecided))
        part = float((undecided.volume * undecided.proved).sum())
        proved = self._proved.share + part if is_open else 1 - refuted
        least = [self._proved.least, self._refuted.least, self._finest.least]
        return Found(
            proved=proved,
            refuted=refuted,
            open=max(0.0, 1 - proved - refuted) if is_open else 0.0,
            least=float(min([*least, undecided.lower.min(initial=np.inf)])),
            boxes=self._enclosed,
            violations=self._violations.worst(),
            proved_boxes=self._proved.boxes,
            refuted_boxes=self._refuted.boxes,
            open_boxes=largest(undecided, KEPT),
        )


class Kept:
    """Boxes of a kind: their share of the volume, and the largest of them."""

    def __init__(self, none: Boxes, keeps: bool) -> None:
        """There are none, of which `none` are so many; whether those to come are kept."""
        self._keeps, self._parts, self._count = keeps, [none], 0
        self.share, self.least = 0.0, np.inf

    @property
    def boxes(self) -> Boxes:
        """Those that were kept."""
        return joined(self._parts)

    def add(self, boxes: Boxes) -> None:
        """Some more."""
        if not len(boxes):
            return
        self.share += float(boxes.volume.sum())
        self.least = min(self.least, float(boxes.lower.min()))
        if not self._keeps:
            return
        self._parts.append(boxes)
        self._count += len(boxes)
        if self._count > 2 * KEPT:
            self._parts, self._count = [largest(self.boxes, KEPT)], KEPT
