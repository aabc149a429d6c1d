"""`prove`, of functions of which the answer is known: verdicts, shares, points, words, mistakes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc

SECONDS = 5


def cubic(x):
    """Convex in each input where that input is positive; slopes are at least 1."""
    return x[:, :1] * x[:, :1] * x[:, :1] + x[:, :1] + x[:, 1:] * x[:, 1:] * x[:, 1:]


def bowl(c):
    """x² + c x y + y²: eigenvalues 2 - c and 2 + c, second derivatives 2."""
    return lambda x: x[:, :1] * x[:, :1] + c * x[:, :1] * x[:, 1:] + x[:, 1:] * x[:, 1:]


def relu_network(last):
    """|x| times `last`, and a part that is linear."""
    net = keras.Sequential([keras.Input((2,)), layers.Dense(2, "relu"), layers.Dense(1)])
    net.layers[0].set_weights([np.array([[1.0, -1.0], [0.5, -0.5]]), np.zeros(2)])
    net.layers[1].set_weights([np.full((2, 1), last), np.ones(1)])
    return net


CASES = {
    "half of it": (cubic, {0: "convex"}, "Refuted", {"x0_convex": (0.5, 0.5)}),
    "all of it": (cubic, {"x0": "increasing"}, "Proved", {"x0_increasing": (1, 0)}),
    "none of it": (cubic, {0: "decreasing"}, "Refuted", {"x0_decreasing": (0, 1)}),
    "a bound": (cubic, {0: 6.5}, "Proved", {"x0_bound": (1, 0)}),
    "a bound that is too low": (cubic, {0: 3.0}, "Refuted", {"x0_bound": (0.5, 0.5)}),
    "a line": (lambda x: x[:, :1] + 3 * x[:, 1:], {0: "linear"}, "Proved", {"x0_linear": (1, 0)}),
    "several": (
        bowl(3.0), {"x0": ("convex", 2.5), "x1": "convex"}, "Proved",
        {"x0_convex": (1, 0), "x0_bound": (1, 0), "x1_convex": (1, 0)},
    ),
    "jointly": (bowl(1.0), "convex", "Proved", {"convex": (1, 0)}),
    "not jointly": (bowl(3.0), "convex", "Refuted", {"convex": (0, 1)}),
    "not jointly either": (bowl(1.0), "concave", "Refuted", {"concave": (0, 1)}),
    "of one input alone": (lambda x: x[:, :1] * x[:, :1], "convex", "Proved", {"convex": (1, 0)}),
    "a tuple": (bowl(1.0), {(1, 0): "convex"}, "Proved", {"x1 and x0_convex": (1, 0)}),
    "the Hessian": (bowl(1.0), {"|hessian|": 3.1}, "Proved", {"|hessian|": (1, 0)}),
    "a larger Hessian": (bowl(1.0), {"|hessian|": 2.9}, "Refuted", {"|hessian|": (0, 1)}),
    "kinks upwards": (relu_network(1.0), {0: "convex"}, "Proved", {"x0_convex": (1, 0)}),
    "kinks downwards": (relu_network(-1.0), {0: "concave"}, "Proved", {"x0_concave": (1, 0)}),
}  # fmt: skip


@pytest.mark.every(2)
@pytest.mark.parametrize("case", CASES)
def test_what_is_known_is_found(case):
    model, shape, verdict, shares = CASES[case]
    proof = kc.prove(model, [-1.0, -1.0], [1.0, 1.0], shape, seconds=SECONDS, verbose=False)
    assert proof.verdict == verdict
    assert str(proof).startswith(verdict)
    assert list(proof.claims) == list(shares)
    for name, expected in shares.items():
        found = proof.proved[name], proof.refuted[name]
        assert found == pytest.approx(expected, abs=2e-3)  # the border stays open
        assert sum((*found, proof.open[name])) == pytest.approx(1, abs=1e-12)
        assert bool(proof.counterexamples[name]) == (expected[1] > 0)


@pytest.mark.parametrize(
    ("middle", "refuted"), [(0.0, 2**-10), (-0.15, 0.0)], ids=["anywhere", "where it is cut"]
)
def test_a_kink_the_wrong_way_is_found_by_slopes(middle, refuted):
    low, high = [middle - 1, 0.3], [middle + 1, 0.3]
    proof = kc.prove(relu_network(1.0), low, high, {0: "concave"}, seconds=SECONDS)
    (found,) = proof.claims.values()
    assert found.verdict == "Refuted"
    worst = found.counterexamples[0]
    assert worst.to is not None
    # Over the kink at x0 = -0.15 the slope changes by 2, over a way of at most an eighth.
    assert worst.at["x0"] <= -0.15 <= worst.to["x0"]
    assert worst.upper == pytest.approx(2 / (worst.to["x0"] - worst.at["x0"]))
    assert "on average from x0" in str(found)
    # Every line through one box has the kink inside, unless two boxes have it at an end; a box is
    # cut five times at once, and refuted where it is no longer than 1/64 of the range.
    assert found.refuted == refuted
    assert found.open <= 1e-3


def test_the_words_say_what_was_found_and_what_follows():
    proof = kc.prove(
        bowl(1.0), [-1.0, -1.0], [2.0, 2.0], {"strike": ("convex", 3.0), "spot": "concave"},
        feature_names=["strike", "spot"], seconds=SECONDS,
    )  # fmt: skip
    said = " ".join(str(proof).split())
    assert said.startswith("Refuted: of 3 claims proved 2, refuted 1.")
    assert "Proved: convex in strike, everywhere in the box (1 box" in said
    assert "The second derivative along strike is at least 1.99999." in said
    assert "a straight line misses at most 1.00001·h² over ±h: 0.0900001 over ±0.3." in said
    assert "Refuted: concave in spot. Of the volume 100 % refuted" in said
    assert "The second derivative along spot is 2 at strike" in said
    assert "Box: strike -1 to 2 and spot -1 to 2." in said
    assert "float32" in said


def test_a_tolerance_that_would_do_is_told_and_does():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(12, "tanh"), layers.Dense(1)])
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    first = kc.prove(model, -1.0, 1.0, {0: 1e3, "x1": 40.0}, seconds=SECONDS)
    assert first.verdict == "Proved"
    x = rng.uniform(-1, 1, (1000, 3))
    bends = kc.hessian_diagonal(model, x, dtype="float64")
    claim = {0: 1.2 * np.abs(keras.ops.convert_to_numpy(bends)[:, 0, 0]).max()}
    part = kc.prove(model, -1.0, 1.0, claim, seconds=1e-3).claims["x0_bound"]
    assert part.verdict == "Open"
    assert "The time was up. A tolerance of" in " ".join(part.sentences)
    needed = np.nextafter(part.needed_tolerance, np.inf)
    again = kc.prove(model, -1.0, 1.0, claim, tolerance=needed, seconds=SECONDS)
    assert again.verdict == "Proved"


def test_points_where_a_proof_failed_are_drawn_there():
    proof = kc.prove(cubic, [-1.0, 0.0], [1.0, 1.0], {0: "convex", 1: "convex"}, seconds=SECONDS)
    points = proof.open_points(200)
    assert points.shape == (200, 2)
    # All but the border of a claim is where the first input is negative.
    assert (points[:, 0] < 0).sum() >= 90
    assert ((points >= [-1, 0]) & (points <= 1)).all()
    assert (proof.open_points(50, claims="x0_convex")[:, 0] < 0.01).all()
    with pytest.raises(ValueError, match=r"`claims` must be one of"):
        proof.open_points(5, claims="x2_convex")
    with pytest.raises(ValueError, match=r"at least 1. Received: 0"):
        proof.open_points(0)
    proved = kc.prove(cubic, [0.5, 0.5], [1.0, 1.0], {0: "convex"}, seconds=SECONDS)
    with pytest.raises(ValueError, match=r"all is proved"):
        proved.open_points(5)


def test_several_inputs_have_boxes_by_name():
    inputs = {name: keras.Input((1,), name=name) for name in ("b", "a")}
    bent = layers.Multiply()([inputs["b"], inputs["b"], inputs["a"]])
    model = keras.Model(inputs, bent)
    low, high = {"a": -1.0, "b": [0.0]}, {"a": 3.0, "b": [1.0]}
    proof = kc.prove(model, low, high, {"b": "convex"}, seconds=SECONDS)
    assert proof.low == {"a": -1, "b": 0}
    assert proof.proved["b_convex"] == pytest.approx(0.75, abs=2e-3)
    drawn = proof.open_points(20)
    assert set(drawn) == {"a", "b"}
    assert drawn["a"].shape == (20, 1)


def test_ctrl_c_gives_what_is_known(monkeypatch):
    from keras_curvature.proofs.search import Search

    def interrupted(self, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Search, "run", interrupted)
    proof = kc.prove(cubic, [-1.0, -1.0], [1.0, 1.0], {0: "convex", 1: "convex"})
    assert proof.interrupted
    assert proof.verdict == "Refuted"  # by a point
    assert proof.claims["x0_convex"].open == 1
    assert "Ctrl-C" in str(proof)


NET = keras.Sequential([keras.Input((2,)), layers.Dense(3, "tanh"), layers.Dense(1)])
IDS = keras.Sequential([keras.Input((2,), dtype="int32"), layers.Embedding(4, 3), layers.Flatten()])
TWO = keras.Model(pair := [keras.Input((1,), name=name) for name in ("a", "b")], layers.Add()(pair))
DICT = keras.Model(dict(zip("ab", pair, strict=True)), layers.Multiply()(pair))
MISTAKES = {
    "a number for a function": (cubic, 0.0, 1.0, {0: "convex"}, {}, "it does not say"),
    "an array for two inputs": (TWO, [[0.0]], [[1.0]], {0: "convex"}, {}, "each of the inputs"),
    "one of two inputs": (TWO, {"a": 0.0}, {"a": 1.0}, {"a": "convex"}, {}, "Missing: ['b']"),
    "a list for a dict": (
        DICT,
        [0.0, 0.0],
        [1.0, 1.0],
        {"a": "convex"},
        {},
        "`low` must be a dict with an entry for each of the model's inputs, such as {'a': 0.0, "
        "'b': 0.5}, or one number for all of them. Received: a list of 2.",
    ),
    "an array for a dict": (DICT, np.zeros(2), 1.0, {"a": "convex"}, {}, "an array of shape (2,)"),
    "an array for a list": (TWO, np.zeros(2), 1.0, {"a": "convex"}, {}, "a dict or a list with"),
    "the wrong way round": (NET, [1, 0], [0, 1], {0: "convex"}, {}, "other way round?"),
    "without an end": (NET, [0, 0], [1, np.inf], {0: "convex"}, {}, "`high` must be finite"),
    "not a number": (NET, [np.nan, 0], [1, 1], {0: "convex"}, {}, "`low` must be finite"),
    "a point": (NET, [1, 1], [1, 1], {0: "convex"}, {}, "the box is empty"),
    "nothing": (NET, [], [], {0: "convex"}, {}, "`low` is empty"),
    "of another shape": (NET, [0, 0, 0], [1, 1, 1], {0: "convex"}, {}, "must have the shape (2,)"),
    "a batch": (NET, [[0, 0]], [[1, 1]], {0: "convex"}, {}, "without a batch"),
    "text": (NET, "a", 1, {0: "convex"}, {}, "`low` must hold numbers"),
    "other names": (NET, {"a": 0, "b": 0}, 1, {0: "convex"}, {}, "`feature_names`"),
    "integers": (IDS, 0, 3, {0: "convex"}, {}, "between integers"),
    "a word": (NET, 0, 1, {0: "convx"}, {}, "Did you mean 'convex'?"),
    "a word alone": (NET, 0, 1, "convec", {}, "Did you mean 'convex'?"),
    "a word of one input": (NET, 0, 1, "increasing", {}, "of all inputs together"),
    "a bound": (NET, 0, 1, {0: -1.0}, {}, "Received: -1.0 for 0"),
    "no bound": (NET, 0, 1, {"|hessian|": "convex"}, {}, "by a number"),
    "an input": (NET, 0, 1, {"x7": "convex"}, {}, "must name inputs of the model"),
    "nothing claimed": (NET, 0, 1, {}, {}, "an empty dict"),
    "a list": (NET, 0, 1, ["convex"], {}, "must be one of"),
    "twice": (NET, 0, 1, {0: "convex", "x0": "convex"}, {}, "each thing once"),
    "tolerance": (NET, 0, 1, {0: "convex"}, {"tolerance": -1}, "`tolerance` must be a finite"),
    "seconds": (NET, 0, 1, {0: "convex"}, {"seconds": 0}, "`seconds` must be a finite"),
    "output": (NET, 0, 1, {0: "convex"}, {"output": "no"}, "output"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told(case):
    model, low, high, shape, keywords, words = MISTAKES[case]
    with pytest.raises((ValueError, TypeError)) as error:
        kc.prove(model, low, high, shape, **keywords)
    assert words in str(error.value)


def test_what_only_rounding_leaves_open_is_not_cut_for_ever():
    model = lambda x: (x[:, :1] + 3 * x[:, 1:]) * (x[:, :1] + 3 * x[:, 1:]) / 7  # noqa: E731
    proof = kc.prove(model, [-1.0, -1.0], [1.0, 1.0], "convex", seconds=60)
    (found,) = proof.claims.values()
    assert found.verdict == "Open"
    assert found.seconds < 5
    assert 0 < found.needed_tolerance < 1e-10
    again = kc.prove(model, [-1.0, -1.0], [1.0, 1.0], "convex", tolerance=1e-10, seconds=60)
    assert again.verdict == "Proved"


@pytest.mark.tensorflow  # JAX and PyTorch trace such a number in float32
def test_the_box_that_is_told_lies_in_it_and_a_violation_can_be_typed_in_again():
    low, high = 0.12345678, 0.1234567891234567
    proof = kc.prove(lambda x: x**2, [low], [high], {0: "convex"}, seconds=5)
    told = [float(word) for word in proof.box.split() if word[0].isdigit()]
    # What is told is proved, too: it lies inside, and misses hardly anything.
    assert low <= told[0] <= told[1] <= high
    assert told == pytest.approx([low, high], rel=0, abs=1e-4 * (high - low))
    assert (proof.low, proof.high) == ({"x": low}, {"x": high})
    # Concave on so little that six digits of a point in it lie outside.
    middle, reach = 0.7123456789, 1e-9
    proof = kc.prove(
        lambda x: (x - middle) ** 4 / 12 - reach**2 * x**2 / 2,
        [middle - reach / 2],
        [middle + reach / 2],
        {0: "convex"},
        seconds=5,
    )
    (claim,) = proof.claims.values()
    said = str(claim.counterexamples[0])
    typed = float(said.rsplit(maxsplit=1)[-1])
    assert typed == next(iter(claim.counterexamples[0].at.values()))
    assert (typed - middle) ** 2 < reach**2


def test_an_empty_box_is_told_with_the_digits_that_show_it():
    with pytest.raises(ValueError, match=r"0\.12345679 and 0\.12345678 "):
        kc.prove(lambda x: x**2, [0.12345679], [0.12345678], {0: "convex"})


def test_numbers_for_people_are_short_and_on_the_safe_side():
    low, high = 60.44205856323242, 139.55794143676758
    tolerance = 3.1204135646791764e-08
    shape = {0: ("convex", "concave")}
    square = lambda x: x * x  # noqa: E731
    proof = kc.prove(square, [low], [high], shape, tolerance=tolerance, seconds=SECONDS)
    said = " ".join(str(proof).split())
    assert "Box: x 60.443 to 139.557." in said
    assert "convex in x, with a tolerance of 3.13e-08" in said  # proved with less
    assert "concave in x, with a tolerance of 3.12e-08" in said  # refuted with more
    words = [text.get_text() for text in proof.plot().texts]
    assert "Box: x 60 to 140" in words
    assert proof.claims["x_convex"].tolerance == tolerance
    assert (proof.low["x"], proof.high["x"]) == (low, high)


def test_a_violation_is_told_at_a_point_of_few_digits():
    proof = kc.prove(cubic, [-1.0, -1.0], [1.0, 1.0], {0: 3.0, 1: "convex"}, seconds=SECONDS)
    for found in proof.claims.values():
        for one in found.counterexamples:
            assert one.lower <= one.upper
            assert all(len(f"{x}") <= 9 for x in one.at.values())


def test_one_number_is_for_all_of_several_inputs():
    for model in (TWO, DICT):
        proof = kc.prove(model, -1.0, 2, {"a": "convex"}, seconds=SECONDS)
        assert (proof.low, proof.high) == ({"a": -1, "b": -1}, {"a": 2, "b": 2})


def test_a_slice_says_so_and_at_what():
    def model(x):
        return x[:, :1] * x[:, :1] * x[:, 1:2] * x[:, 2:]

    proof = kc.prove(model, 3 * [-1.0], 3 * [1.0], {0: "convex", 1: "convex"}, seconds=SECONDS)
    first, second = proof.maps
    assert first.verdict == "Refuted"
    assert first.shares == ", ".join(proof.claims["x0_convex"].shares)
    # The worst points are where x1 x2 is -1; x0 and one of the other two are drawn.
    assert first.held in ("x1 = 1", "x1 = -1", "x2 = 1", "x2 = -1")
    assert (second.verdict, second.shares) == ("Proved", "100 % proved")
    assert proof.plot().axes[0].texts[-1].get_text() == f"slice at {first.held}"


def test_rows_of_a_data_frame_go_by_the_names_of_its_columns():
    frame = pytest.importorskip("pandas").DataFrame({"vol": [0.1, 0.4], "spot": [60.0, 140.0]})
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "softplus")])
    for low, high in ((frame.min(), frame.max()), (frame.min(), frame.max()[["spot", "vol"]])):
        proof = kc.prove(model, low, high, {"spot": "convex"}, feature_names=["spot", "vol"])
        assert (proof.low, proof.high) == ({"spot": 60, "vol": 0.1}, {"spot": 140, "vol": 0.4})
        proof = kc.prove(model, low, high, {"spot": "convex"})
        assert (proof.low, proof.high) == ({"vol": 0.1, "spot": 60}, {"vol": 0.4, "spot": 140})
    with pytest.raises(ValueError, match=r"`low` as a dict must have an entry for each of \['a'"):
        kc.prove(model, frame.min(), frame.max(), {"a": "convex"}, feature_names=["a", "b"])
