"""Why a derivative is off: what would have been right, and which rule is to blame."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from keras_curvature.diagnosis.activations import named
from keras_curvature.diagnosis.agreement import altering
from keras_curvature.diagnosis.subject import Subject
from keras_curvature.engines import quantities
from keras_curvature.engines.api import (
    ENGINES,
    NotDifferentiableError,
    Options,
    bind,
    needs_float64,
    registry,
)
from keras_curvature.verification import answers
from keras_curvature.verification.judging import judged, tolerance_of
from keras_curvature.verification.results import Check
from keras_curvature.verification.truth import Lines, Truth

RULES_LEFT_OUT = 40
"""Rules that are left out one after the other to see which one is wrong."""


def of(
    s: Subject,
    lines: Lines,
    wrong: Sequence[Check],
    truth: Mapping[str, Truth],
    rounding: float,
) -> tuple[str, ...]:
    """What is known of the reason, one sentence each."""
    if not wrong:
        return ()
    if wrong[0].name == quantities.VALUE:
        return (
            "The graph that is differentiated gives other values than another trace of the model: "
            "the model is not the same function twice, or an op of it is mended wrongly.",
        )
    places = altering(s)
    if places:
        return (
            f"A stopped, rounded or hand-written gradient ({named(places)}) stands in for that of "
            "the values: if that is on purpose, the derivative is right as it was asked for.",
        )
    if s.bound.f.batch is not None:
        return ()  # fewer examples could not be tried again
    trials = _Trials(s, lines, tuple(check.name for check in wrong), truth, rounding)
    return tuple(_told(s, trials, wrong))


def _told(s: Subject, trials: _Trials, wrong: Sequence[Check]) -> Iterator[str]:
    options = s.options
    in_float64 = dataclasses.replace(options, dtype="float64")
    if options.dtype != "float64" and trials.passes(in_float64):
        yield 'In float64 it is right: what is off is rounding. Pass dtype="float64".'
        return
    used = {check.engine for check in wrong}
    right = [
        name
        for name in ENGINES
        if name not in used and trials.passes(dataclasses.replace(in_float64, engine=name))
    ]
    if right:
        yield f"Right is, in float64: {', '.join(f'engine={name!r}' for name in right)}."
    if "taylor" in used:
        taylor = dataclasses.replace(in_float64, engine="taylor")
        for op_type in _op_types(s):
            with registry.without(op_type):
                blamed = trials.passes(taylor)
            if blamed:
                places = [place for place in s.bound.f.activity.active if place.op_type == op_type]
                yield (
                    f"Without the rule for {op_type!r} it is right: that rule is wrong "
                    f"({named(places)}). Call kc.taylor.deregister({op_type!r}) until it is mended."
                )
                return
    if not right:
        yield "No engine agrees with the differences. Please report this model."


def _op_types(s: Subject) -> list[str]:
    """Types of op on the way that have a rule, in order."""
    types = dict.fromkeys(place.op_type for place in s.bound.f.activity.active)
    return [op_type for op_type in types if registry.is_registered(op_type)][:RULES_LEFT_OUT]


@dataclasses.dataclass(frozen=True, eq=False)
class _Trials:
    """The same check under other circumstances."""

    s: Subject
    lines: Lines
    names: tuple[str, ...]
    truth: Mapping[str, Truth]
    rounding: float

    def passes(self, options: Options) -> bool:
        """Whether everything that was wrong is right with these options, compiled anew."""
        s = self.s
        x = s.bound.inputs.packed(s.leaves)
        inside = needs_float64(options.engine)
        bound = answers.afresh(bind(s.model, x, options, in_float64=inside))
        tolerance = tolerance_of(bound, self.rounding)
        try:
            return all(
                judged(
                    s,
                    self.lines,
                    name,
                    answers.answer(s, self.lines, bound, options, name),
                    self.truth[name],
                    tolerance,
                ).ok
                for name in self.names
            )
        except NotDifferentiableError:
            return False
