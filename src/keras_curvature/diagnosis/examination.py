"""All that is found out about a model's second derivatives, one check after the other."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from keras_curvature.diagnosis import (
    agreement,
    backend_gradients,
    backend_ways,
    hidden_curvature,
)
from keras_curvature.diagnosis.activations import Part, parts_of
from keras_curvature.diagnosis.connectivity import dependence, no_derivative
from keras_curvature.diagnosis.constant_inputs import magnified
from keras_curvature.diagnosis.coupling import coupling
from keras_curvature.diagnosis.finiteness import not_finite
from keras_curvature.diagnosis.precision import below_float64
from keras_curvature.diagnosis.results import Diagnosis, Finding
from keras_curvature.diagnosis.rounding import scale_below_rounding
from keras_curvature.diagnosis.saturation import saturated_units
from keras_curvature.diagnosis.subject import Sample, Subject, noise, sample, subject_of
from keras_curvature.diagnosis.unit_states import look
from keras_curvature.diagnosis.zeros import zeros
from keras_curvature.engines.api import (
    BoundModel,
    Dependence,
    NotDifferentiableError,
    Options,
    bind,
    xp,
)
from keras_curvature.engines.backend import (
    backend_second_derivative,
    computing_in,
    require_eager,
    unobserved,
)
from keras_curvature.typing import Columns, Model, Output, Structure, Wrt


def diagnose(
    model: Model,
    x: Structure,
    *,
    scale: Any = "auto",
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    dtype: str | None = None,
    batch_size: int | None = None,
    compare_tapes: bool = False,
    compare_ways: bool = False,
) -> Diagnosis:
    """Finds what stands between a model's second derivatives and what one reads in them.

    Looks at the graph and measures at a few examples, to find: piecewise-linear parts, by layer
    and activation; second derivatives that are exactly 0 for another reason (a linear model, dead
    or saturated units, a stopped gradient, an output that does not depend on the input);
    derivatives that are not those of the values; examples that influence each other; a scale
    below rounding; constant inputs that the model magnifies; layers of a float64 model that compute
    in float32; and with `compare_tapes` layers where the backend's own second derivative is wrong
    or missing, and with `compare_ways` which of the backend's ways fail or are wrong; units that
    are beyond what the dtype's softplus or tanh can differentiate. Each finding says what was seen,
    what it means and what to do.

    The cost is bounded, whatever the number of examples: at most 64 of them, 8 lines between
    them and 4 outputs, or a mixture of more, are looked at, as fits into memory at once.

    Args:
        model: see `keras_curvature.derivatives`, as for the other arguments.
        x: examples like those that matter, `(batch, *input_shape)`; a dozen or more, since what
            happens between them is looked at too.
        scale: the distance that is to be used in `scale_curvature`.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.
        compare_tapes: whether to ask two nested tapes of TensorFlow too, on JAX `jax.jvp` of
            `jax.grad`, which takes compiling them, and to say how far off they are on this model.
        compare_ways: whether to try every way that the backend has, such as `torch.func.hessian` or
            `torch.func.jvp` twice, on the model as it is, and to name those that fail on it or are
            wrong. Of models of one input.

    Returns:
        A report to `print`, or to read its `findings`.

    Raises:
        ValueError: for a batch that does not fit the model, an unbuilt model, an unknown
            output, input or layer.
        TypeError: for an argument of a wrong type, and for an integer input without `wrt`.

    Example:
        >>> import keras, numpy as np, keras_curvature as kc
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> report = kc.diagnose(model, np.random.default_rng(0).normal(size=(16, 2)))
        >>> report.kinds
        ('linear',)
    """
    require_eager("diagnose")
    options = Options(output, wrt, "auto", dtype, batch_size, columns)
    with warnings.catch_warnings():
        # The report says it.
        warnings.filterwarnings("ignore", message="The model gives an example another output")
        try:
            bound = bind(model, x, options, in_float64=False)
        except NotDifferentiableError as error:
            checks = ("The graph, before any number.",)
            return Diagnosis(_name(model), (no_derivative(error),), checks)
    return examine(
        model, bound, options, scale, compare_tapes=compare_tapes, compare_ways=compare_ways
    )


@unobserved()
@computing_in("float64")
def examine(
    model: Model,
    bound: BoundModel,
    options: Options,
    scale: Any = "auto",
    *,
    compare_tapes: bool = False,
    compare_ways: bool = False,
) -> Diagnosis:
    """`diagnose` for a model that has been traced."""
    s = subject_of(model, bound.as_taken(), options, scale)
    with warnings.catch_warnings():
        # Rounding is measured here, whatever it comes from.
        warnings.filterwarnings("ignore", message="TensorFlow has no .* in float64")
        try:
            findings, checks = _found(s, compare_tapes, compare_ways)
        except NotDifferentiableError as error:
            findings, checks = [no_derivative(error)], (_on_the_graph(s),)
    return Diagnosis(_name(model), tuple(findings), checks)


def _found(
    s: Subject, compare_tapes: bool, compare_ways: bool
) -> tuple[list[Finding], tuple[str, ...]]:
    """Findings, and what was looked at."""
    findings = dependence(s)
    if Dependence.ACTIVE not in s.bound.f.activity.dependence:
        return findings, (_on_the_graph(s),)
    apart = coupling(s)
    if apart:
        together = "A few examples were computed together, one by one, and twice."
        return findings + apart, (_on_the_graph(s), together)
    taken = sample(s, s.f)
    findings += not_finite(s, taken)
    parts = parts_of(s.model, s.bound.f)
    if taken.finite.all():
        findings += _measured(s, taken, parts)
    checks = _checks(s, parts)
    if compare_tapes:
        own = backend_gradients.own_answer(s, taken)
        findings += backend_gradients.findings(s, own)
        asked = min(backend_gradients.EXAMPLES, s.count)
        checks = (*checks, f"{backend_second_derivative.ASKED} at {asked} examples.")
    if compare_ways:
        found, said = backend_ways.own_ways(s, taken)
        findings, checks = findings + found, (*checks, said)
    return findings + below_float64(s), checks


def _measured(s: Subject, taken: Sample, parts: tuple[Part, ...]) -> list[Finding]:
    among = s.among_the_examples()
    rounding = noise(among)
    spread = float(taken.value.std(axis=0).max()) or 1.0
    z, rest = s.f64.point(s.leaves)
    states = look(s, s.f, parts, *s.f.point(s.leaves))
    lines = hidden_curvature.lines_of(s, xp.to_numpy(z), rest)
    relative = float(np.max(rounding)) / spread
    altered = agreement.findings(s, agreement.agreement(among, rounding))
    kinks = hidden_curvature.findings(s, lines, relative, taken, parts, states, right=not altered)
    explained = bool(kinks or altered)
    flat = zeros(s, lines, taken, parts, states, explained=explained)
    return [
        *kinks,
        *flat,
        *saturated_units(s, states, told=flat),
        *altered,
        *scale_below_rounding(s, taken, rounding),
        *magnified(s, taken),
    ]


def _on_the_graph(s: Subject) -> str:
    return f"The graph: {len(s.bound.f.activity.active)} ops on the way from input to output."


def _checks(s: Subject, parts: tuple[Part, ...]) -> tuple[str, ...]:
    total = s.bound.f.outputs.width
    outputs = "" if total == s.f.outputs.width else f", a mixture of all {total} outputs"
    kinked = sum(part.kinked for part in parts)
    return (
        f"{_on_the_graph(s)} Layers with kinks: {kinked}.",
        f"{s.count} of {s.total} examples{outputs}: slope, exact second derivative along a random "
        f"direction and the units of the layers, in {xp.name_of(s.f.dtype)}.",
        f"{hidden_curvature.lines_at_most(s)} straight lines between examples: change of slope "
        "against the integral of the exact second derivative, in float64.",
        f"Differences against autodiff at {min(agreement.EXAMPLES, s.count)} examples.",
    )


def _name(model: Model) -> str:
    return str(getattr(model, "name", None) or getattr(model, "__name__", type(model).__name__))
