"""What is computed of a model at some points, and what of that fits into one call.

Each call of something compiled waits for the one before, takes half a millisecond beside what it
computes, and more where the training has taken the caches; and the ops of one call run side by
side. So all that is small goes together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keras_curvature.engines.api import BoundModel, run_chunked
from keras_curvature.engines.backend import unoptimised
from keras_curvature.typing import Tensor

Compute = Callable[..., dict[str, Tensor]]

LARGE = 2**14
"""Numbers in a model, for one example, from which TensorFlow's optimiser is let at its graphs.

On networks of 64 to 256 units it takes as long as 30 to 70 measurements, and makes each up to 6 %
shorter.
"""


@dataclass(frozen=True)
class Task:
    """Something to compute of a model at some points.

    Attributes:
        bound: the traced model.
        compute: of tensors and of constants behind them, see `run_chunked`.
        tensors: with the points as the first axis.
        size: how many points at a time fit into memory.
        constants: arrays that all points share.
        halved_from: from how many points on halves are faster.
    """

    bound: BoundModel
    compute: Compute
    tensors: Sequence[Tensor]
    size: int
    constants: Sequence[Tensor] = ()
    halved_from: float = math.inf

    @property
    def share(self) -> float:
        """Of what fits into memory; infinite where it has to be computed by itself."""
        points = int(self.tensors[0].shape[0])
        alone = self.bound.f.batch is not None or points >= self.halved_from
        return math.inf if alone else points / self.size


def run(task: Task) -> dict[str, Tensor]:
    """What one task finds, so many points at a time as fit."""
    with _optimised_where_it_pays(task):
        return run_chunked(
            task.bound,
            task.compute,
            task.tensors,
            task.size,
            {},
            task.halved_from,
            constants=task.constants,
        )


class RunAll:
    """Runs tasks in as few calls as the memory allows.

    Attributes:
        together: whether several may still go in one call: not after that failed.
    """

    def __init__(self) -> None:
        self.together = True

    def __call__(self, tasks: Mapping[str, Task]) -> dict[str, dict[str, Tensor]]:
        """What each finds, by its name."""
        found: dict[str, dict[str, Tensor]] = {}
        for names in groups(tasks):
            if self.together and len(names) > 1:
                found |= self._in_one_call({name: tasks[name] for name in names})
            found |= {name: run(tasks[name]) for name in names if name not in found}
        return found

    def _in_one_call(self, tasks: Mapping[str, Task]) -> dict[str, dict[str, Tensor]]:
        """What they find; nothing where that fails, as for want of memory.

        Each by itself then takes less at a time, or says what is wrong.
        """
        try:
            task = joined(list(tasks.values()))
            with _optimised_where_it_pays(task):
                function = task.bound.evaluator.function(task.compute, task.tensors, task.constants)
                return apart(list(tasks), function(*task.tensors, *task.constants))
        except Exception:
            self.together = False
            return {}


def _optimised_where_it_pays(task: Task) -> contextlib.AbstractContextManager[None]:
    small = task.bound.f.activity.activations < LARGE
    return unoptimised() if small else contextlib.nullcontext()


def groups(tasks: Mapping[str, Task]) -> list[list[str]]:
    """Names of tasks that go together: of one trace, and all of them at once in memory."""
    found: list[list[str]] = []
    together: dict[int, list[str]] = {}
    for name, task in tasks.items():
        if task.share <= 1:
            together.setdefault(id(task.bound), []).append(name)
        else:
            found.append([name])
    for names in together.values():
        fits = sum(tasks[name].share for name in names) <= 1
        found += [names] if fits else [[name] for name in names]
    return found


def joined(tasks: Sequence[Task]) -> Task:
    """Several as one, all at once; `apart` tells their results from each other."""
    computes = tuple(task.compute for task in tasks)
    tensors, constants = _ends([t.tensors for t in tasks]), _ends([t.constants for t in tasks])

    def compute(*given: Tensor) -> dict[str, Tensor]:
        first, last = given[: tensors[-1]], given[tensors[-1] :]
        found: dict[str, Tensor] = {}
        for i, one in enumerate(computes):
            own = first[tensors[i] : tensors[i + 1]], last[constants[i] : constants[i + 1]]
            found |= {f"{i} {name}": part for name, part in one(*own[0], *own[1]).items()}
        return found

    return dataclasses.replace(
        tasks[0],
        compute=compute,
        tensors=[tensor for task in tasks for tensor in task.tensors],
        constants=[constant for task in tasks for constant in task.constants],
    )


def _ends(given: Sequence[Sequence[Tensor]]) -> tuple[int, ...]:
    """Where each begins among all of them in a row, and where the last one ends."""
    return tuple(itertools.accumulate(map(len, given), initial=0))


def apart(names: Sequence[str], found: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The results of a joined task by the names of those that it is made of."""
    results: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    for key, part in found.items():
        i, name = key.split(" ", 1)
        results[names[int(i)]][name] = part
    return results
