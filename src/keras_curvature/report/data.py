"""What was concluded of one output at one step."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_curvature.measurement.change import Change
from keras_curvature.report import terminal
from keras_curvature.report.features import FeatureProfile
from keras_curvature.report.metrics import LOW_DIGITS, Meaning, meaning_of
from keras_curvature.report.plain_data import plain_data
from keras_curvature.report.shape import ShapeEntry
from keras_curvature.report.text import moment, plain, wrapped
from keras_curvature.typing import Array, Units

NOW = -1
"""The step of what was measured at no step of a training."""

HEADLINE, ALL = "headline", "all"
"""Which numbers: those to look at first, with the errors against known ones, or every one."""

SCHEMA_VERSION = 1
"""Of `Report.to_dict`: raised when a key goes or comes to mean something else."""

DEVIATIONS = "σ: standard deviation over the probe, of each input x and of the output y."


@dataclass(frozen=True)
class Verdict:
    """What is going on, in a few short sentences, and the short name of the case."""

    kind: str
    sentence: str

    def __str__(self) -> str:
        """The sentences."""
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
            columns are in the order of `features`. With an input of two values averaged over the
            way between them; NaN for two of these.
        verdict: the sentence.
        method: what was computed, with which engine, on how many points, and why.
        units: of all numbers but those per feature, which are in standard deviations.
        scale_profile: how curved it is over each of many distances, or `None`.
        shape: how well it keeps what was asked of its shape, entry by entry.
        changes: how much the output changes along each input that has two values in the probe.
        example_shape: shape of an example, where it is one array.
        hessians: what is known of each Hessian of several inputs: `"whole"`, `"diagonal"` or
            `"estimates"`.
        profiles: impact, volatility, non-linearity, interaction and archetype of each of several
            inputs, in standard deviations; those of two values, and estimates, have none.
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
    shape: tuple[ShapeEntry, ...] = ()
    changes: Mapping[str, Change] = field(default_factory=dict)
    example_shape: tuple[int, ...] | None = None
    hessians: str = ""
    profiles: Mapping[str, FeatureProfile] = field(default_factory=dict)

    @property
    def scalars(self) -> dict[str, float]:
        """All numbers but the per-feature ones, headline first."""
        shape = {f"shape/{name}": number for name, (number, _) in self.shape_numbers.items()}
        return {**self.headline, **self.reference, **shape, **self.detail}

    @property
    def first(self) -> dict[str, float]:
        """The numbers to look at first: the headline, and `digits` where they are few.

        In `headline` these would come and go, and leave holes in tables with a row for each step.
        """
        few = {name: n for name, n in self.detail.items() if name == "digits" and n < LOW_DIGITS}
        return {**self.headline, **few}

    @property
    def shape_numbers(self) -> dict[str, tuple[float, Meaning]]:
        """The numbers of all entries of `shape`, and what they mean."""
        return {name: pair for entry in self.shape for name, pair in entry.numbers.items()}

    def numbers(self, wanted: str | Collection[str] | None = ALL) -> dict[str, float]:
        """Numbers by their names in a monitor's `history`.

        Args:
            wanted: `"all"`, `"headline"`, `None` for none, or names, with or without the output's.
        """
        per_input = {f"feature/{name}": size for name, size in self.curved.items()}
        per_input |= {f"change/{name}": change.size for name, change in self.changes.items()}
        first = {**self.headline, **self.reference}
        every = first if wanted == HEADLINE else self.scalars | per_input
        between = f"{self.output}_" if self.output else ""
        names = every.keys() if isinstance(wanted, str) else set(wanted or ())
        return {
            f"{between}{name}": value
            for name, value in every.items()
            if name in names or f"{between}{name}" in names
        }

    @property
    def meanings(self) -> dict[str, str]:
        """What each of `scalars` says, in words."""
        shape = {f"shape/{name}": said.sentence for name, (_, said) in self.shape_numbers.items()}
        known = {name: self.meaning(name) for name in self.scalars}
        return {name: said.sentence for name, said in known.items() if said is not None} | shape

    def meaning(self, name: str) -> Meaning | None:
        """What one of `scalars` means here; `None` of those of `shape`."""
        return meaning_of(name, self.hessians)

    def unit(self, name: str) -> str:
        """What one of `scalars` is measured in."""
        said = self.meaning(name)
        return "" if said is None else said.unit_in(self.units)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, which `json.dumps(..., allow_nan=False)` takes.

        Returns:
            A dict of dicts, lists, strings, ints, floats and `None`, which stands for a number that
            is not finite. Its keys, in `schema_version` 1, are `schema_version`; `step`, `output`,
            `units`, `example_shape`, `hessians`, `headline`, `reference`, `detail`, `features`,
            `changes`, `profiles` and `method`, the attributes; `verdict` with `kind` and
            `sentence`; `shape`, a list with `input`, `word`, `fraction`, `worst_violation`, `unit`,
            `point` and `at` of each entry; `interactions`, `None` or `names` with a list of rows
            `values`; `scale_profile`, `None` or its five lists; and `number_units`, the unit of
            each number that has one. Keys may be added; when one goes or comes to mean something
            else, `schema_version` is raised.

        Example:
            >>> verdict = kc.Verdict("linear", "A straight line, as it should be.")
            >>> report = kc.Report(3, "", {"mean": 0.0}, {}, {"max": np.nan}, {}, None, verdict)
            >>> data = report.to_dict()
            >>> data["schema_version"], data["verdict"]["kind"], data["detail"]
            (1, 'linear', {'max': None})
        """
        attributes = dict(vars(self))
        found = attributes.pop("interactions")
        units = {name: self.unit(name) for name in self.scalars}
        more = {
            "interactions": found
            if found is None
            else {"names": [*self.features], "values": found},
            "number_units": {name: unit for name, unit in units.items() if unit},
        }
        data: dict[str, Any] = plain_data({"schema_version": SCHEMA_VERSION} | attributes | more)
        return data

    def __str__(self) -> str:
        """The verdict, then every number and its meaning."""
        return self.text()

    def text(self, heading: str | None = None, numbers: str = ALL) -> str:
        """The verdict, then numbers, each with its unit and its meaning, for a terminal.

        Args:
            heading: the first line. Default: the output and the step.
            numbers: `"all"`, or `"headline"`: those to look at first.

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
        reference = self._lines(self.reference)
        features = terminal.features_of(self.curved)
        blocks = [
            [first, *wrapped(plain(self.verdict.sentence))],
            self._lines(self.first),
            terminal.titled("The shape that was asked for", terminal.bullets(map(str, self.shape))),
            terminal.titled("Against the known second derivatives", reference),
        ]
        if numbers == ALL:
            blocks += [
                terminal.titled("Detail", self._lines(self.detail)),
                terminal.titled(terminal.features_title(self.curved), features),
                terminal.titled(terminal.PROFILES_TITLE, terminal.profiles_of(self.profiles)),
                terminal.titled(terminal.CHANGES_TITLE, terminal.changes_of(self.changes)),
                terminal.titled(
                    terminal.pairs_title(self.pairs, self.changes), terminal.pairs_of(self.pairs)
                ),
                terminal.titled("How it was measured", terminal.bullets(self.method)),
            ]
        elif self.units == "std":
            blocks.append([DEVIATIONS])
        return "\n\n".join("\n".join(block) for block in blocks if block)

    def _lines(self, numbers: Mapping[str, float]) -> list[str]:
        return terminal.numbers_of(numbers, self.units, self.meaning)

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


class Reports(dict[str, Report]):
    """Reports by the name of the output, `""` if there is but one."""

    def __missing__(self, output: str) -> Report:
        """Raises for a name that no output has.

        Raises:
            KeyError: with the names that there are.
        """
        known = f"must be the name of an output, one of {list(self)}"
        if not self:
            known = "names an output: there is none, since nothing has been measured yet"
        raise KeyError(f"`reports[...]` {known}. Received: {output!r}.")

    def numbers(self, wanted: str | Collection[str] | None = ALL) -> dict[str, float]:
        """Numbers of all outputs, see `Report.numbers`."""
        found: dict[str, float] = {}
        for report in self.values():
            found |= report.numbers(wanted)
        return found
