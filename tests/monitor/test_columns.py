"""A monitor of some columns of an input, or of one input of several: numbers, names, pictures."""

import keras
import numpy as np
import pytest

from drawn import line
from keras_curvature_page.packets import unpack
from served import ROOT, served
from watched import untrained

X = np.random.default_rng(0).uniform(0.5, 1.5, size=(200, 3)).astype("float32")
NAMES = ["spot", "strike", "vol"]


def of_one_array():
    """`spot² strike + strike³ vol` of three columns."""
    inputs = keras.Input((3,))
    spot, strike, vol = keras.ops.unstack(inputs, axis=1)
    return keras.Model(inputs, (spot**2 * strike + strike**3 * vol)[:, None])


def of_a_market():
    """The same, of one of two inputs."""
    inputs = {
        "market": keras.Input((3,), name="market"),
        "unused": keras.Input((1,), name="unused"),
    }
    return keras.Model(inputs, of_one_array()(inputs["market"]))


def of_several_inputs():
    """The same of three inputs."""
    inputs = {name: keras.Input((1,), name=name) for name in NAMES}
    spot, strike, vol = inputs.values()
    return keras.Model(inputs, spot**2 * strike + strike**3 * vol)


BY_INPUT = {name: X[:, i : i + 1] for i, name in enumerate(NAMES)}


class Frame:
    """What a probe uses of a data frame."""

    columns = NAMES

    def __array__(self, dtype=None, copy=None):
        return X


WAYS = {
    "index": (of_one_array, X, {"columns": [1]}, "x1"),
    "name": (of_one_array, X, {"columns": ["strike"], "feature_names": NAMES}, "strike"),
    "name of an input's column": (
        of_a_market, {"market": X, "unused": X[:, :1]},
        {"wrt": "market", "columns": "strike", "feature_names": {"market": NAMES}}, "strike",
    ),
    "data frame": (of_one_array, Frame(), {"columns": "strike"}, "strike"),
    "input": (of_several_inputs, BY_INPUT, {"wrt": "strike"}, "strike"),
}  # fmt: skip


def test_a_data_frame_in_another_order_than_the_names_gives_the_same_numbers():
    frame = pytest.importorskip("pandas").DataFrame(X, columns=NAMES)
    y = of_one_array()(X)
    same = [
        untrained(of_one_array(), (table, y), columns=["spot"], feature_names=NAMES).reports[""]
        for table in (frame, frame[NAMES[::-1]])
    ]
    assert same[1].headline["r2"] == same[0].headline["r2"] == pytest.approx(1)
    assert same[1].features == same[0].features


@pytest.mark.slow
@pytest.mark.parametrize("columns", [None, ["vol", "strike"]])
def test_known_derivatives_in_a_data_frame_are_those_of_the_columns_of_their_names(columns):
    frame = pytest.importorskip("pandas").DataFrame(X, columns=NAMES)
    _, strike, vol = X.T
    known = {"spot": 2 * strike, "strike": 6 * strike * vol, "vol": 0 * vol}
    chosen = {name: known[name] for name in sorted(columns or NAMES)}
    reference = type(frame)(chosen)[sorted(chosen)]
    report = untrained(
        of_one_array(), frame[NAMES[::-1]], columns=columns, feature_names=NAMES,
        reference=reference, units="raw",
    ).reports[""]  # fmt: skip
    assert report.reference["reference_rmse"] < 1e-5


@pytest.fixture(scope="module", params=WAYS.values(), ids=WAYS)
def way(request):
    """A monitor that has measured by the strike, and what it calls that."""
    make, probe, options, name = request.param
    return untrained(make(), probe, **options), name


@pytest.mark.every(3)
def test_numbers_are_those_of_the_column_under_its_own_name(way):
    monitor, name = way
    _, strike, vol = X.T.astype(float)
    second = 6 * strike * vol
    assert monitor.history["mean"][0] == pytest.approx(second.mean(), rel=1e-5)
    assert monitor.history["rms"][0] == pytest.approx(np.sqrt((second**2).mean()), rel=1e-5)
    report = monitor.reports[""]
    assert list(report.features) == [name]
    assert f"feature/{name}" in monitor.history


