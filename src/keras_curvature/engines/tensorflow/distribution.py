"""Sharing a batch out over the devices that a model is mirrored on."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import tensorflow as tf

from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.graph_chunks import filled_up

Compute = Callable[..., dict[str, tf.Tensor]]

MIRRORED = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
"""Strategies under which each device has a copy of every variable."""


def replicas_here(model: Any) -> tf.distribute.Strategy | None:
    """The strategy that shares work out over several devices of this process, if there is one.

    Other processes are left out: what needs no answer from them cannot hang with them.
    """
    # Not `distribute_strategy`: that of a model made outside of any is whichever is entered now.
    strategy = getattr(model, "_distribute_strategy", None)
    return strategy if isinstance(strategy, MIRRORED) and count(strategy) > 1 else None


def writes_logs(model: Any) -> bool:
    """Whether this process writes: the only one, the chief, or else the first worker.

    Args:
        model: its strategy knows the other processes.
    """
    strategy: Any = model.distribute_strategy
    resolver = strategy.cluster_resolver if strategy is not None else None
    if resolver is None or not resolver.task_type:
        return True
    jobs = resolver.cluster_spec().jobs
    first = "chief" if "chief" in jobs else "worker"
    return bool(resolver.task_type == first and not resolver.task_id)


def count(strategy: tf.distribute.Strategy) -> int:
    """How many devices of this process share the work."""
    return len(strategy.extended.worker_devices)


def in_one() -> bool:
    """Whether this is called on one device already, by `strategy.run`."""
    return tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context()


_sharing: ContextVar[bool] = ContextVar("sharing", default=False)


def copy_to_read(variable: tf.Variable) -> tf.Variable:
    """Which of a variable's copies the caller's device reads.

    In a training step that of the device itself; where a batch is shared out the first one, which
    is also what is saved: moving averages may differ between devices.
    """
    return (private.on_first_replica if _sharing.get() else private.on_this_replica)(variable)


def shared_out(compute: Compute, strategy: tf.distribute.Strategy) -> Compute:
    """`compute`, with an equal number of examples on each device of this process.

    Args:
        compute: from tensors with the examples as the first axis to results of the same kind.
        strategy: whose devices.

    Returns:
        The same function, to be called in a graph and outside of a replica. Where the examples do
        not divide evenly, the last device gets copies of the last example, whose results are cut
        off.
    """
    shares = count(strategy)

    def shared(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        n = tf.shape(tensors[0])[0]
        size = -(-n // shares)
        whole = [filled_up(tensor, shares * size) for tensor in tensors]

        def on_one() -> dict[str, tf.Tensor]:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group % shares
            token = _sharing.set(True)
            try:
                return compute(*(tensor[replica * size : (replica + 1) * size] for tensor in whole))
            finally:
                _sharing.reset(token)

        found = strategy.run(on_one)
        parts = {name: strategy.experimental_local_results(part) for name, part in found.items()}
        return {name: tf.concat(part, axis=0)[:n] for name, part in parts.items()}

    return shared
