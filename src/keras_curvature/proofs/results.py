"""What a proof has found: shares of the volume, points, and words for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_curvature.proofs.unproved import Unproved
from keras_curvature.report.box_map import BoxMap
from keras_curvature.report.text import ends, formatted, in_full, listed, plain, rounded, wrapped
from keras_curvature.typing import Array, Structure

PROVED, REFUTED, OPEN = "Proved", "Refuted", "Open"

AT_A_POINT = "Refuted at a point"
"""Where a counterexample is known, and no box in which the claim holds nowhere."""

VERDICTS = (PROVED, REFUTED, OPEN)

MEANT = (
    "Of the function that the weights as they are stored define in real numbers; what an "
    "evaluation in float32 rounds is not in it."
)

TOLERANCE_DIGITS = 3
"""Of a tolerance in a sentence; `ClaimProof.tolerance` has all."""

READ, SEEN = 1e-4, 1e-2
"""Shares of its width by which a box is rounded: in a sentence inwards, so that what is proved of
the box is proved of the one that is told, in a picture outwards."""

TOLD = 8
"""Inputs of a point that are told in a sentence."""


@dataclass(frozen=True)
class Counterexample:
    """A point where a claim does not hold.

    Attributes:
        at: the point, by the names of the inputs.
        to: the other end, where the mean along a way is what violates the claim: over a kink.
        lower: no derivative there is below it.
        upper: none is above it.
    """

    at: Mapping[str, float]
    to: Mapping[str, float] | None
    lower: float
    upper: float

    def __str__(self) -> str:
        """Where it is."""
        at = listed([f"{plain(k, 20)} {_precisely(x)}" for k, x in self.at.items()], TOLD)
        if self.to is None:
            return f"at {at}"
        name = next(name for name in self.at if self.at[name] != self.to[name])
        return f"on average from {at} to {plain(name, 20)} {_precisely(self.to[name])}"


@dataclass(frozen=True)
class ClaimProof:
    """What was found of one claim; printed, a paragraph.

    Attributes:
        claim: what is claimed, in words.
        derivative: what decides, in words.
        proved: share of the box's volume where it is proved.
        refuted: share where it is proved not to hold.
        open: share that is neither.
        counterexamples: points where it does not hold, the worst first.
        tolerance: that was allowed.
        needed_tolerance: the smallest with which what is known by now would be a proof. Where the
            claim holds, more time makes it smaller.
        bound: of the derivative, proved for the whole box.
        side: of which side that is, `"at least"` or `"at most"`.
        boxes: that were enclosed.
        seconds: that it took, with its part of what claims have in common and its picture.
        remarks: what follows from it, why a share is open and what would help, a sentence each.
    """

    claim: str
    derivative: str
    proved: float
    refuted: float
    open: float
    counterexamples: tuple[Counterexample, ...]
    tolerance: float
    needed_tolerance: float
    bound: float
    side: str
    boxes: int
    seconds: float
    remarks: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """`"Proved"`, `"Refuted"` or `"Open"`."""
        if self.counterexamples or self.refuted > 0:
            return REFUTED
        return OPEN if self.open > 0 else PROVED

    @property
    def at_a_glance(self) -> str:
        """The verdict, and whether one point is all that refutes it."""
        return AT_A_POINT if self.verdict == REFUTED and not self.refuted else self.verdict

    @property
    def shares(self) -> list[str]:
        """Of the volume, in words."""
        parts = {"proved": self.proved, "refuted": self.refuted, "open": self.open}
        return [f"{share(number)} {word}" for word, number in parts.items() if number]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is to be said, the verdict first."""
        # Proved with less is proved with more, refuted with more is refuted with less.
        up = self.verdict != REFUTED
        tolerance = rounded(self.tolerance, up=up, digits=TOLERANCE_DIGITS)
        allowed = f", with a tolerance of {tolerance}" if self.tolerance else ""
        effort = f"{self.boxes:,} box{'es' * (self.boxes != 1)}, {self.seconds:.1f} s"
        if self.verdict == PROVED:
            first = f"{PROVED}: {self.claim}{allowed}, everywhere in the box ({effort})."
            bound = rounded(self.bound, up=self.side == "at most")
            second = f"The {self.derivative} is {self.side} {bound}."
        else:
            shares = listed(self.shares)
            first = f"{self.verdict}: {self.claim}{allowed}. Of the volume {shares} ({effort})."
            second = ""
        if self.counterexamples:
            worst = self.counterexamples[0]
            middle = (worst.lower + worst.upper) / 2
            value = formatted(middle)
            if self.claim.endswith(f" {value}"):  # it would seem to hold
                value = in_full(middle)
            second = f"The {self.derivative} is {value} {worst}."
        return tuple(said for said in (first, second, *self.remarks) if said)

    def __str__(self) -> str:
        """The verdict, and what is to be said of it."""
        return "\n".join(wrapped(" ".join(self.sentences)))


