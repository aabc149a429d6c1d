"""Cases of preprocessing layers: what they do to images, sounds and numbers in inference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cases.building import chain, layer_case, readout
from cases.case import Case
from cases.points import Floats, Integers
from cases.weights import precision

ROW, IMAGE, SOUND = (4,), (4, 4, 3), (16,)

OFF_IN_INFERENCE = {
    "AugMix": {},
    "MixUp": {},
    "CutMix": {},
    "RandAugment": {},
    "RandomBrightness": {"factor": 0.2},
    "RandomColorDegeneration": {"factor": 0.2},
    "RandomColorJitter": {"brightness_factor": 0.2},
    "RandomContrast": {"factor": 0.2},
    "RandomCrop": {"height": 4, "width": 4},
    "RandomElasticTransform": {},
    "RandomErasing": {},
    "RandomFlip": {},
    "RandomGaussianBlur": {},
    "RandomGrayscale": {},
    "RandomHue": {"factor": 0.2},
    "RandomInvert": {},
    "RandomPerspective": {},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.2},
    "RandomSaturation": {"factor": 0.2},
    "RandomSharpness": {"factor": 0.2},
    "RandomShear": {"x_factor": 0.2},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
}
"""Layers that change nothing in inference, with the arguments they need."""


MEL = {
    "fft_length": 8,
    "sequence_stride": 4,
    "sampling_rate": 16,
    "num_mel_bins": 4,
    "min_freq": 1.0,
    "max_freq": 8.0,
}


def _mel_spectrogram(x: Any) -> Any:
    """The layer's defaults, in any dtype: its own matrix is float32 whatever it is given."""
    with precision("float32"):
        layer = layers.MelSpectrogram(**MEL)
        matrix = layer.linear_to_mel_weight_matrix(4, 5, 16, 1.0, 8.0)
    real, imaginary = ops.stft(x, 8, 4, 8)
    power = ops.square(real) + ops.square(imaginary)
    mel = ops.matmul(power, ops.cast(matrix, x.dtype))
    return ops.swapaxes(0.5 * ops.log10(ops.maximum(mel, 1e-10)), 1, 2)


def pixel_by_pixel(make: Callable[[], Any], shape: tuple[int, ...]) -> Callable[[Any], Any]:
    """A layer that is linear in each channel, as a sum over the pixels.

    TensorFlow's bilinear and bicubic resizing gives float32 whatever it is given, this
    whatever dtype it is given.
    """
    height, width, _ = shape
    pixels = np.eye(height * width, dtype="float32").reshape(-1, height, width, 1)
    with precision("float32"):
        weights = np.asarray(make()(pixels))[..., 0]
    weights = weights.reshape(height, width, *weights.shape[1:])

    def apply(x: Any) -> Any:
        return ops.einsum("bhwc,hwij->bijc", x, ops.cast(weights, x.dtype))

    return layers.Lambda(apply)


def _resizing_case(name: str, make: Callable[[], Any], covers: str | None = None) -> Case:
    case = layer_case(name, make, IMAGE, "float32_inside", covers=covers)
    return dataclasses.replace(case, twin=lambda: chain(IMAGE, pixel_by_pixel(make, IMAGE)))


def _counted() -> keras.Model:
    """CategoryEncoding sums the weights of the categories: linear in the weights."""
    ids = keras.Input((3,), dtype="int32", name="ids")
    weights = keras.Input((3,), name="weights")
    encode = layers.CategoryEncoding(4, output_mode="count")
    return keras.Model([ids, weights], readout(encode(ids, count_weights=weights)))


def _augmented(names: Sequence[str]) -> Any:
    def apply(x: Any) -> Any:
        for name in names:
            x = getattr(layers, name)(**OFF_IN_INFERENCE[name])(x)
        return x

    return apply


def _augmentation_case(names: Sequence[str]) -> Case:
    return layer_case(
        f"{names[0]}[to_{names[-1]}]",
        lambda: _augmented(names),
        IMAGE,
        "dropout",
        covers=None,
        also=names,
        low=0.0,
    )


AUGMENTATION = [
    # Some at a time: in inference there is nothing of them left in the graph.
    _augmentation_case(names)
    for names in (["AugMix", "MixUp", "CutMix", "RandAugment"], [*OFF_IN_INFERENCE][4:])
]

IMAGES = [
    layer_case("CenterCrop", lambda: layers.CenterCrop(2, 3), IMAGE),
    layer_case("Rescaling", lambda: layers.Rescaling(2.0, offset=-0.5), IMAGE),
    layer_case("Resizing[nearest]", lambda: layers.Resizing(3, 5, "nearest"), IMAGE),
    layer_case(
        "AutoContrast",
        lambda: layers.AutoContrast(value_range=(0, 1)),
        IMAGE,
        "kinked",
        low=0.0,
    ),
    layer_case(
        "Solarization",
        lambda: layers.Solarization(value_range=(0, 1)),
        IMAGE,
        "kinked",
        low=0.0,
    ),
    layer_case(
        "Pipeline",
        lambda: layers.Pipeline([layers.Rescaling(2.0), layers.CenterCrop(3, 3)]),
        IMAGE,
    ),
]

RESIZING = [
    _resizing_case("Resizing", lambda: layers.Resizing(3, 5), covers=""),
    _resizing_case("Resizing[bicubic]", lambda: layers.Resizing(3, 5, "bicubic")),
    _resizing_case("Resizing[crop]", lambda: layers.Resizing(3, 2, crop_to_aspect_ratio=True)),
    _resizing_case(
        "UpSampling2D[bilinear]", lambda: layers.UpSampling2D(2, interpolation="bilinear")
    ),
    _resizing_case(
        "UpSampling2D[bicubic]", lambda: layers.UpSampling2D(2, interpolation="bicubic")
    ),
]

SOUNDS = [
    layer_case(
        "STFTSpectrogram",
        lambda: layers.STFTSpectrogram(frame_length=8, frame_step=4, fft_length=8),
        (16, 1),
        seed=2,
    ),
    layer_case(
        "MelSpectrogram",
        lambda: lambda x: layers.Rescaling(0.05)(layers.MelSpectrogram(**MEL)(x)),
        SOUND,
        "float32_only",
        twin=lambda: chain(SOUND, layers.Lambda(_mel_spectrogram)),
        step=1 / 256,
        seed=2,
        note="In decibels under the loudest of the batch, which matters below -80 only.",
    ),
]

NUMBERS = [
    Case(
        id="layers/CategoryEncoding",
        make=_counted,
        x=[Integers((3,), 4), Floats((3,))],
        covers=("layers.CategoryEncoding",),
        tags=frozenset({"several_inputs", "wrt"}),
        wrt=1,
    )
]

CASES = [*AUGMENTATION, *IMAGES, *RESIZING, *SOUNDS, *NUMBERS]