@pytest.mark.every(3)
def test_the_picture_is_a_line_with_the_others_held_and_dots(way):
    monitor, name = way
    function, slope, curvature = monitor.plot().axes
    assert curvature.get_xlabel() == f"{name}  [x]"
    at = line(curvature, "exact").get_xdata()
    assert (np.diff(at) > 0).all()
    assert at[[0, -1]] == pytest.approx(X[:, 1].astype(float)[[X[:, 1].argmin(), X[:, 1].argmax()]])
    # The others are those of a point of the probe, one for the whole line.
    vol = line(curvature, "exact").get_ydata() / (6 * at)
    np.testing.assert_allclose(vol, vol[0], rtol=1e-5)
    centre = np.abs(X[:, 2] - vol[0]).argmin()
    assert X[centre, 2] == pytest.approx(vol[0], rel=1e-5)
    spot = float(X[centre, 0])
    told = f"held as at probe point {centre}."
    assert told in " ".join(monitor.reports[""].method)
    np.testing.assert_allclose(
        line(function, "model").get_ydata(), spot**2 * at + at**3 * vol[0], rtol=1e-5
    )
    np.testing.assert_allclose(
        line(slope, "exact").get_ydata(), spot**2 + 3 * at**2 * vol[0], rtol=1e-5
    )
    over = line(curvature, "over")
    inner = np.interp(over.get_xdata(), at, 6 * at * vol[0])
    np.testing.assert_allclose(over.get_ydata()[5:-5], inner[5:-5], rtol=1e-3)  # a mean of some
    order = np.argsort(X[:, 1], kind="stable")
    dots = line(curvature, "points")
    assert dots.get_linestyle() == "None"
    np.testing.assert_allclose(dots.get_xdata(), X[order, 1])
    np.testing.assert_allclose(dots.get_ydata(), 6 * X[order, 1] * X[order, 2], rtol=1e-4)
    assert any("the other inputs are held" in text.get_text() for text in monitor.plot().texts)


@pytest.mark.slow
def test_nothing_is_held_where_all_is_differentiated_by_or_nothing_else_matters():
    spread = np.linspace(-1, 1, 50, dtype="float32")[:, None]
    net = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, name="first"), keras.layers.Dense(1)]
    )
    for monitor in (
        untrained(net, spread),
        untrained(net, spread, wrt="first"),  # the output depends on the input by it alone
        untrained(of_one_array(), X, columns=[0, 1, 2]),
        untrained(of_one_array(), X),
    ):
        assert monitor._found.measurements[""].held is None


def test_two_columns_of_several_are_a_map_with_the_others_held():
    asked = {"columns": ["vol", "strike"], "feature_names": NAMES, "units": "raw"}
    monitor = untrained(of_one_array(), X, **asked)
    held = monitor._found.measurements[""].held
    vol, strike = held.x.T
    spot = (held.value[:, 0] - strike**3 * vol) / strike
    np.testing.assert_allclose(spot, spot[0], rtol=1e-4)  # float32
    np.testing.assert_allclose(held.hessian[:, 0, 0, 1], 3 * strike**2, rtol=1e-4)
    figure = monitor.plot()
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("vol", "strike")
    ground, *_, dots = figure.axes[1].collections
    np.testing.assert_allclose(
        np.sort(np.asarray(dots.get_array())), np.sort(6 * X[:, 1] * X[:, 2]), rtol=1e-4
    )
    corners = {(x, y) for x in held.x[[0, -1], 0] for y in held.x[[0, -1], 1]}
    coloured = {tuple(point) for path in ground.get_paths() for point in path.vertices}
    assert corners <= coloured  # which no triangle of the probe's points reaches
    assert held.in_units("std").x.shape == held.x.shape


