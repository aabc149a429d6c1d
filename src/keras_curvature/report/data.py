"""What was concluded of one output at one step."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from keras_curvature.measurement.change import Change
from keras_curvature.report import terminal
from keras_curvature.report.metrics import MEANINGS
from keras_curvature.report.text import moment, plain, wrapped
from keras_curvature.typing import Array, Units

NOW = -1
"""The step of what was measured at no step of a training."""


@dataclass(frozen=True)
class Verdict:
    """What is going on, in one sentence, and the short name of the case."""

    kind: str
    sentence: str

    def __str__(self) -> str:
        """The sentence."""
        return self.sentence


@dataclass(frozen=True)
class ScaleProfile:
    """How curved a function is over each of many distances, in standard deviations.

    Attributes:
        distances: half-widths of the windows, longest first, shape `(scales,)`.
        mean: mean curvature along lines between probe points, at each distance.
        rms: root mean square of it.
        rounding: what rounding in float64, in which it is taken, adds to the root mean square.
        single_rounding: what it would add in the dtype in which derivatives are taken.
    """

    distances: Array
    mean: Array
    rms: Array
    rounding: Array
    single_rounding: Array


@dataclass(frozen=True)
class Report:
    """The named numbers of one output at one step; printed, a page of text.

    Attributes:
        step: 0 is the untrained model, `e + 1` the end of Keras's epoch `e`, -1 no step of a
            training.
        output: the output's name in a model of several outputs, else `""`.
        headline: the few numbers to look at first.
        reference: how far the measured second derivatives are from the known ones.
        detail: the other scalars.
        features: mean |second derivative| along each input, in standard deviations; NaN along one
            that has two values in the probe.
        interactions: mean |Hessian| in standard deviations, shape `(d, d)`, or `None`; its rows and
            columns are in the order of `features`. With an input of two values over the way from
            one to the other; NaN for two of these.
        verdict: the sentence.
        method: what was computed, with which engine, on how many points, and why.
        units: of all numbers but those per feature, which are in standard deviations.
        scale_profile: how curved it is over each of many distances, or `None`.
        changes: how much the output changes along each input that has two values in the probe.
        shape: of an example, where it is one array.
    """

    step: int
    output: str
    headline: Mapping[str, float]
    reference: Mapping[str, float]
    detail: Mapping[str, float]
    features: Mapping[str, float]
    interactions: Array | None
    verdict: Verdict
    method: tuple[str, ...] = ()
    units: Units = "raw"
    scale_profile: ScaleProfile | None = None
    changes: Mapping[str, Change] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None

    @property
    def scalars(self) -> dict[str, float]:
        """All numbers but the per-feature ones, headline first."""
        return {**self.headline, **self.reference, **self.detail}

    @property
    def meanings(self) -> dict[str, str]:
        """What each of `scalars` says, in words."""
        return {name: MEANINGS[name].sentence for name in self.scalars if name in MEANINGS}

    def __str__(self) -> str:
        """The verdict, then every number and its meaning."""
        return self.text()

    def text(self, heading: str | None = None) -> str:
        """The verdict, then every number and its meaning, for a terminal.

        Args:
            heading: the first line. Default: the output and the step.

        Returns:
            Lines of at most 88 columns, without a newline at the end.

        Example:
            >>> verdict = kc.Verdict("linear", "A straight line, as it should be.")
            >>> report = kc.Report(3, "", {"mean": 0.0}, {}, {"seconds": 0.12}, {}, None, verdict)
            >>> print(report)
            Curvature, epoch 3
            A straight line, as it should be.
            <BLANKLINE>
            mean  0  y/x²  bends up (above 0) or down (below 0) on average
            <BLANKLINE>
            Detail
            seconds  0.12  s  what this measurement took
        """
        name = f" of {plain(self.output, 40)!r}" if self.output else ""
        first = plain(heading or f"Curvature{name}, {moment(self.step)}")
        reference = terminal.numbers_of(self.reference, self.units)
        features = terminal.features_of(self.curved)
        blocks = [
            [first, *wrapped(plain(self.verdict.sentence))],
            terminal.numbers_of(self.headline, self.units),
            terminal.titled("Against the known second derivatives", reference),
            terminal.titled("Detail", terminal.numbers_of(self.detail, self.units)),
            terminal.titled(terminal.features_title(self.curved), features),
            terminal.titled(terminal.CHANGES_TITLE, terminal.changes_of(self.changes)),
            terminal.titled(terminal.PAIRS_TITLE, terminal.pairs_of(self.pairs)),
            terminal.titled("How it was measured", terminal.bullets(self.method)),
        ]
        return "\n\n".join("\n".join(block) for block in blocks if block)

    @property
    def curved(self) -> dict[str, float]:
        """`features` without the inputs that have two values in the probe."""
        return {name: size for name, size in self.features.items() if name not in self.changes}

    @property
    def pairs(self) -> dict[tuple[str, str], float]:
        """The interactions by the names of two inputs, each pair once; empty where unknown."""
        if self.interactions is None:
            return {}
        return {
            (first, second): float(self.interactions[i, j])
            for (i, first), (j, second) in itertools.combinations(enumerate(self.features), 2)
            if not {first, second} <= self.changes.keys()
        }
