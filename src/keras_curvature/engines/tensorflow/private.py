"""The few things TensorFlow does not export: every use of a private name is in this file."""

from __future__ import annotations

import contextlib
import inspect
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python import pywrap_tfe
from tensorflow.python.distribute import distribute_utils
from tensorflow.python.eager import context
from tensorflow.python.framework import function_def_to_graph, kernels, ops
from tensorflow.python.ops import control_flow_util, resource_variable_ops


def function_graph(op: tf.Operation, attribute: str) -> tf.Graph:
    """The graph of the function that a call, loop or branch names in `attribute`."""
    return named_function_graph(op.graph, op.get_attr(attribute).name)


def datasets_behind(dataset: tf.data.Dataset) -> list[tf.data.Dataset]:
    """A dataset and all that it reads from."""
    inputs = dataset._inputs()
    return [dataset, *(one for part in inputs for one in datasets_behind(part))]


def must_be_compiled(op: tf.Operation) -> bool:
    """Whether a call is of a function with `jit_compile=True`."""
    attributes = op.node_def.attr
    if "_XlaMustCompile" in attributes:
        return bool(attributes["_XlaMustCompile"].b)
    name = op.get_attr("f").name
    graph = op.graph
    while graph is not None:
        function = graph._get_function(name)
        if function is not None:
            marked = function.cached_definition.attr
            return "_XlaMustCompile" in marked and bool(marked["_XlaMustCompile"].b)
        graph = getattr(graph, "outer_graph", None)
    return False


def branch_graphs(op: tf.Operation, attribute: str) -> list[tf.Graph]:
    """The graphs of a `Case` op's branches."""
    return [named_function_graph(op.graph, f.name) for f in op.get_attr(attribute)]


def named_function_graph(graph: tf.Graph, name: str) -> tf.Graph:
    """The graph of a function in `graph`'s library, with its Python closures alive."""
    while graph is not None:
        function = graph._get_function(name)
        if function is not None:
            return _graph_of(function)
        graph = getattr(graph, "outer_graph", None)
    raise LookupError(f"The traced graph calls the function {name!r}, which it does not hold.")


def registered_gradient(name: str) -> Callable[..., Any] | None:
    """What TensorFlow calls to differentiate ops of this type.

    Returns:
        The function, or `None` for an op declared not differentiable.

    Raises:
        LookupError: where TensorFlow has no derivative for it.
    """
    found = ops.gradient_registry.lookup(name)
    return found.function if isinstance(found, _Borrowed) else found


@dataclass(eq=False)
class _Kept:
    """The gradient of a `tf.custom_gradient` function, kept by the graphs that it is called in."""

    function: Callable[..., Any]


@dataclass(frozen=True)
class _Borrowed:
    """Stands in TensorFlow's registry for a gradient that graphs keep."""

    kept: weakref.ref[_Kept]

    @property
    def function(self) -> Callable[..., Any]:
        """The gradient; a copy of a graph that is gone has none."""
        kept = self.kept()
        if kept is None:
            raise LookupError("The graph of a `tf.custom_gradient` is gone.")
        return kept.function

    def __call__(self, op: tf.Operation, *upstream: Any) -> Any:
        """As TensorFlow calls it."""
        return self.function(op, *upstream)


def keep_gradient_with_graph(op: tf.Operation) -> None:
    """Has the gradient of a `tf.custom_gradient` function go with the graph of its last op.

    TensorFlow's registry keeps the gradient of every single call for the process, and with it the
    graph: those of all models that were ever traced.
    """
    name = op.get_attr("_gradient_op_type").decode()
    registry = ops.gradient_registry._registry
    entry = registry.get(name)
    if entry is None or isinstance(entry["type"], _Borrowed):
        return
    kept, graph = _Kept(entry["type"]), op.graph
    # The graph of a branch may be made again from its definition; that around it keeps it too.
    while getattr(graph, "building_function", False):
        graph._curvature_gradients = [*getattr(graph, "_curvature_gradients", ()), kept]
        graph = graph.outer_graph
    if hasattr(op.graph, "_curvature_gradients"):
        entry["type"] = _Borrowed(weakref.ref(kept))
        weakref.finalize(kept, registry.pop, name, None)


def forget_gradients(graph: tf.Graph) -> None:
    """Lets go of what `keep_gradient_with_graph` has a graph keep, in its functions too."""
    graph._curvature_gradients = []
    for function in graph._functions.values():
        inner = getattr(function, "graph", None)
        if hasattr(inner, "_curvature_gradients"):
            forget_gradients(inner)


def is_plain(variable: tf.Variable) -> bool:
    """Whether a variable is one array on one device, and stands for no other."""
    return type(variable) is resource_variable_ops.ResourceVariable and (
        distribute_utils.value_container(variable) is variable
    )


def spec_of(variable: tf.Variable) -> tf.TypeSpec:
    """What a compiled function has to know of a variable that it is given."""
    return resource_variable_ops.VariableSpec(variable.shape, variable.dtype, variable.trainable)


def watched_by_tapes() -> bool:
    """Whether a tape or an accumulator would record what is computed now."""
    return not pywrap_tfe.TFE_Py_TapeSetIsEmpty()


def has_gradient(op_type: str) -> bool:
    """Whether TensorFlow has a derivative for ops of this type that is not 0."""
    try:
        return registered_gradient(op_type) is not None
    except LookupError:
        return False


SILU = "tensorflow.python.ops.nn_impl.swish.<locals>.swish_impl.<locals>.grad"


def is_gradient_of_silu(function: Callable[..., Any]) -> bool:
    """Whether a custom gradient is that of `tf.nn.silu`, which only saves memory."""
    return _author_of_gradient(function) == SILU


