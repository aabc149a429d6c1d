"""What TensorBoard's HParams dashboard is told of our scalars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_curvature.report.metrics import MEANINGS

if TYPE_CHECKING:
    from tensorboard.plugins.hparams import summary_v2

HEADLINE = ("mean", "rms", "scale_mean", "scale_rms", "slope_change", "hidden_fraction", "r2")
"""The numbers in the order in which they are shown; `r2` has a run whose probe is `(x, y)`."""


def hparams_metrics(name: str = "curvature", *, shape: bool = False) -> list[summary_v2.Metric]:
    """Makes the headline numbers metrics of TensorBoard's HParams dashboard.

    Each is shown as `<name>_<number>`, as in Keras's `logs`, beside the metrics that are
    given with them. A session of the dashboard is the `log_dir` of its monitor.

    Args:
        name: of the monitor.
        shape: whether it has a `shape`: then `shape_fraction` comes first.

    Returns:
        For `metrics` of `hp.hparams_config`.

    Raises:
        TypeError: for a `name` that is not a str.

    Example:
        >>> import keras_curvature as kc
        >>> from tensorboard.plugins.hparams import api as hp
        >>> metrics = [hp.Metric("epoch_loss", group="train"), *kc.hparams_metrics()]
        >>> [metric.as_proto().display_name for metric in metrics[1:3]]
        ['curvature_mean', 'curvature_rms']
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be the name of a monitor, a str. Received: {name!r}.")
    # What its `api` gives out, and which needs TensorFlow; takes as long as the whole library.
    from tensorboard.plugins.hparams import summary_v2

    return [
        summary_v2.Metric(
            f"{name}/{number}",
            group=name,
            display_name=f"{name}_{number}",
            description=MEANINGS[number].sentence,
        )
        for number in (("shape_fraction",) if shape else ()) + HEADLINE
    ]
