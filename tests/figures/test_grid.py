"""Images and sequences are drawn as such, whatever the number of their entries."""

import dataclasses

import numpy as np
import pytest

from closed_forms import features_of, on_grid, pairs_of, report
from drawn import texts
from keras_curvature import figures

SHAPES = {
    "grey image": ((8, 8), ("row", "column")),
    "with a channel": ((8, 8, 1), ("row", "column")),
    "with colours": ((5, 6, 3), ("row", "column")),
    "sequence": ((20, 3), ("channel", "step")),
    "volume": ((4, 3, 2, 2), ("row", "column")),
}


def as_drawn(values, shape):
    """What a picture has in its rows and columns."""
    if len(shape) > 2:
        return values.reshape(*shape[:2], -1).sum(axis=2)
    grid = values.reshape(shape)
    return grid if shape == (8, 8) else grid.T


@pytest.mark.parametrize(("shape", "names"), SHAPES.values(), ids=SHAPES)
def test_each_place_has_its_curvature_exactly_and_over_a_distance(shape, names):
    m = on_grid(shape)
    m = dataclasses.replace(m, scale_diagonal=3 * m.diagonal)
    features = features_of(m)
    figure = figures.draw(m, report(features, interactions=pairs_of(m)))
    mean, exact, over = figure.axes[:3]
    sizes = as_drawn(np.array(list(features.values())), shape)
    np.testing.assert_allclose(mean.images[0].get_array(), as_drawn(m.x.mean(axis=0), shape))
    np.testing.assert_allclose(exact.images[0].get_array(), sizes)
    np.testing.assert_allclose(over.images[0].get_array(), 3 * sizes)
    assert exact.images[0].get_clim() == over.images[0].get_clim()
    assert (mean.get_ylabel(), mean.get_xlabel()) == names
    assert len(figure.axes) == 4  # three images and a bar of colours
    assert any("sum over the channels" in text for text in texts(figure)) == (len(shape) > 2
        and np.prod(shape[2:]) > 1)  # fmt: skip


def test_columns_of_a_table_stay_bars():
    m = dataclasses.replace(on_grid((64,)), example_shape=(64,))
    figure = figures.draw(m, report(features_of(m), interactions=pairs_of(m)))
    assert figure.axes[0].containers


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e300, 0.0])
def test_odd_numbers_are_drawn(number):
    m = on_grid((4, 5, 1))
    changed = dataclasses.replace(
        m, diagonal=np.full_like(m.diagonal, number), scale_diagonal=m.scale_diagonal * number
    )
    figures.to_png(figures.draw(changed, report(dict.fromkeys(m.feature_names, number))))
