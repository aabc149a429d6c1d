"""Random directions on PyTorch: how they are distributed, and on what they depend."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from keras_curvature.engines.torch import random_directions as drawn

DRAWS = {
    "normal": lambda seed: drawn.normal([64, 3], seed, "float32"),
    "rademacher": lambda seed: drawn.rademacher([64, 3], seed),
    "sparse_rademacher": lambda seed: drawn.sparse_rademacher([3], seed, torch.arange(64)),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_seed_says_all_and_nothing_else_is_drawn_from(draw):
    before = torch.get_rng_state()
    first = draw(1)
    torch.rand(3)
    assert torch.equal(draw(1), first)
    assert not torch.equal(draw(2), first)
    assert not torch.equal(draw(-(2**40)), draw(2**70))
    torch.set_rng_state(before)
    draw(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_each_example_has_its_own_draw():
    whole = drawn.sparse_rademacher([5, 4], 3, torch.arange(9))
    assert whole.shape == (9, 5, 4)
    assert torch.equal(drawn.sparse_rademacher([5, 4], 3, torch.tensor([7, 2])), whole[[7, 2]])
    assert torch.equal(drawn.sparse_rademacher([5, 4], 3, np.array([7])), whole[[7]])
    assert drawn.sparse_rademacher([0], 3, torch.arange(2)).shape == (2, 0)
    assert drawn.sparse_rademacher([3], 3, torch.arange(0)).shape == (0, 3)


def test_a_longer_draw_of_signs_continues_the_shorter():
    assert torch.equal(drawn.rademacher([70, 7], 5)[:50], drawn.rademacher([50, 7], 5))


def test_normal_entries_are_the_same_in_every_dtype():
    wide = drawn.normal([8], 0, "float64")
    assert wide.dtype == torch.float64
    assert torch.equal(wide.float(), drawn.normal([8], 0, torch.float32))


COUNT = 100_000
"""Draws of each entry: its mean is off by 0.003 or so, and one of 1.014 is told from 1."""

MOMENTS = {
    # second, fourth
    "normal": (lambda: drawn.normal([COUNT, 13], 0, "float64"), 1, 3),
    "rademacher": (lambda: drawn.rademacher([COUNT, 13], 0).double(), 1, 1),
    "sparse_rademacher": (
        lambda: drawn.sparse_rademacher([13], 0, torch.arange(COUNT)).double() * 3**0.5,
        1,
        3,
    ),
}


@pytest.mark.parametrize(("draw", "second", "fourth"), MOMENTS.values(), ids=MOMENTS)
def test_every_entry_has_the_moments(draw, second, fourth):
    """Each by itself: of the digits of one number the last would be the first to be off."""
    found = draw()
    np.testing.assert_allclose(found.mean(0), 0, atol=0.015)
    np.testing.assert_allclose((found**2).mean(0), second, atol=0.0135 * (fourth > 1))
    np.testing.assert_allclose((found**4).mean(0), fourth, atol=0.13 * (fourth > 1))
    together = found.T @ found / COUNT
    np.testing.assert_allclose(together - torch.diag(together.diagonal()), 0, atol=0.018)


def scattered(word):
    """SplitMix64, in Python's integers."""
    word = (word + 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


@pytest.mark.parametrize("word", [0, 1, -1, 2**63 - 1, -(2**63), 123456789])
def test_words_are_mixed_as_published(word):
    assert int(drawn._mixed(torch.tensor([word]))) % 2**64 == scattered(word % 2**64)