def is_gradient_within(function: Callable[..., Any], author: Callable[..., Any]) -> bool:
    """Whether a custom gradient is what a function of this library says of itself."""
    return _author_of_gradient(function).startswith(
        f"{author.__module__}.{author.__qualname__}.<locals>."
    )


def _author_of_gradient(function: Callable[..., Any]) -> str:
    """The qualified name of the Python function behind a custom gradient, or `""`."""
    author = _held(_held(function, "tape_grad_fn"), "grad_fn")
    return "" if author is None else f"{author.__module__}.{author.__qualname__}"


def results_with_custom_gradient(op: tf.Operation) -> int:
    """How many of the inputs of an `IdentityN` are the results of a custom gradient's function.

    The function's arguments come behind them. Where its gradient is not known to be its
    author's own choice, 0: it is that of `tf.nn.silu`, or was not read from the file.
    """
    try:
        function = registered_gradient(op.get_attr("_gradient_op_type").decode())
    except LookupError:
        return 0
    if function is None or is_gradient_of_silu(function):
        return 0
    return _held(_held(function, "tape_grad_fn"), "flat_result_len") or 0


def _held(function: Callable[..., Any] | None, variable: str) -> Any:
    """What a function's closure has for a variable, or `None`."""
    if function is None or not hasattr(function, "__code__"):
        return None
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    return cells[variable].cell_contents if variable in cells else None


def held_dtype(values: tf.Tensor) -> tf.DType:
    """The dtype of a list's tensors, from its making."""
    data = getattr(values, "_handle_data", None)
    if data is not None and data.shape_and_type:
        return tf.as_dtype(data.shape_and_type[0].dtype)
    return tf.as_dtype(values.op.get_attr("element_dtype"))


def on_this_replica(variable: tf.Variable) -> tf.Variable:
    """The copy of a variable on the replica that asks, under a `tf.distribute` strategy.

    Outside of a replica the first one, which is also what is saved: moving averages may differ
    between devices. Outside of a strategy, the variable itself.
    """
    shared = distribute_utils.value_container(variable)
    return variable if shared is variable else shared._get_on_device_or_primary()


def _graph_of(function: Any) -> tf.Graph:
    """A function's graph, from its definition where the Python function is gone."""
    if hasattr(function, "graph"):
        return function.graph
    try:
        return function_def_to_graph.function_def_to_graph(function.definition)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            "The model calls a function of TensorFlow 1 whose graph cannot be read "
            "(`tf.nn.ctc_loss` is made of such), so it cannot be re-emitted."
        ) from error


@cache
def raw_op(op_type: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """`tf.raw_ops.<op_type>` and the names of its arguments."""
    exported = op_type != "XlaCallModule"  # what JAX computes
    function = getattr(tf.raw_ops if exported else gen_xla_ops, op_type)
    names = tuple(name for name in inspect.signature(function).parameters if name != "name")
    return function, names


def has_raw_op(op_type: str) -> bool:
    """Whether `raw_op` can give it: what XLA alone has is not exported."""
    return hasattr(tf.raw_ops, op_type)


@cache
def has_kernel(op_type: str, dtype: tf.DType) -> bool:
    """Whether a CPU can run the op with its attribute `T` of this dtype.

    Some ops may be written into a graph in float64 and then fail when they are run.
    """
    registered = kernels.get_registered_kernels_for_op(op_type).kernel
    allowed = [
        constraint.allowed_values.list.type
        for kernel in registered
        if kernel.device_type == "CPU"
        for constraint in kernel.constraint
        if constraint.name == "T"
    ]
    return not allowed or any(dtype.as_datatype_enum in types for types in allowed)


@contextlib.contextmanager
def recorded() -> Iterator[None]:
    """Lets tapes and accumulators that begin here record, inside `tf.init_scope()` too.

    That scope pauses those around it, and with them all that a model opens inside.
    """
    paused = pywrap_tfe.TFE_Py_TapeSetIsStopped()
    pywrap_tfe.TFE_Py_TapeSetRestartOnThread()
    try:
        yield
    finally:
        if paused:
            pywrap_tfe.TFE_Py_TapeSetStopOnThread()


def inside_xla() -> bool:
    """Whether what is traced now is compiled by XLA."""
    return bool(control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


@contextlib.contextmanager
def unoptimised() -> Iterator[None]:
    """Runs functions that are called here, in this thread, as they were traced.

    Grappler looks at a function before it runs for the first time, and again whenever
    TensorFlow has forgotten its kernels, as it does with each `tf.random.set_seed`.
    """
    here = context.context()
    before = here.function_call_options
    here.function_call_options = context.FunctionCallOptions(
        before.executor_type, _without_grappler(before.config_proto_serialized)
    )
    try:
        yield
    finally:
        here.function_call_options = before


@cache
def _without_grappler(serialized: bytes) -> tf.compat.v1.ConfigProto:
    config = tf.compat.v1.ConfigProto.FromString(serialized)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return config


@contextlib.contextmanager
def unobserved(*, differentiable: bool = False) -> Iterator[None]:
    """Without what `tf.debugging` has called behind every op in this thread.

    `enable_check_numerics` takes for a fault what is data here, and what a formula leaves aside.

    Args:
        differentiable: whether a gradient may be asked for, which tapes note in any case.
    """
    here = context.context()
    callbacks = list(here.op_callbacks)
    for callback in callbacks:
        here.remove_op_callback(callback)
    try:
        yield
    finally:
        for callback in callbacks:
            here.add_op_callback(callback)
