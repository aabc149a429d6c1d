"""Making graphs of functions, without a trace when that fails."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

import tensorflow as tf

from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.private import inside_xla, unobserved

rounding_otherwise = unoptimised = private.unoptimised
"""Here too, where it is looked for in every backend."""


def compiled(call: Callable[..., Any], specs: Sequence[tf.TensorSpec] = ()) -> Any:
    """The concrete function of `call` for tensors like `specs`.

    `tf.map_fn` sets a caching device for as long as it calls its function, and leaves it set if
    that raises: no distribution strategy can be entered in the process after that. Here it is
    put back.
    """

    @functools.wraps(call)
    def guarded(*tensors: tf.Tensor) -> Any:
        scope = tf.compat.v1.get_variable_scope()
        before = scope.caching_device
        try:
            return call(*tensors)
        except BaseException:
            scope.set_caching_device(before)
            raise

    with unobserved():
        return tf.function(guarded, autograph=False).get_concrete_function(*specs)


F = TypeVar("F", bound=Callable[..., Any])


def not_converted(function: F) -> F:
    """Keeps AutoGraph from rewriting a function that is called in a user's `tf.function`.

    Without this a type checker that does not know TensorFlow knows nothing of the function.
    """
    kept: F = tf.autograph.experimental.do_not_convert(function)
    return kept


def compiled_for_any_weights(
    call: Callable[..., Any], specs: Sequence[tf.TensorSpec], weights: Mapping[Any, tf.Variable]
) -> Any:
    """As `compiled`, of a function that takes variables like `weights` behind the tensors.

    It cannot be differentiated: what that takes would keep `call` alive, and with it the model.

    Args:
        call: reads a traced model's variables through `weight_for`.
        specs: of its tensors.
        weights: by the placeholders that stand for them in the trace.
    """
    count = len(specs)

    def with_weights(*given: Any) -> Any:
        token = _weights.set(dict(zip(weights, given[count:], strict=True)))
        try:
            return call(*given[:count])
        finally:
            _weights.reset(token)

    found = compiled(with_weights, [*specs, *map(private.spec_of, weights.values())])
    private.forget_gradients(found.graph)
    return found


_weights: ContextVar[Mapping[Any, tf.Variable]] = ContextVar("weights")


def weight_for(placeholder: Any, variable: tf.Variable) -> tf.Variable:
    """What stands for a placeholder of a trace where weights are given, else `variable`."""
    return _weights.get({}).get(placeholder, variable)


def is_eager() -> bool:
    """Whether what is called now has numbers, and is no part of a graph that is being built."""
    return bool(tf.executing_eagerly())


def require_eager(function: str) -> None:
    """Raises ValueError in a graph: what a function does next depends on numbers there are not."""
    if not is_eager():
        raise ValueError(
            f"`{function}` must be called eagerly, as what it does depends on the data. Received: "
            "a call while a `tf.function` is traced. Call it outside, or in a Keras callback."
        )


_standing_alone: ContextVar[bool] = ContextVar("standing_alone", default=False)


@contextlib.contextmanager
def standing_alone() -> Iterator[None]:
    """What is traced here is called eagerly: XLA sees what is marked for it, and no more."""
    token = _standing_alone.set(True)
    try:
        yield
    finally:
        _standing_alone.reset(token)


def stands_alone() -> bool:
    """Whether ops without a kernel for XLA may be used."""
    return _standing_alone.get() and not inside_xla()


OUT_OF_MEMORY = tf.errors.ResourceExhaustedError
"""What is raised where the memory runs out."""


def ran_out(error: Exception) -> bool:
    """Whether an error of `OUT_OF_MEMORY` tells of too little memory: it is raised for no more."""
    return True


def saying(what: str, error: tf.errors.ResourceExhaustedError) -> Exception:
    """The error with words before its own."""
    return OUT_OF_MEMORY(error.node_def, error.op, f"{what}: {error.message}")


@contextlib.contextmanager
def as_the_user_computes() -> Iterator[None]:
    """As it is: nothing was changed."""
    yield


@contextlib.contextmanager
def computing_in(dtype: Any) -> Iterator[None]:
    """Tensors have the dtype that they are given: nothing to be done for it."""
    yield


def keeps_float64() -> bool:
    """Whether arrays of float64 are tensors of float64: always."""
    return True


REFUSALS = (ValueError, tf.errors.InvalidArgumentError)
"""What a model raises for inputs that it does not take."""


def outside() -> contextlib.AbstractContextManager[None]:
    """What is done here has numbers, also where a graph is built around it."""
    scope: contextlib.AbstractContextManager[None] = tf.init_scope()
    return scope


LAYERS_HAVE_METRICS = True
"""Whether Keras lets a layer update a metric while it is called in training."""
