"""What JAX does with a computation: when it has numbers, in which precision, and out of memory."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

OUT_OF_MEMORY = jax.errors.JaxRuntimeError
"""What is raised where the memory runs out, and for other reasons."""

F = TypeVar("F", bound=Callable[..., Any])


def ran_out(error: Exception) -> bool:
    """Whether an error of `OUT_OF_MEMORY` may tell of too little memory."""
    return True


def saying(what: str, error: Exception) -> Exception:
    """The error with words before its own."""
    return OUT_OF_MEMORY(f"{what}: {error}")


def inside_xla() -> bool:
    """Whether XLA compiles a batch of unknown size: never, JAX knows all sizes."""
    return False


@contextlib.contextmanager
def unobserved(*, differentiable: bool = False) -> Iterator[None]:
    """Nothing that JAX does is recorded by anybody, unless a gradient is asked for."""
    yield


@contextlib.contextmanager
def unoptimised() -> Iterator[None]:
    """JAX compiles for the process, not for a seed: there is nothing to leave out."""
    yield


rounding_otherwise = unoptimised


@contextlib.contextmanager
def computing_in(dtype: Any) -> Iterator[None]:
    """Has float64 mean float64, whether or not the user has switched it on.

    Raises:
        ValueError: where the device has none.
    """
    if jnp.dtype(dtype) != "float64":
        yield
        return
    require_float64()
    users = _users_x64.get()
    token = _users_x64.set(jax.config.jax_enable_x64 if users is None else users)
    try:
        with jax.enable_x64(True):
            yield
    finally:
        _users_x64.reset(token)


def keeps_float64() -> bool:
    """Whether arrays of float64 are float64 to JAX: where the user has switched that on."""
    return bool(jax.config.jax_enable_x64)


@functools.cache
def require_float64() -> None:
    """Computes a number in it, once."""
    third = 0.0
    cause: Exception | None = None
    try:
        with jax.ensure_compile_time_eval(), jax.enable_x64(True):
            third = float(lax.div(jnp.ones((), "float64"), jnp.full((), 3.0, "float64")))
    except Exception as error:  # each plugin raises its own
        cause = error
    if abs(third - 1 / 3) > 1e-10:  # float32 is 1e-8 off; a TPU emulates float64, and rounds a bit
        device = jax.config.jax_default_device or jax.devices()[0]
        raise ValueError(
            f"float64 is needed here, and the device {device} does not compute in it. Run on the "
            "CPU, JAX_PLATFORMS=cpu; or ask for what takes float32 alone: the functions with "
            "`dtype=None`."
        ) from cause


@contextlib.contextmanager
def as_the_user_computes() -> Iterator[None]:
    """What the user's code makes has the dtype that it has outside of `computing_in`."""
    users = _users_x64.get()
    with contextlib.nullcontext() if users is None else jax.enable_x64(users):
        yield


_users_x64: ContextVar[bool | None] = ContextVar("users_x64", default=None)
"""Whether the user has switched float64 on, where `computing_in` has done so too."""


def is_eager(tensors: Any = ()) -> bool:
    """Whether there are numbers: JAX traces nothing here."""
    probe = jnp.zeros(())
    return not any(isinstance(x, jax.core.Tracer) for x in (probe, *jax.tree.leaves(tensors)))


def require_eager(function: str) -> None:
    """Raises ValueError while JAX traces: what a function does next depends on numbers."""
    if not is_eager():
        raise ValueError(
            f"`{function}` must be called eagerly, as what it does depends on the data. Received: "
            "a call inside of `jax.jit`. Call it outside, or in a Keras callback."
        )


def not_converted(function: F) -> F:
    """The function: nothing rewrites it."""
    return function


REFUSALS = (TypeError, ValueError)
"""What a model raises for inputs that it does not take."""


def outside() -> contextlib.AbstractContextManager[None]:
    """Arrays of NumPy have numbers wherever they are made."""
    return contextlib.nullcontext()


LAYERS_HAVE_METRICS = False
"""Whether Keras lets a layer update a metric while it is called: here their variables are empty."""