@dataclass(frozen=True)
class Proof:
    """What was proved of a function over a box; printed, it says so in words.

    Attributes:
        claims: what was found of each, by its name: `"strike_convex"`.
        low: the lower corner of the box by the names of the inputs.
        high: the upper corner.
        maps: what `plot` draws.
        interrupted: whether it was broken off with Ctrl-C.
        setup_seconds: that tracing and reading the model took.
        total_seconds: that all of it took, with that.
    """

    claims: Mapping[str, ClaimProof]
    low: Mapping[str, float]
    high: Mapping[str, float]
    maps: tuple[BoxMap, ...] = field(default=(), repr=False)
    interrupted: bool = False
    setup_seconds: float = 0.0
    total_seconds: float = 0.0
    _unproved: tuple[Unproved, ...] = field(default=(), repr=False)
    _structured: Callable[[Array], Structure] | None = field(default=None, repr=False)

    @property
    def verdict(self) -> str:
        """`"Refuted"` if a claim is, `"Proved"` if all are, else `"Open"`."""
        found = {one.verdict for one in self.claims.values()}
        return next((word for word in (REFUTED, OPEN) if word in found), PROVED)

    @property
    def proved(self) -> dict[str, float]:
        """Share of the volume where each claim is proved."""
        return {name: one.proved for name, one in self.claims.items()}

    @property
    def refuted(self) -> dict[str, float]:
        """Share of the volume where each claim is proved not to hold."""
        return {name: one.refuted for name, one in self.claims.items()}

    @property
    def open(self) -> dict[str, float]:
        """Share of the volume where each claim is neither."""
        return {name: one.open for name, one in self.claims.items()}

    @property
    def counterexamples(self) -> dict[str, tuple[Counterexample, ...]]:
        """Points where a claim does not hold, the worst first."""
        return {name: one.counterexamples for name, one in self.claims.items()}

    @property
    def boxes(self) -> dict[str, int]:
        """How many were enclosed for each claim."""
        return {name: one.boxes for name, one in self.claims.items()}

    @property
    def seconds(self) -> dict[str, float]:
        """How long each claim took, with its part of what claims have in common."""
        return {name: one.seconds for name, one in self.claims.items()}

    @property
    def box(self) -> str:
        """The box in words and few digits, which lies in the one that was searched."""
        return self._box(outwards=False, share=READ)

    def _box(self, *, outwards: bool, share: float) -> str:
        parts = []
        for name, low in self.low.items():
            high, called = self.high[name], plain(name, 20)
            if low == high:
                parts.append(f"{called} {_precisely(low)}")
            else:
                both = ends(low, high, outwards=outwards, share=share)
                parts.append(f"{called} {' to '.join(both)}")
        return listed(parts, TOLD)

    @property
    def _counted(self) -> str:
        """How many claims have which verdict."""
        found = [one.verdict for one in self.claims.values()]
        said = ", ".join(
            f"{word.lower()} {found.count(word)}" for word in VERDICTS if word in found
        )
        return f"{self.verdict}: of {len(found)} claims {said}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is to be said of each claim, in one line."""
        return tuple(" ".join(one.sentences) for one in self.claims.values())

    def __str__(self) -> str:
        """The verdicts, and what they are about."""
        claims = list(self.claims.values())
        took = (
            f"It took {self.total_seconds:.1f} s, {self.setup_seconds:.1f} s of it to trace the "
            "model."
        )
        end = f"Box: {self.box}. {MEANT} {took}"
        end = f"Broken off with Ctrl-C: this is what was known. {end}" if self.interrupted else end
        if len(claims) == 1:
            return "\n".join([str(claims[0]), *wrapped(end)])
        each = [line for said in self.sentences for line in wrapped(said, "- ")]
        return "\n".join([f"{self._counted}.", *each, *wrapped(end)])

    def open_points(self, n: int, *, claims: str | None = None, seed: int = 0) -> Structure:
        """Draws points where claims are open or refuted, evenly by volume.

        `ShapePenalty` takes them as `points`, to train where the proof failed.

        Args:
            n: how many.
            claims: of which claim, by its name. Default: of all, as many of each.
            seed: of what is drawn.

        Returns:
            `(n, *input_shape)`, as the model takes them.

        Raises:
            ValueError: where all is proved, for a claim that there is not, and for `n` below 1.
        """
        if claims is not None and claims not in self.claims:
            raise ValueError(f"`claims` must be one of {list(self.claims)}. Received: {claims!r}.")
        whole: Any = n
        if isinstance(n, bool) or not isinstance(whole, (int, np.integer)) or n < 1:
            raise ValueError(f"`n` must be a number of points, at least 1. Received: {n!r}.")
        known = dict(zip(self.claims, self._unproved, strict=True))
        chosen = [known[name] for name in known if claims in (None, name) and len(known[name])]
        if not chosen or self._structured is None:
            raise ValueError(
                "`open_points` draws where a claim is open or refuted, and all is proved: there is "
                f"no such point. Received: n={n}."
            )
        random = np.random.default_rng(seed)
        parts = []
        for i, part in enumerate(chosen):
            parts.append(part.drawn(n // len(chosen) + (i < n % len(chosen)), random))
        points = np.concatenate(parts)
        return self._structured(random.permutation(points))

    def plot(self, *, theme: str = "light") -> Any:
        """Draws where each claim is proved, refuted and open, and its worst point.

        Along one input the bounds of the derivative, over two their plane; of more inputs a slice
        of the box through the worst point, else through where least is known, else through its
        middle. The title of each says the verdict on the whole box, the shares of its volume, and
        at what the other inputs are held.

        Args:
            theme: of the page it will stand on, `"light"` or `"dark"`, or `"card"`, which suits
                either.

        Returns:
            A `matplotlib.figure.Figure`; a notebook shows it, `figure.savefig(path)` keeps it.
        """
        from keras_curvature import figures

        verdict = self._counted if len(self.claims) > 1 else ""
        box = self._box(outwards=True, share=SEEN)
        return figures.draw_box_maps(self.maps, verdict, f"Box: {box}", theme=theme)


def share(number: float) -> str:
    """A share as per cent, which claims neither all nor nothing where it is not.

    Example:
        >>> [share(number) for number in (0.0, 1e-7, 0.0123, 0.5, 0.4999, 0.99987, 1.0)]
        ['0 %', 'less than 0.001 %', '1.2 %', '50 %', '50.0 %', '99.987 %', '100 %']
    """
    percent = 100 * number
    if 0 < percent < 0.001 or 99.999 < percent < 100:
        return "less than 0.001 %" if percent < 1 else "more than 99.999 %"
    digits = 1 if 1 <= percent <= 99 else 3
    exact = round(percent, digits) == percent
    text = f"{percent:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if exact else text} %"


def _precisely(number: float) -> str:
    """In the fewest digits that are this number and no other, so that it can be typed in again."""
    single = np.float32(number)
    if float(single) == number:  # in which most models take it
        return in_full(float(str(single)))
    return in_full(number)
