"""Runs a flat program, in a wider dtype than it was traced in where one is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr

from keras_curvature.engines.jax.arrays import has_derivative, is_floating, widened
from keras_curvature.engines.jax.gradient_overrides import OVERRIDES
from keras_curvature.engines.jax.jaxprs import flattened
from keras_curvature.engines.jax.less_largest import as_written
from keras_curvature.engines.programs.program import Instruction, Operation, Program, Slot
from keras_curvature.engines.programs.unselected_values import held

OWN_DTYPE = {
    "bitcast_convert_type",
    "random_bits",
    "random_unwrap",
    "reduce_precision",
    "threefry2x32",
}
"""What means something else in another dtype, and gets the one that it was traced in."""

DTYPES = ("new_dtype", "dtype", "preferred_element_type", "out_dtype", "index_dtype")
"""Parameters that name a dtype."""

Values = dict[Slot, Any]


def run(
    program: Program,
    given: Mapping[Slot, Any],
    fetches: Sequence[Any],
    dtype: Any,
    *,
    mended: bool = True,
) -> list[Any]:
    """What `fetches` are where `given` are known.

    Args:
        program: it is part of.
        given: by slot.
        fetches: slots, or constants.
        dtype: narrower floats become this one.
        mended: whether derivatives are mended and narrower floats widened.
    """
    needed = program.needed(fetches, given)
    values = run_through(needed, given, dtype) if mended else run_as_written(needed, given)
    return [read(fetch, values, dtype) for fetch in fetches]


def run_through(
    instructions: Iterable[Instruction],
    given: Mapping[Slot, Any],
    dtype: Any,
    added: Mapping[Slot, Any] | None = None,
) -> Values:
    """The values of all slots that some instructions write, and of those that are given.

    Args:
        instructions: in order.
        given: by slot.
        dtype: narrower floats become this one.
        added: to the values of some slots where they are written.
    """
    values: Values = dict(given)
    for instruction in instructions:
        inputs = [read(x, values, dtype) for x in instruction.inputs]
        outputs = emit(instruction.operation, held(instruction, inputs, values), dtype)
        for slot, output in zip(instruction.outputs, outputs, strict=True):
            values[slot] = output + added[slot] if added and slot in added else output
    return values


def run_as_written(instructions: Iterable[Instruction], given: Mapping[Slot, Any]) -> Values:
    """The same as JAX itself does it, with its own derivatives."""
    values: Values = dict(given)
    for instruction in instructions:
        operation = instruction.operation
        inputs = [values[x] if isinstance(x, Slot) else x for x in instruction.inputs]
        params = operation.primitive.get_bind_params(as_written(operation))
        found = operation.primitive.bind(*inputs, **params)
        outputs = found if operation.primitive.multiple_results else [found]
        values.update(zip(instruction.outputs, outputs, strict=True))
    return values


def read(source: Any, values: Values, dtype: Any) -> Any:
    """The value of a slot, or a constant in the dtype of the evaluation."""
    if isinstance(source, Slot):
        return values[source]
    wide = widened(jnp.result_type(source), dtype)
    return jnp.asarray(source, wide)


def emit(operation: Operation, inputs: Sequence[Any], dtype: Any) -> list[Any]:
    """The results of one operation on other inputs."""
    override = OVERRIDES.get(operation.type)
    if override is not None and is_floating(operation.results[0].dtype):
        return [override(operation.params, *inputs)]
    special = SPECIAL.get(operation.primitive.name)
    if special is not None:
        return special(operation, inputs, dtype)
    if operation.type in OWN_DTYPE:
        return _in_own_dtype(operation, inputs, dtype)
    found = operation.primitive.bind(*inputs, **widened_params(operation.params, dtype))
    return list(found) if operation.primitive.multiple_results else [found]


def widened_params(params: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
    """Parameters with wider dtypes in the place of narrower ones."""
    return {
        name: widened(value, dtype)
        if name in DTYPES and value is not None
        else _widened_programs(value, dtype)
        for name, value in params.items()
    }


def _widened_programs(value: Any, dtype: Any) -> Any:
    """A parameter with the programs in it traced in wider dtypes."""
    if isinstance(value, Jaxpr):
        return _widened_programs(ClosedJaxpr(value, ()), dtype).jaxpr
    if isinstance(value, ClosedJaxpr):
        wide = [jax.ShapeDtypeStruct(x.shape, widened(x.dtype, dtype)) for x in value.in_avals]
        return jax.make_jaxpr(as_function(value, dtype))(*wide)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_widened_programs(part, dtype) for part in value))
    return value


def _in_own_dtype(operation: Operation, inputs: Sequence[Any], dtype: Any) -> list[Any]:
    given = [
        jnp.asarray(x, aval.dtype) if is_floating(x.dtype) and hasattr(aval, "dtype") else x
        for x, aval in zip(inputs, operation.avals, strict=True)
    ]
    found = operation.primitive.bind(*given, **operation.params)
    found = list(found) if operation.primitive.multiple_results else [found]
    return [jnp.asarray(y, widened(y.dtype, dtype)) for y in found]


def as_function(closed: Any, dtype: Any) -> Any:
    """A closed jaxpr as a function of its arguments, evaluated in a dtype."""
    program = flattened(closed)

    def function(*args: Any) -> list[Any]:
        given = dict(zip(program.arguments, args, strict=True))
        return run(program, given, program.results, dtype)

    return function


def _wide(x: Any, dtype: Any) -> Any:
    x = jnp.asarray(x)
    return jnp.asarray(x, widened(x.dtype, dtype))


def _scan(operation: Operation, inputs: Sequence[Any], dtype: Any) -> list[Any]:
    p = operation.params
    consts, carry, xs = parts_of_scan(p, inputs)
    body = as_function(p["jaxpr"], dtype)
    kept = len(carry)

    def step(carry: Any, x: Any) -> Any:
        found = body(*consts, *carry, *x)
        return tuple(found[:kept]), tuple(found[kept:])

    carry, ys = lax.scan(
        step, tuple(carry), tuple(xs), length=p["length"], reverse=p["reverse"], unroll=p["unroll"]
    )
    return [*carry, *ys]


def parts_of_scan(params: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Constants, what is carried, and what is gone through."""
    a, b = params["num_consts"], params["num_consts"] + params["num_carry"]
    return inputs[:a], inputs[a:b], inputs[b:]


