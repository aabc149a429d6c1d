"""Cases of attention layers: self, cross, grouped, causal, masked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from cases.building import layer_case, readout
from cases.case import Case
from cases.points import Floats, Integers

TOKENS, MEMORY = (4, 3), (3, 3)


def _self(layer: Callable[..., Any], **kwargs: Any) -> Callable[[Any], Any]:
    return lambda x: layer(x, x, **kwargs)


def _queried(layer: Callable[..., Any]) -> Callable[[Any], Any]:
    """For layers without weights of their own: query, value and key are different."""
    return lambda x: layer([layers.Dense(3)(x) for _ in range(3)])


def _cross(make: Callable[[], Any]) -> keras.Model:
    tokens, memory = keras.Input(TOKENS, name="tokens"), keras.Input(MEMORY, name="memory")
    return keras.Model([tokens, memory], readout(make()(tokens, memory)))


def _masked() -> keras.Model:
    tokens = keras.Input(TOKENS, name="tokens")
    mask = keras.Input((4, 4), name="mask", dtype="int32")
    attended = layers.MultiHeadAttention(2, 2)(tokens, tokens, attention_mask=mask)
    return keras.Model([tokens, mask], readout(attended))


def _padded() -> keras.Model:
    """A mask that Keras carries along, from an Embedding to the attention."""
    ids = keras.Input((4,), dtype="int32")
    vectors = layers.Embedding(4, 3, mask_zero=True, name="embedding")(ids)
    attended = layers.MultiHeadAttention(2, 2)(vectors, vectors)
    return keras.Model(ids, readout(layers.GlobalAveragePooling1D()(attended)))


SELF = [
    layer_case("MultiHeadAttention", lambda: _self(layers.MultiHeadAttention(2, 2)), TOKENS),
    layer_case(
        "MultiHeadAttention[causal]",
        lambda: _self(layers.MultiHeadAttention(2, 2), use_causal_mask=True),
        TOKENS,
    ),
    layer_case(
        "MultiHeadAttention[dropout]",
        lambda: _self(layers.MultiHeadAttention(2, 2, dropout=0.5)),
        TOKENS,
        "dropout",
    ),
    layer_case(
        "MultiHeadAttention[scores]",
        lambda: _self(layers.MultiHeadAttention(2, 2), return_attention_scores=True),
        TOKENS,
    ),
    layer_case(
        "MultiHeadAttention[two_axes]",
        lambda: _self(layers.MultiHeadAttention(2, 2, attention_axes=(1, 2))),
        (2, 2, 3),
    ),
    layer_case("GroupQueryAttention", lambda: _self(layers.GroupQueryAttention(2, 4, 2)), TOKENS),
    layer_case(
        "GroupQueryAttention[causal]",
        lambda: _self(layers.GroupQueryAttention(2, 2, 1), use_causal_mask=True),
        TOKENS,
    ),
    layer_case("Attention", lambda: _queried(layers.Attention(use_scale=True)), TOKENS),
    layer_case(
        "Attention[concat]", lambda: _queried(layers.Attention(score_mode="concat")), TOKENS
    ),
    layer_case("AdditiveAttention", lambda: _queried(layers.AdditiveAttention()), TOKENS),
]

CROSS = [
    Case(
        id=f"layers/{name}[cross]",
        make=lambda make=make: _cross(make),
        x=[Floats(TOKENS), Floats(MEMORY)],
        tags=frozenset({"several_inputs"}),
    )
    for name, make in {
        "MultiHeadAttention": lambda: layers.MultiHeadAttention(2, 2),
        "GroupQueryAttention": lambda: layers.GroupQueryAttention(2, 4, 2),
    }.items()
]

MASKED = [
    Case(
        id="layers/MultiHeadAttention[masked]",
        make=_masked,
        x=[Floats(TOKENS), Integers((4, 4), 2)],
        tags=frozenset({"several_inputs", "wrt"}),
        wrt=0,
        note="A row of the mask may be all zero: then all keys count alike.",
    ),
    Case(
        id="layers/MultiHeadAttention[padding]",
        make=_padded,
        x=Integers((4,), 4),
        tags=frozenset({"wrt"}),
        wrt="embedding",
    ),
]

CASES = [*SELF, *CROSS, *MASKED]
