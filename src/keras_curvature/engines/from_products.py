"""The named derivatives from products of Hessians with directions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import tensorflow as tf

from keras_curvature.engines.quantities import (
    ALONG_AXES,
    ALONG_V,
    CURVATURE,
    DIAGONAL,
    DIRECTIONAL,
    HESSIAN,
    JACOBIAN,
    LAPLACIAN,
    PRODUCT,
    SLOPE,
    VALUE,
    Along,
    Compute,
    Groups,
    Products,
    Trace,
)
from keras_curvature.engines.tensorflow import nested
from keras_curvature.engines.tensorflow.function import FlatFunction


def along_by_products(products: Products) -> Along:
    """Slope and curvature along directions from an engine that multiplies Hessians with them."""

    def along(
        f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        value, jacobian = nested.value_and_jacobian(f, z, rest)
        rows = products(f, z, rest, directions)
        v = tf.transpose(directions, [1, 0, 2])[:, None]
        return {
            VALUE: value,
            SLOPE: tf.reduce_sum(jacobian[:, :, None] * v, axis=-1),
            CURVATURE: tf.reduce_sum(rows * v, axis=-1),
        }

    return along


def groups_by(along: Along) -> Groups:
    """Means over groups from what holds along each direction."""

    def in_groups(
        f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], groups: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        g, k = groups.shape[:2]
        found = along(f, z, rest, tf.reshape(groups, [g * k, -1, f.inputs.width]))
        apart = [-1, f.outputs.width, g, k]
        return {
            VALUE: found[VALUE],
            SLOPE: tf.reduce_mean(tf.reshape(found[SLOPE] ** 2, apart), axis=3),
            CURVATURE: tf.reduce_mean(tf.reshape(found[CURVATURE], apart), axis=3),
        }

    return in_groups


def trace_by_products(products: Products) -> Trace:
    """The mean curvature along directions from an engine that multiplies Hessians with them."""

    def trace(
        f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
    ) -> tf.Tensor:
        rows = products(f, z, rest, directions)
        along = tf.reduce_sum(rows * tf.transpose(directions, [1, 0, 2])[:, None], axis=-1)
        return tf.reduce_mean(along, axis=2)

    return trace


def by_products(products: Products) -> Compute:
    """Named derivatives from an engine that multiplies Hessians with directions."""

    def compute(
        f: FlatFunction,
        z: tf.Tensor,
        rest: Sequence[tf.Tensor],
        v: tf.Tensor | None,
        names: Collection[str],
        directions_at_once: int,
    ) -> dict[str, tf.Tensor]:
        results: dict[str, tf.Tensor] = {}
        if JACOBIAN in names:
            results[VALUE], results[JACOBIAN] = nested.value_and_jacobian(f, z, rest)
        elif VALUE in names:
            results[VALUE] = f(z, rest)
        if ALONG_AXES & set(names):
            results |= _along_axes(products, f, z, rest, HESSIAN in names, directions_at_once)
        if ALONG_V & set(names):
            assert v is not None, "checked by the caller"
            product = products(f, z, rest, v[None])[:, :, 0]
            results[PRODUCT] = product
            results[DIRECTIONAL] = tf.reduce_sum(product * v[:, None], axis=-1)
        return {name: results[name] for name in names}

    return compute


def _along_axes(
    products: Products,
    f: FlatFunction,
    z: tf.Tensor,
    rest: Sequence[tf.Tensor],
    whole: bool,
    at_once: int,
) -> dict[str, tf.Tensor]:
    d = f.inputs.width
    blocks, diagonals = [], []
    for start in range(0, d, at_once):
        axes = tf.eye(d, dtype=z.dtype)[start : start + at_once]
        directions = tf.tile(axes[:, None], [1, tf.shape(z)[0], 1])
        rows = products(f, z, rest, directions)
        diagonals.append(tf.reduce_sum(rows * axes, axis=-1))
        if whole:
            blocks.append(rows)
    diagonal = tf.concat(diagonals, axis=2)
    results = {DIAGONAL: diagonal, LAPLACIAN: tf.reduce_sum(diagonal, axis=-1)}
    if whole:
        results[HESSIAN] = tf.concat(blocks, axis=2)
    return results