def _while(operation: Operation, inputs: Sequence[Any], dtype: Any) -> list[Any]:
    """A loop; one of several at once, as `vmap` makes of it, stops each at its own end."""
    p = operation.params
    a, b = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    goes_on, body = (as_function(p[name], dtype) for name in ("cond_jaxpr", "body_jaxpr"))

    def which_go_on(carry: Any) -> Any:
        return goes_on(*inputs[:a], *carry)[0]

    def step(carry: Any) -> Any:
        after, going = body(*inputs[a:b], *carry), which_go_on(carry)
        if not going.ndim:
            return tuple(after)
        return tuple(
            jnp.where(jnp.expand_dims(going, range(going.ndim, y.ndim)), y, x)
            for x, y in zip(carry, after, strict=True)
        )

    return [*lax.while_loop(lambda carry: jnp.any(which_go_on(carry)), step, tuple(inputs[b:]))]


def _cond(operation: Operation, inputs: Sequence[Any], dtype: Any) -> list[Any]:
    index, *operands = inputs
    branches = [as_function(branch, dtype) for branch in operation.params["branches"]]
    return list(lax.switch(index, branches, *operands))


def _custom_jvp(operation: Operation, inputs: Sequence[Any], dtype: Any) -> list[Any]:
    """A function with a derivative that its author wrote."""
    p = operation.params
    first = p["num_consts"]
    plain = as_function(p["call_jaxpr"], dtype)
    function = jax.custom_jvp(lambda *args: plain(*inputs[:first], *args))

    def jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
        constants = (False,) * len(primals)
        jaxpr, consts, zeros = p["jvp_jaxpr_fun"].call_wrapped(*constants)
        found = as_function(ClosedJaxpr(jaxpr, consts), dtype)(*primals, *tangents)
        count = len(zeros)
        outs, along = found[:count], iter(found[count:])
        return outs, [
            jnp.zeros_like(y) if zero else next(along) for y, zero in zip(outs, zeros, strict=True)
        ]

    function.defjvp(jvp)
    return list(function(*inputs[first:]))


