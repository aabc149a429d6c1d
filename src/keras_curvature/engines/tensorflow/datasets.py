"""Reading datasets of TensorFlow, which Keras takes on every backend, without a trace."""

from __future__ import annotations

import tensorflow as tf

from keras_curvature.engines.tensorflow.private import datasets_behind

ERRORS = tf.errors.OpError
"""What a dataset raises that fails while it is read."""


def is_endless(dataset: tf.data.Dataset) -> bool:
    """Whether it says that it has no end."""
    return int(dataset.cardinality()) == int(tf.data.INFINITE_CARDINALITY)


def unread(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """A copy of a dataset that shuffles, which begins as that will when it is first read."""
    if not any(type(part).__name__ == "_ShuffleDataset" for part in datasets_behind(dataset)):
        return dataset
    try:
        serialized = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(dataset), external_state_policy=1
        )
        graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
        for node in graph.node:
            if node.op == "ShuffleDatasetV3":
                # The older op makes a counter of its own; the newer one is handed the dataset's.
                node.op = "ShuffleDataset"
                del node.input[4:]
        copy = tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())
    except (tf.errors.OpError, ValueError):  # not everything can be written down
        return dataset
    return tf.data.experimental.from_variant(copy, dataset.element_spec)
