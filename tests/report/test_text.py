"""Names as they stand beside a chart."""

import pytest

from keras_curvature.report.text import labels

NAMES = {
    "short": (["age", "bmi"], ["age", "bmi"]),
    "they differ at the end": (
        ["mean_temperature_of_inlet_a", "mean_temperature_of_inlet_b"],
        ["mean_t…e_of_inlet_a", "mean_t…e_of_inlet_b"],
    ),
    "at the beginning": (
        ["inlet_temperature_of_the_day", "outlet_temperature_of_the_day"],
        ["inlet_…e_of_the_day", "outlet…e_of_the_day"],
    ),
    "in the middle": (
        ["native_country_is_peru_in_1990_or_later", "native_country_is_cuba_in_1990_or_later"],
        ["native…s_peru_in_1…", "native…s_cuba_in_1…"],
    ),
    "one is the beginning of the other": (
        ["temperature_of_the_inlet", "temperature_of_the_inlet_squared"],
        ["temper…of_the_inlet", "temper…nlet_squared"],
    ),
    "one alone": (["temperature_of_the_inlet"], ["temper…of_the_inlet"]),
    "none": ([], []),
}


@pytest.mark.parametrize(("names", "expected"), NAMES.values(), ids=NAMES)
def test_what_tells_a_name_from_the_others_is_seen(names, expected):
    found = labels(names, 19)
    assert found == expected
    assert all(len(label) <= 19 for label in found)
    assert len(set(found)) == len(names)


def test_what_moves_a_cursor_is_left_out():
    assert labels(["a\n\x1b[31mb"], 20) == ["a [31mb"]