def _custom_vjp(operation: Operation, inputs: Sequence[Any], dtype: Any) -> list[Any]:
    """A function with a gradient that its author wrote: along tangents by its transposed."""
    p = operation.params
    first = p["num_consts"]
    plain = as_function(p["call_jaxpr"], dtype)
    given = [jnp.asarray(x) for x in inputs[first:]]
    floats = [i for i, x in enumerate(given) if has_derivative(x.dtype)]
    function = jax.custom_jvp(lambda *args: plain(*inputs[:first], *args))

    def traced() -> Any:
        return p["fwd_jaxpr_thunk"].call_wrapped(*(True,) * len(given))

    def with_inputs(kept: Iterable[Any], args: Sequence[Any]) -> list[Any]:
        """All that is kept: JAX leaves out what is one of the inputs."""
        rest = iter(kept)
        return [next(rest) if i is None else args[i] for i in p["out_trees"]()[2]]

    def forward(*args: Any) -> Any:
        jaxpr, consts = traced()
        found = as_function(ClosedJaxpr(jaxpr, consts), dtype)(*args)
        count = len(found) - len(operation.results)
        return found[count:], with_inputs(found[:count], args)

    def backward(kept: Any, upstream: Any) -> Any:
        avals = [v.aval for v in traced()[0].outvars]
        narrow = [*with_inputs(avals, operation.avals[first:]), *operation.results]
        written: list[bool] = []

        def gradients(*args: Any) -> list[Any]:
            found = p["bwd"].call_wrapped(*args)
            written[:] = [isinstance(found[i], jax.Array) for i in floats]
            return [found[i] for i, there in zip(floats, written, strict=True) if there]

        found = iter(as_function(jax.make_jaxpr(gradients)(*narrow), dtype)(*kept, *upstream))
        return [
            next(found) if there else jnp.zeros_like(given[i])
            for i, there in zip(floats, written, strict=True)
        ]

    @function.defjvp
    def jvp(args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        outputs, kept = forward(*args)
        zeros = [jnp.zeros_like(y) for y in outputs]
        _, transposed = jax.vjp(lambda upstream: backward(kept, upstream), zeros)
        return outputs, transposed([tangents[i] for i in floats])[0]

    return list(function(*given))


def _place_of(end: Any) -> Any:
    """`argmax` or `argmin`: JAX's own, compiled where x64 is off, mixes float32 into float64."""

    def place(operation: Operation, inputs: Sequence[Any], dtype: Any) -> list[Any]:
        (x,), params = inputs, operation.params
        if not is_floating(x.dtype):
            return [operation.primitive.bind(x, **params)]
        (axis,) = params["axes"]
        found = (x == end(x, axis=axis, keepdims=True)) | jnp.isnan(x)
        return [lax.argmax(found, axis, params["index_dtype"])]

    return place


SPECIAL = {
    "argmax": _place_of(jnp.max),
    "argmin": _place_of(jnp.min),
    "cond": _cond,
    "custom_jvp_call": _custom_jvp,
    "custom_vjp_call": _custom_vjp,
    "scan": _scan,
    "while": _while,
}
"""Operations that hold programs of their own, or that JAX does not compile in any dtype."""
