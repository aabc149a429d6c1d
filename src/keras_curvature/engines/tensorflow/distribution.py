"""Models whose variables have a copy on each of several devices, and processes among others."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

MIRRORED = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
"""Strategies under which each device has a copy of every variable."""


def is_mirrored(model: Any) -> bool:
    """Whether the model's variables have a copy on each of several devices of this process."""
    # Not `distribute_strategy`: that of a model made outside of any is whichever is entered now.
    strategy = getattr(model, "_distribute_strategy", None)
    return isinstance(strategy, MIRRORED) and len(strategy.extended.worker_devices) > 1


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
