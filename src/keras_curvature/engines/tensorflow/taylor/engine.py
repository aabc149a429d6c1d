"""Taylor propagation through TensorFlow's graphs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import tensorflow as tf

from keras_curvature.engines.activity import Place
from keras_curvature.engines.quantities import ALONG_AXES
from keras_curvature.engines.taylor.engine import ADJOINTS, TaylorEngine
from keras_curvature.engines.taylor.registry import carries, lookup
from keras_curvature.engines.tensorflow import parallel_halves
from keras_curvature.engines.tensorflow.flat_function import FlatFunction
from keras_curvature.engines.tensorflow.nested import Nested
from keras_curvature.engines.tensorflow.private import has_gradient
from keras_curvature.engines.tensorflow.taylor.active_path import active_path
from keras_curvature.engines.tensorflow.taylor.propagation import rule_for
from keras_curvature.engines.tensorflow.taylor.recorded_model import RecordedModel, record
from keras_curvature.engines.tensorflow.taylor.rules import table  # noqa: F401, fills the registry
from keras_curvature.engines.tensorflow.taylor.structure import as_steps, keeps_batch, linear_entry

NESTED = Nested()


@dataclass(frozen=True)  # equal to itself in a key
class Taylor(TaylorEngine[FlatFunction]):
    """Second-order Taylor propagation."""

    def products(
        self,
        f: FlatFunction,
        rows: tf.Tensor,
        others: Sequence[tf.Tensor],
        seeds: tf.Tensor,
        directions: tf.Tensor,
    ) -> tf.Tensor:
        """By reverse over reverse, the cheapest way to all entries of one product."""
        return NESTED.products(f, rows, others, seeds, directions)

    def record(self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor]) -> RecordedModel:
        """Runs a model and keeps what it did."""
        return record(f, z, rest)

    def has_adjoint(self, f: FlatFunction) -> bool:
        """Whether tangents and one reverse pass per output give all second derivatives."""
        return not why_no_adjoint(f)

    def directions(self, f: FlatFunction, names: Collection[str]) -> int:
        """As many as the narrowest tensor of a linear beginning is wide."""
        if not ALONG_AXES & set(names):
            return 1
        entry = linear_entry(as_steps(active_path(f)), f.source, f.fetches)
        d = f.inputs.width
        return d if entry is None else min(d, entry.width)

    def halves(self, f: FlatFunction, directions: int) -> float:
        """Where ops are large and few."""
        return parallel_halves.least_examples(f, directions)


def why_no_adjoint(f: FlatFunction) -> str:
    """Why tangents and one reverse pass per output do not give all second derivatives, or `""`."""
    if f.outputs.width > ADJOINTS:
        return f"of more than {ADJOINTS} outputs"
    mixing = next((p.op for p in active_path(f) if not keeps_batch(p)), None)
    if mixing is None:
        return ""
    known = (place for place in f.activity.active if place.op_name == mixing.name)
    return f"through {next(known, Place(mixing.type, mixing.name, ''))}"


def fallbacks(f: FlatFunction, above_second: bool = False) -> tuple[Place, ...]:
    """Ops without a rule, which TensorFlow is asked about one direction at a time.

    Args:
        f: the model.
        above_second: whether derivatives above the second are wanted, which fewer rules have.
    """
    places = {place.op_name: place for place in f.activity.active}
    rules = [(passage.op, rule_for(passage.op)) for passage in active_path(f)]
    missing = [op for op, rule in rules if not carries(rule, above_second)]
    return tuple(
        places.get(op.name, Place(op.type, op.name, "")) for op in missing if has_gradient(op.type)
    )


def unsuited(f: FlatFunction) -> tuple[Place, ...]:
    """Ops on lists of tensors without a rule: there is no asking about a direction of a list."""
    return tuple(
        place
        for place in f.activity.active
        if place.op_type.startswith("TensorList") and lookup(place.op_type) is None
    )
