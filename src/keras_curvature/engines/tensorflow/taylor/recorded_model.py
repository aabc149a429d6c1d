"""A model that has run on a batch, op by op, ready for jets to be pushed through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from keras_curvature.engines.taylor.jets import Base, Jet, is_shared, spread
from keras_curvature.engines.taylor.modes import Collapsed, Gradients, Mode
from keras_curvature.engines.taylor.registry import Step
from keras_curvature.engines.tensorflow.flat_function import FlatFunction
from keras_curvature.engines.tensorflow.interpreter import given
from keras_curvature.engines.tensorflow.taylor.gram_factor import spanning_rows
from keras_curvature.engines.tensorflow.taylor.propagation import gradients_by, propagate
from keras_curvature.engines.tensorflow.taylor.structure import Cut, active_steps, linear_entry
from keras_curvature.engines.tensorflow.taylor.tape import ActiveJets, OpTape


@dataclass(frozen=True, eq=False)
class RecordedModel:
    """What a model did on a batch.

    Attributes:
        f: the model.
        z: the batch, `(n, d)`.
        sources: the tensors that `z` was taken apart into.
        steps: the ops that depend on them.
        results: the outputs.
        value: the outputs laid flat, `(n, m)`.
        tape: recorded it.
    """

    f: FlatFunction
    z: tf.Tensor
    sources: tuple[tf.Tensor, ...]
    steps: tuple[Step, ...]
    results: tuple[tf.Tensor, ...]
    value: tf.Tensor
    tape: tf.GradientTape

    def entry(self) -> Cut | None:
        """The narrowest tensor of the model's linear beginning."""
        return linear_entry(self.steps, self.sources, self.results)

    def axes(self) -> tf.Tensor:
        """The unit vectors, `(d, d)`."""
        return tf.eye(self.f.inputs.width, dtype=self.z.dtype)

    def start(self, directions: tf.Tensor | None = None) -> list[Jet]:
        """The jets of the sources, for directions `(k, n or 1, d)` or, for `None`, all axes."""
        rows = self.axes()[:, None] if directions is None else directions
        k, d = rows.shape[0], rows.shape[2]
        examples = -1 if rows.shape[1] is None else rows.shape[1]
        alone = directions is None and len(self.sources) == 1 and self.sources[0].shape.rank == 2
        return [
            Jet(
                x,
                Base(
                    tf.cast(tf.reshape(part, [k, examples, *part.shape[1:]]), x.dtype), None, alone
                ),
            )
            for x, part in zip(
                self.sources, self.f.inputs.split(tf.reshape(rows, [-1, d])), strict=True
            )
        ]

    def push(
        self, jets: Sequence[Jet], mode: Mode, steps: Sequence[Step] | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Pushes jets through to the outputs.

        Returns:
            First derivatives `(k, n, m)`, second ones `(k or 1, n, m)`.
        """
        active = ActiveJets(jets)
        propagate(self.steps if steps is None else steps, active, mode)
        found = [active.of(y) for y in self.results]
        bases = [None if jet is None else mode.settle(jet).base for jet in found]
        return (
            self._flat([None if base is None else base.first for base in bases], mode.directions),
            self._flat([None if base is None else base.second for base in bases], mode.slices),
        )

    def _flat(self, stacks: Sequence[tf.Tensor | None], count: int) -> tf.Tensor:
        columns: list[tf.Tensor] = []
        for stack, y, size in zip(stacks, self.results, self.f.outputs.sizes, strict=True):
            if stack is None:
                columns.append(tf.zeros([count, tf.shape(self.z)[0], size], self.z.dtype))
            else:
                whole = tf.reshape(spread(stack, y), [count, -1, size])
                columns.append(tf.cast(whole, self.z.dtype))
        return tf.concat(columns, axis=2) if len(columns) > 1 else columns[0]

    def along(
        self, rows: tf.Tensor | None, mode: Mode, entry: Cut | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """First and second derivatives of the outputs along directions, as `push` gives them."""
        if entry is None:
            return self.push(self.start(rows), mode)
        return self.push(entry.start(rows), mode, entry.after)

    def entry_and_jacobian(self) -> tuple[Cut, tf.Tensor] | None:
        """The linear beginning of the model and its jacobian `(d, width)`, if it has fewer rows."""
        d = self.f.inputs.width
        cut = self.entry()
        if cut is None or cut.width >= d or not cut.tensor.dtype.is_floating:
            return None  # a complex beginning has no real directions that span it
        mode = Collapsed(d)
        active = ActiveJets(self.start())
        propagate(cut.before, active, mode)
        jet = active.of(cut.tensor)
        if jet is None:
            return None
        base = mode.settle(jet).base
        if base.second is not None or not is_shared(base.first, cut.tensor):
            return None
        return cut, tf.reshape(base.first, [d, cut.width])

    def spanning_rows(self, jacobian: tf.Tensor) -> tf.Tensor:
        """As few directions, along which a Laplacian is the same."""
        return spanning_rows(jacobian)

    def gradients(self) -> Gradients:
        """The gradients of the outputs by every tensor on the way."""
        m = self.f.outputs.width
        with self.tape:
            columns = [self.value[:, j] for j in range(m)]
        return gradients_by(self.tape, columns, [None] * m, self.steps)


def record(f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor]) -> RecordedModel:
    """Runs a model and keeps what it did."""
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(z)
        feeds = f.feeds(z, rest)
        op_tape = OpTape(f.dtype, f.traced.variables)
        results = op_tape.fetch(given(f.traced, feeds, f.dtype), f.fetches)
        value = f.outputs.join([tf.cast(y, z.dtype) for y in results])
    sources = tuple(feeds[tensor.ref()] for tensor in f.source)
    steps = tuple(active_steps(op_tape.steps, sources))
    return RecordedModel(f, z, sources, steps, tuple(results), value, tape)
