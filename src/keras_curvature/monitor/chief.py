"""Which of several processes that train one model together writes its log."""

from __future__ import annotations

from typing import Any

import keras


def writes(model: keras.Model) -> bool:
    """Whether this process writes: the only one, the chief, or else the first worker.

    All workers measure, so that callbacks that decide by the numbers decide alike everywhere.

    Args:
        model: its `tf.distribute` strategy knows the other processes.
    """
    strategy: Any = model.distribute_strategy
    resolver = strategy.cluster_resolver if strategy is not None else None
    if resolver is None or not resolver.task_type:
        return True
    jobs = resolver.cluster_spec().jobs
    first = "chief" if "chief" in jobs else "worker"
    return bool(resolver.task_type == first and not resolver.task_id)
