"""Outputs that no derivative reaches, as the graph shows before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from keras_curvature.diagnosis.activations import layers_of, named
from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Subject
from keras_curvature.engines.api import Dependence, NotDifferentiableError, Place
from keras_curvature.engines.backend import backend_second_derivative, dependence_by_input
from keras_curvature.report.text import listed


def no_derivative(error: NotDifferentiableError) -> Finding:
    """A model for which every function of this library raises."""
    return Finding(
        kind="no derivative",
        where=named(error.places),
        layers=layers_of(error.places),
        found=str(error),
        meaning="No derivative of this output exists for autodiff, and none is made up here.",
        advice="Differentiate what comes before that op (`output=`) or by what comes behind it "
        "(`wrt=`), or replace the op by one that changes smoothly.",
        size=1.0,
    )


def dependence(s: Subject) -> list[Finding]:
    """Outputs and inputs that are not connected, or only through a stopped gradient."""
    f = s.bound.f
    names = [repr(name) if name else "the output" for name in f.output_names]
    pairs = list(zip(names, f.activity.dependence, strict=True))
    loose = [name for name, state in pairs if state is Dependence.NONE]
    cut = [name for name, state in pairs if state is Dependence.CUT]
    share = 1 / len(names)
    findings = [_disconnected(loose, share)] if loose else []
    if cut:
        findings.append(_stopped(cut, f.activity.cuts, share))
    if len(loose) + len(cut) < len(names) and len(f.input_names) > 1:
        each = zip(f.input_names, dependence_by_input(f), strict=True)
        unused = [repr(name) for name, states in each if not any(states)]
        findings += [_unused(unused, len(f.input_names))] if unused else []
    return findings


def _disconnected(outputs: Sequence[str], share: float) -> Finding:
    return Finding(
        kind="disconnected",
        where="" if outputs == ["the output"] else listed(outputs),
        layers=(),
        found=f"In the graph nothing leads from the input to {listed(outputs)}.",
        meaning=f"Every derivative is exactly 0; {backend_second_derivative.OF_NOTHING}.",
        advice="Look for a constant, a shape or a tensor from outside where the input was meant; "
        "or choose another `output` or `wrt`.",
        size=share * len(outputs),
    )


def _unused(inputs: Sequence[str], count: int) -> Finding:
    return Finding(
        kind="disconnected",
        where=f"input {listed(inputs)}",
        layers=(),
        found=f"In the graph nothing leads from the input {listed(inputs)} to the output.",
        meaning="Derivatives by it are exactly 0.",
        advice="If it is not to be used, differentiate by the others only (`wrt=`).",
        size=len(inputs) / count,
    )


def _stopped(outputs: Sequence[str], cuts: Sequence[Place], share: float) -> Finding:
    return Finding(
        kind="stopped",
        where="" if outputs == ["the output"] else listed(outputs),
        layers=layers_of(cuts),
        found=f"The values go on to {listed(outputs)}, the derivative ends at {named(cuts)}.",
        meaning="Every derivative is 0, as whoever stopped it asked for; the function itself "
        "changes with its input.",
        advice="Take the stop_gradient out for this question, or differentiate by what comes "
        "behind it (`wrt=`).",
        size=share * len(outputs),
    )
