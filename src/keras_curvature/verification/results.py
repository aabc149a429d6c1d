"""What a verification checked and found: as data, and as text for a person."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_curvature.engines.quantities import VALUE
from keras_curvature.report.text import listed, plain, wrapped


@dataclass(frozen=True)
class Check:
    """One quantity against differences, at several places.

    A place is an example, an output and, for the Hessian's diagonal, an input.

    Attributes:
        name: of the quantity, as in `keras_curvature.derivatives`.
        engine: which engine computed it; of a claim, what it is: an array, a function or the name
            of a way.
        error: |computed − differences| where it is largest of the places that are wrong, or else
            worst against what is allowed there; relative to the largest size of the quantity at
            any place, or, where nothing is seen of it, to a hundredth of the steepest slope.
        allowed: what is allowed at that place, relative to the same: the tolerance, which counts
            by no less than a hundredth of the steepest slope and, of a sum, by its terms, and what
            differences cannot tell.
        where: that place.
        places: how many were looked at.
        judged: how many of them differences can judge.
        at_kinks: how many they cannot, because they change with the step: a kink, a jump or a
            pole lies within reach, or the function bends sharply on the scale of the steps.
        wrong: how many of the judged ones are off by more than is allowed there.
    """

    name: str
    engine: str
    error: float
    allowed: float
    where: str
    places: int
    judged: int
    at_kinks: int
    wrong: int

    @property
    def ok(self) -> bool:
        """Whether some place could be judged, and none of those was wrong."""
        return self.judged > 0 and self.wrong == 0

    @property
    def drowned(self) -> int:
        """How many places could not be judged because rounding drowns the differences."""
        return self.places - self.judged - self.at_kinks


@dataclass(frozen=True)
class Verification:
    """What `keras_curvature.verify` found; `print` it.

    Attributes:
        model: the model's name.
        checks: one per quantity.
        method: what was compared with what, one sentence each.
        tolerance: what is allowed where differences are exact.
        because: why so much.
        left_out: quantities that were not checked, and why, one sentence each.
        causes: if something is wrong, what is known of the reason, one sentence each.
        digits: of claims, how many digits of the function's values are not rounding; else `None`.
        examples: how many were looked at.
        total: how many were given.

    Example:
        >>> check = Check("laplacian", "taylor", 3e-8, 1e-3, "example 0", 8, 8, 0, 0)
        >>> print(Verification("net", (check,), (), 1e-3, "float32", (), ()))
        Verification of net: right for this model, as far as differences can tell
        <BLANKLINE>
        quantity   engine  error  allowed  judged
        laplacian  taylor  3e-08    0.001  8 of 8
        <BLANKLINE>
        Errors are relative to the largest size of each quantity; where that is 0, to 1 % of the
        steepest slope. Allowed are 0.001 (float32), of no less than that 1 % and of the terms of a
        sum, and the doubt of the differences themselves.
    """

    model: str
    checks: tuple[Check, ...]
    method: tuple[str, ...]
    tolerance: float
    because: str
    left_out: tuple[str, ...]
    causes: tuple[str, ...]
    digits: float | None = None
    examples: int = 0
    total: int = 0

    @property
    def ok(self) -> bool:
        """Whether differences could judge every quantity somewhere, and found nothing wrong.

        Quantities that were left out do not count.
        """
        return bool(self.checks) and all(check.ok for check in self.checks)

    @property
    def wrong(self) -> tuple[Check, ...]:
        """The quantities that are wrong somewhere."""
        return tuple(check for check in self.checks if check.wrong)

    @property
    def complete(self) -> bool:
        """Whether every quantity was checked, and differences could judge it somewhere."""
        return bool(self.checks) and not (self.left_out or self._not_judged)

    @property
    def _not_judged(self) -> list[str]:
        return [self._called(check) for check in self.checks if not check.judged]

    def _called(self, check: Check) -> str:
        """A quantity, and which claim of it: there may be several."""
        return check.name if self.digits is None else f"{check.name} by {check.engine}"

    @property
    def headline(self) -> str:
        """The verdict on one line."""
        judged = [self._called(c) for c in self.checks if c.judged and c.name != VALUE]
        if self.wrong:
            wrong = [self._called(check) for check in self.wrong]
            verdict = f"WRONG in {', '.join(wrong) if self.digits is None else listed(wrong)}"
        elif not self.checks and self.digits is not None:
            verdict = "nothing was checked"
        elif not judged:
            verdict = "not judged: differences can tell nothing here"
        elif self._not_judged:
            verdict = f"right in {', '.join(judged)}; not judged: {', '.join(self._not_judged)}"
        else:
            verdict = "right for this model, as far as differences can tell"
        if judged and self.examples < self.total:
            verdict += f", at the {self.examples} of {self.total} examples that were looked at"
        return f"Verification of {plain(self.model, 40)}: {verdict}"

    def __str__(self) -> str:
        blocks = [
            wrapped(self.headline),
            _table(self.checks, "engine" if self.digits is None else "claim")
            if self.checks or self.digits is None
            else [],
            [line for check in self.wrong for line in _worst(self._called(check), check)],
            [line for cause in self.causes for line in wrapped(plain(cause), "- ")],
            self._notes(),
            [line for sentence in self.method for line in wrapped(plain(sentence), "- ")],
        ]
        return "\n\n".join("\n".join(block) for block in blocks if block)

    @property
    def unjudged(self) -> tuple[str, ...]:
        """What could not be judged and why, one sentence each."""
        sentences = []
        kinked = [check for check in self.checks if check.at_kinks]
        if kinked:
            worst = max(kinked, key=lambda check: check.at_kinks / check.places)
            sentences.append(
                f"Not judged, at most: {worst.at_kinks} of {worst.places} places of {worst.name}, "
                "where differences change with every step and so are not the derivative: a kink, "
                "a jump or a pole lies within their reach, or the function bends on a far shorter "
                "length than the inputs vary."
            )
        drowned = [self._called(check) for check in self.checks if check.drowned]
        if drowned:
            sentences.append(
                "Rounding in the model's values, or bends over less than a millionth of what the "
                f"inputs vary, drown differences at some places of {', '.join(drowned)}."
            )
        return (*sentences, *self.left_out)

    def _notes(self) -> list[str]:
        allowed = (
            "Errors are relative to the largest size of each quantity; where that is 0, to 1 % of "
            f"the steepest slope. Allowed are {self.tolerance:.2g} ({self.because}), of no less "
            "than that 1 % and of the terms of a sum, and the doubt of the differences themselves."
        )
        notes = (
            self.unjudged
            if self.digits is not None and not self.checks
            else (allowed, *self.unjudged)
        )
        return [line for note in notes for line in wrapped(plain(note))]


class WrongDerivativeError(ArithmeticError):
    """A derivative is not that of the model's values.

    Attributes:
        verification: what was checked and found.
    """

    def __init__(self, verification: Verification) -> None:
        self.verification = verification
        worst = [line for check in verification.wrong for line in _worst(check.name, check)]
        super().__init__(" ".join([f"{verification.headline}.", *worst, *verification.causes]))


def _table(checks: tuple[Check, ...], by: str) -> list[str]:
    rows = [("quantity", by, "error", "allowed", "judged")]
    for check in checks:
        numbers = (f"{check.error:.1g}", f"{check.allowed:.1g}") if check.judged else ("–", "–")
        mark = "  WRONG" if check.wrong else ""
        judged = f"{check.judged} of {check.places}{mark}"
        rows.append((check.name, check.engine, *numbers, judged))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return [
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {e}"
        for a, b, c, d, e in rows
    ]


def _worst(name: str, check: Check) -> list[str]:
    known = math.isfinite(check.error)
    off = f"by {check.error:.2g} of its size" if known else "it is NaN or infinite there"
    return wrapped(
        plain(
            f"{name} is off at {check.wrong} of {check.judged} places, most at "
            f"{check.where}: {off}."
        )
    )