def packets_of(folder):
    """What the tab is given of the probe, header and arrays, and the arrays of step 0."""
    client = served(folder)
    (item,) = client.get(f"{ROOT}/runs").json["series"]

    def packet(tag, step):
        query = {"run": item["run"], "tag": tag, "steps": step}
        return unpack(client.get(f"{ROOT}/packets", query_string=query).data[16:])

    return packet(item["probe_tag"], item["probe_steps"][-1]), packet(item["tag"], 0)[1]


def test_the_tab_is_given_the_line_and_the_dots(tmp_path):
    options = {"wrt": "strike", "units": "std", "reference": 6 * X[:, 1:2] * X[:, 2:]}
    untrained(of_several_inputs(), BY_INPUT, log_dir=tmp_path, **options).on_train_end()
    (about, still), moving = packets_of(tmp_path)
    assert about["names"] == ["strike"]
    assert about["held"] is True
    spread = X[:, 1].std() ** 2 / (X[:, 0] ** 2 * X[:, 1] + X[:, 1] ** 3 * X[:, 2]).std()
    x, points = still["x"][0], still["points"][0]
    order = np.argsort(X[:, 1], kind="stable")
    np.testing.assert_allclose(points, X[order, 1], rtol=1e-6)
    known = 6 * X[order, 1] * X[order, 2] * spread
    for name, array in (("reference", still["reference"]), ("second", moving["point_second"])):
        np.testing.assert_allclose(array[0, 0], known, rtol=1e-4, err_msg=name)
    ratio = moving["second"][0, 0] / x
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    assert {"point_value", "point_slope"} <= moving.keys()


def test_a_map_is_not_compared_with_what_is_known_elsewhere(tmp_path):
    options = {"columns": ["vol", "strike"], "feature_names": NAMES}
    known = {"reference": np.stack([0 * X[:, 0], 6 * X[:, 1] * X[:, 2]], axis=1)}
    untrained(of_one_array(), (X, X[:, :1]), log_dir=tmp_path, **options, **known).on_train_end()
    (_, still), moving = packets_of(tmp_path)
    assert moving["value"].shape[1] == still["x"].shape[1] != len(X)
    assert not {"target", "reference", "points"} & still.keys()
    first, last = still["window"]
    assert (still["x"].min(axis=1) < first).all()
    assert (last < still["x"].max(axis=1)).all()


BAD = {
    "no names": (X, {"columns": ["strike"]}, "`feature_names` in a monitor"),
    "unknown": (X, {"columns": "gamma", "feature_names": NAMES}, "among .*Received: 'gamma'"),
    "names of the columns alone": (
        X, {"columns": [1], "feature_names": ["strike"]}, "3 different names"
    ),
    "of several inputs": (BY_INPUT, {"columns": ["strike"]}, "wrt='strike'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_told_before_training(case):
    probe, options, message = BAD[case]
    model = of_several_inputs() if isinstance(probe, dict) else of_one_array()
    with pytest.raises(ValueError, match=message):
        untrained(model, probe, **options)


@pytest.mark.slow
def test_the_loss_bends_along_a_column_too():
    """`(y - f)²` by the strike, where `f` is linear in it and `y` is held: `2 f'²`."""
    inputs = keras.Input((3,))
    spot, strike, _ = keras.ops.unstack(inputs, axis=1)
    model = keras.Model(inputs, (spot * strike)[:, None])
    loss = keras.losses.MeanSquaredError()
    monitor = untrained(model, (X, X[:, 2:]), columns=[1], output=loss)
    assert monitor.history["mean"][0] == pytest.approx(2 * np.mean(X[:, 0] ** 2), rel=1e-5)
    held = monitor._found.measurements[""].held
    everywhere = np.full_like(held.diagonal, held.diagonal[0, 0, 0])
    np.testing.assert_allclose(held.diagonal, everywhere, rtol=1e-5)


def test_a_reference_and_a_scale_are_of_the_columns():
    known = 6 * X[:, 1:2] * X[:, 2:]
    monitor = untrained(of_one_array(), X, columns=[1], scale=[0.1], reference=known)
    assert monitor.history["reference_rmse"][0] < 1e-4
    assert monitor.history["scale_reference_rmse"][0] < 1e-2  # float32 / h²
