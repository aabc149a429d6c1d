"""A transformer reads jokes: which words does its answer bend in?

The 283 English jokes of the package `pyjokes`; about a third are about Chuck Norris, whose name
is struck out. An embedding and a transformer block learn to tell which. Token ids have no
derivative, their embeddings do: `wrt="embedding"` asks along each token, and the pictures show
the words.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import re
import shlex
from pathlib import Path

import keras
import numpy as np
from pyjokes.jokes_en import jokes_en
from sklearn.model_selection import train_test_split

import keras_curvature as kc

TOKENS, WIDTH, HEADS = 20, 24, 2
COMMON = 2  # a word that stands in fewer jokes is unknown
NAME = re.compile(r"chuck|norris", re.IGNORECASE)


def load() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Token ids `(n, TOKENS)`, whether it is about Chuck Norris `(n, 1)`, and the vocabulary."""
    jokes = [*jokes_en["neutral"], *jokes_en["chuck"]]
    about = np.repeat([0.0, 1.0], [len(jokes_en["neutral"]), len(jokes_en["chuck"])])[:, None]
    texts = [re.findall(r"[a-z']+", NAME.sub(" ", joke).lower()) for joke in jokes]
    count: dict[str, int] = {}
    for word in (word for text in texts for word in set(text)):
        count[word] = count.get(word, 0) + 1
    vocabulary = ["", "?", *sorted(word for word in count if count[word] >= COMMON)]
    place = {word: i for i, word in enumerate(vocabulary)}
    ids = np.zeros((len(texts), TOKENS), dtype="int32")
    for row, text in zip(ids, texts, strict=True):
        known = [place.get(word, 1) for word in text[:TOKENS]]
        row[: len(known)] = known
    return ids, about.astype("float32"), vocabulary


def build(words: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    ids = keras.Input((TOKENS,), dtype="int32")
    x = layers.Embedding(words, WIDTH, name="embedding")(ids)
    attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(
        *[layers.LayerNormalization()(x)] * 2
    )
    x = layers.Add()([x, layers.Dropout(0.3)(attended)])
    h = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
    x = layers.Add()([x, layers.Dense(WIDTH)(layers.Dropout(0.3)(h))])
    pooled = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    model = keras.Model(ids, layers.Dense(1)(layers.Dropout(0.3)(pooled)))
    model.compile(
        keras.optimizers.AdamW(2e-3, weight_decay=0.05),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")],
    )
    return model


def watch(epochs: int, out: Path) -> tuple[kc.CurvatureMonitor, list[float]]:
    ids, about, vocabulary = load()
    x, x_test, y, y_test = train_test_split(
        ids, about, test_size=0.25, random_state=0, stratify=about
    )
    model = build(len(vocabulary))
    monitor = kc.CurvatureMonitor(x_test, log_dir=out, wrt="embedding", vocabulary=vocabulary)
    fit = model.fit(
        x, y, validation_data=(x_test, y_test), epochs=epochs, batch_size=16, verbose=0,
        callbacks=[monitor],
    )  # fmt: skip
    return monitor, fit.history["val_accuracy"]


def main(epochs: int = 20, out: Path = Path("logs/jokes")) -> Path:
    monitor, accuracy = watch(epochs, out)
    history = monitor.history
    print("epoch  accuracy on held-back jokes  rms curvature  its standard error")
    for i in range(1, len(history["step"]), max(1, len(history["step"]) // 6)):
        print(
            f"{history['step'][i]:5d}  {accuracy[i - 1]:27.3f}  {history['rms'][i]:13.3f}"
            f"  {history['rms_standard_error'][i]:18.3f}"
        )
    print()
    monitor.summary()
    path = out / "jokes.png"
    monitor.plot().savefig(path)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("logs/jokes"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
