import numpy as np
import tensorflow as tf

from keras_curvature.engines.tensorflow.random_directions import rademacher, sparse_rademacher


def test_signs_are_fair_and_independent_of_each_other():
    signs = rademacher([40, 5, 50], seed=3).numpy().reshape(40, -1).astype(float)
    assert set(np.unique(signs)) == {-1, 1}
    assert abs(signs.mean()) < 0.05  # 10,000 draws: 5 standard deviations
    products = signs @ signs.T / signs.shape[1]
    assert np.abs(products - np.eye(40)).max() < 0.32  # 250 draws each: 5 standard deviations


def test_more_examples_keep_the_signs_of_the_first():
    few, many = rademacher([3, 2, 5], seed=0), rademacher([9, 2, 5], seed=0)
    np.testing.assert_array_equal(many[:3], few)


def test_another_seed_gives_others():
    assert (rademacher([64], seed=0).numpy() != rademacher([64], seed=1).numpy()).any()


def test_an_example_keeps_its_directions_whichever_are_drawn_with_it():
    together = sparse_rademacher([4, 50], 3, tf.range(9)).numpy()
    np.testing.assert_array_equal(
        sparse_rademacher([4, 50], 3, tf.constant([7, 2])), together[[7, 2]]
    )
    assert len({one.tobytes() for one in together}) == 9


def test_every_entry_is_0_two_times_in_three():
    """Those of the last digits too: there is one of each in a number, for some part of them."""
    drawn = np.abs(sparse_rademacher([24_000], 0, tf.range(1000)).numpy())
    share = drawn.reshape(1000, 12, 2000).mean(axis=(0, 2))
    # Five standard deviations of two million draws; of twelve digits the last ones were 0.0047 off.
    np.testing.assert_allclose(share, 1 / 3, atol=5 * np.sqrt(2 / 9 / 2e6))
