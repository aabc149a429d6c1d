"""The parts of a network that have kinks or flat stretches: which there are, and their names.

`op_types` says which ops have some; the table here how the activations of Keras are called, and
what to take instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_curvature.engines.api import (
    BENT,
    LINEAR,
    QUADRATIC,
    SMOOTH,
    Curve,
    Place,
    Watched,
    traits_of,
)
from keras_curvature.engines.backend import FlatFunction, watched
from keras_curvature.report.text import listed


def _table(*rows: tuple[str, str, str, str]) -> dict[str, Curve]:
    return {
        name: Curve(word, instead, form)
        for names, word, form, instead in rows
        for name in names.split()
    }


LOOKUPS = {"GatherV2", "GatherNd", "gather", "index", "index_select"}
"""Ops that are part of a sort if what they look up by depends on the input, and linear if not."""

SORTS = {"ArgMax", "ArgMin", "TopKV2", "argmax", "argmin", "sort", "top_k", "topk"}
"""Ops that give such places to look up."""

SORTING = Curve("sorting", "softmax weights")
CLIPPING = Curve("clipping", "tanh")
"""What one op is called that does it, and several that do it together."""

ACTIVATIONS = _table(
    # names of Keras's functions and layers, word, form, instead
    ("relu", "relu", LINEAR, "softplus or silu"),
    ("relu6", "relu6", LINEAR, "silu"),
    ("leaky_relu LeakyReLU", "leaky_relu", LINEAR, "silu or gelu"),
    ("PReLU", "prelu", LINEAR, "silu or gelu"),
    ("selu", "selu", BENT, "silu or gelu"),
    ("elu ELU", "elu", BENT, "silu or gelu"),  # with an alpha other than 1
    ("threshold", "threshold", LINEAR, "softplus"),
    ("hard_tanh", "hard_tanh", LINEAR, "tanh"),
    ("hard_sigmoid", "hard_sigmoid", LINEAR, "sigmoid"),
    ("hard_shrink", "hard_shrink", LINEAR, "tanh_shrink"),
    ("soft_shrink", "soft_shrink", LINEAR, "tanh_shrink"),
    ("sparse_sigmoid", "sparse_sigmoid", LINEAR, "sigmoid"),
    ("sparsemax", "sparsemax", LINEAR, "softmax"),
    ("hard_silu hard_swish", "hard_silu", QUADRATIC, "silu"),
    ("celu sparse_plus", "", SMOOTH, ""),  # made of kinked ops, and smooth all the same
    ("MaxPooling1D MaxPooling2D MaxPooling3D GlobalMaxPooling1D GlobalMaxPooling2D "
     "GlobalMaxPooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D",
     "max pooling", LINEAR, "average pooling"),
    ("Maximum", "maximum", LINEAR, "a mean, or logaddexp"),
    ("Minimum", "minimum", LINEAR, "a mean, or logaddexp"),
)  # fmt: skip
"""Name of a Keras activation or of a layer's class -> what it is; beyond them the op says it."""


@dataclass(frozen=True)
class Part:
    """The watched ops of one layer.

    Attributes:
        layer: its name, or `""` where an op is in none.
        shapes: what they are.
        ops: those that can be looked at.
        whole: whether these are all of them.
    """

    layer: str
    shapes: tuple[Curve, ...]
    ops: tuple[Watched, ...]
    whole: bool

    @property
    def kinked(self) -> bool:
        """Whether their slope jumps."""
        return any(shape.kinked for shape in self.shapes)

    @property
    def name(self) -> str:
        """As it stands in messages."""
        return f"{self.words} in {self.layer!r}" if self.layer else self.words

    @property
    def words(self) -> str:
        """What they are, without the layer."""
        return " and ".join(_described(shape) for shape in self.shapes)


def named(places: Iterable[Place]) -> str:
    """Ops as a list in a sentence, each once."""
    return listed(list(dict.fromkeys(str(place) for place in places)))


def layers_of(things: Iterable[Place | Part]) -> tuple[str, ...]:
    """The names of the layers that ops or parts are in, each once."""
    return tuple(dict.fromkeys(thing.layer for thing in things if thing.layer))


def _described(shape: Curve) -> str:
    return f"{shape.word} ({QUADRATIC})" if shape.form == QUADRATIC else shape.word


def parts_of(model: Any, f: FlatFunction) -> tuple[Part, ...]:
    """All parts that a derivative passes and that are in the tables, in the order of the graph."""
    sorted_by = {place.op_type for place in (*f.activity.active, *f.activity.cuts)} & SORTS
    groups: dict[str, dict[Place, Curve]] = {}
    for place in f.activity.active:
        sorts = sorted_by and place.op_type in LOOKUPS
        curve = SORTING if sorts else traits_of(place.op_type).curve
        if curve is not None:
            groups.setdefault(place.layer or place.op_name, {})[place] = curve
    seen = watched(f, [place for curves in groups.values() for place in curves])
    return tuple(_part(model, seen, curves) for curves in groups.values())


def _part(
    model: Any, seen: Mapping[Place, Sequence[Watched]], curves: Mapping[Place, Curve]
) -> Part:
    """The kinked ops of a layer, or all watched ones if none has kinks."""
    layer = next(iter(curves)).layer
    kinked = [place for place, curve in curves.items() if curve.kinked]
    places = kinked or list(curves)
    shapes = {curves[place]: None for place in places}
    names = _keras_names(model, layer)
    known = [ACTIVATIONS[name] for name in names if name in ACTIVATIONS]
    if kinked and known:
        shapes = {known[0]: None}
    elif not kinked and names and not hasattr(keras.layers, names[0]):
        shapes = {Curve(names[0], form=SMOOTH): None}
    if not known and _clips(seen, places, shapes):
        shapes = {CLIPPING: None}
    ops = tuple(op for place in places for op in seen[place])
    return Part(layer, tuple(shapes), ops, whole=all(seen[place] for place in places))


def _clips(
    seen: Mapping[Place, Sequence[Watched]], places: Sequence[Place], shapes: Iterable[Curve]
) -> bool:
    """Whether they are a minimum and a maximum, both with something that is not an example's."""
    ops = [op for place in places for op in seen[place]]
    words = sorted(shape.word for shape in shapes)
    return words == ["maximum", "minimum"] and [op.operands for op in ops] == [1, 1]


def _keras_names(model: Any, name: str) -> list[str]:
    """Of a layer: its activations, then its class."""
    layers = model._flatten_layers() if isinstance(model, keras.Layer) else []
    names: list[str] = []
    for layer in layers:
        if layer.name == name:
            functions = (getattr(layer, a, None) for a in ("activation", "recurrent_activation"))
            names += [str(getattr(function, "__name__", "linear")) for function in functions]
            names.append(type(layer).__name__)
    return [name for name in names if name not in ("linear", "<lambda>")]
