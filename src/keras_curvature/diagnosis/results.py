"""What a diagnosis found: as data, and as text for a person."""

from __future__ import annotations

from dataclasses import dataclass

from keras_curvature.report.text import plain, wrapped

KINDS = (
    "no derivative",
    "disconnected",
    "stopped",
    "random",
    "coupled examples",
    "not finite",
    "piecewise linear",
    "partly hidden",
    "dead units",
    "flat",
    "saturated",
    "saturated units",
    "constant",
    "underflow",
    "linear",
    "partly linear",
    "altered gradient",
    "suspect",
    "scale below rounding",
    "constant input",
    "below float64",
)
"""Kinds of findings that a diagnosis can have without asking the backend for its own answer."""


@dataclass(frozen=True)
class Finding:
    """One thing that stands between a second derivative and its reader.

    Attributes:
        kind: the short name of the case, as in `Verdict.kind` where both know it.
        where: the parts of the model that it is about, in words; may be empty.
        layers: the names of their layers.
        found: what was seen, with its size.
        meaning: what that means for the derivatives.
        advice: what to do.
        size: the number in `found` that says how much, from 0 on; its unit is told there.
    """

    kind: str
    where: str
    layers: tuple[str, ...]
    found: str
    meaning: str
    advice: str
    size: float

    @property
    def title(self) -> str:
        """The kind and the place, on one line."""
        name = f"{self.kind[0].upper()}{self.kind[1:]}"
        return f"{name}: {self.where}" if self.where else name


@dataclass(frozen=True)
class Diagnosis:
    """What `keras_curvature.diagnose` found in a model; `print` it.

    Attributes:
        model: the model's name.
        findings: what was found, the gravest first; empty for a healthy model.
        checks: what was looked at, and how, one sentence each.

    Example:
        >>> print(Diagnosis("net", (), ("The graph of 3 ops.",)))
        Diagnosis of net: no findings
        What autodiff says are the derivatives of this model. Whether they are those of the data
        too, a fit of values does not say.
        <BLANKLINE>
        How it was looked at
        - The graph of 3 ops.
    """

    model: str
    findings: tuple[Finding, ...]
    checks: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the findings, in their order."""
        return tuple(finding.kind for finding in self.findings)

    @property
    def headline(self) -> str:
        """How many findings there are, on one line."""
        count = len(self.findings)
        found = "no findings" if not count else "1 finding" if count == 1 else f"{count} findings"
        return f"Diagnosis of {plain(self.model, 40)}: {found}"

    @property
    def opening(self) -> str:
        """What to think if nothing else is read."""
        if self.healthy:
            return (
                "What autodiff says are the derivatives of this model. Whether they are those of "
                "the data too, a fit of values does not say."
            )
        return "What a second derivative of this model is worth, and what to do about it."

    def __str__(self) -> str:
        blocks = [[self.headline, *wrapped(self.opening)]]
        for number, finding in enumerate(self.findings, 1):
            lines = wrapped(plain(finding.title), f"{number}. ")
            for name, text in (
                ("found", finding.found),
                ("means", finding.meaning),
                ("do", finding.advice),
            ):
                lines += wrapped(plain(text), f"   {name:<5}  ")
            blocks.append(lines)
        checks = [line for check in self.checks for line in wrapped(plain(check), "- ")]
        blocks.append(["How it was looked at", *checks])
        return "\n\n".join("\n".join(block) for block in blocks)
