"""What stands between a model and its second derivative on TensorFlow alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers

from ailing import IMAGES, TAPES, Ailment, activated, followed_by, function, stack


def noisy(x: Any) -> Any:
    """A model that rolls dice."""
    return tf.nn.silu(x) + tf.random.normal(tf.shape(x))


ON_TENSORFLOW = {
    "quantised": Ailment(
        function(lambda t: tf.quantization.fake_quant_with_min_max_args(t, -2, 2, 4)),
        "altered gradient", "FakeQuant", ("ailing",), "kc.scale_curvature",
    ),
    "layer norm": Ailment(
        followed_by(lambda: layers.LayerNormalization(name="ailing")), "TensorFlow wrong",
        "moments", ("ailing",), "with this library", "off by", options=TAPES,
    ),
    "bilinear": Ailment(
        lambda: stack(
            layers.Conv2D(2, 3, activation="silu"),
            layers.Lambda(lambda t: tf.square(tf.image.resize(t, (7, 7))), name="ailing"),
            layers.Flatten(),
            inputs=(6, 6, 1),
        ),
        "TensorFlow wrong", "ResizeBilinear", ("ailing",), "with this library", x=IMAGES,
        options=TAPES,
    ),
    "softsign": Ailment(activated("softsign"), "TensorFlow missing", "Softsign", ("ailing",),
                        "with this library", "SoftsignGrad", options=TAPES),
    "random": Ailment(function(noisy), "random", advice="Turn the noise off"),
    "python inside": Ailment(
        function(lambda t: tf.ensure_shape(tf.numpy_function(np.sin, [t], t.dtype), (None, 8))),
        "no derivative", "PyFunc", ("ailing",), "replace the op",
    ),
}  # fmt: skip
"""One model, one finding."""
