"""Levels rise at their threshold, fall below it less the hysteresis, and stay where nothing can be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.pressure_level import HYSTERESIS, Level, Thresholds, next_level

USUAL = Thresholds(0.85, 0.95, 0.98)
NORMAL, WARN, CRITICAL, EMERGENCY = Level
SHARES = st.floats(0, 1)
RISING = st.lists(SHARES, min_size=3, max_size=3, unique=True).map(lambda shares: Thresholds(*sorted(shares)))


@pytest.mark.parametrize(("level", "used", "then"), [
    (NORMAL, 0.0, NORMAL), (NORMAL, 0.849, NORMAL), (NORMAL, 0.85, WARN), (NORMAL, 0.95, CRITICAL),
    (NORMAL, 0.98, EMERGENCY), (NORMAL, 1.0, EMERGENCY),  # several at once
    (WARN, 0.85, WARN), (WARN, 0.84, WARN), (WARN, 0.831, WARN), (WARN, 0.829, NORMAL), (WARN, 0.949, WARN),
    (CRITICAL, 0.94, CRITICAL), (CRITICAL, 0.931, CRITICAL), (CRITICAL, 0.929, WARN), (CRITICAL, 0.84, WARN),
    (CRITICAL, 0.82, NORMAL), (EMERGENCY, 0.97, EMERGENCY), (EMERGENCY, 0.959, CRITICAL), (EMERGENCY, 0.5, NORMAL),
])
def test_a_level_is_reached_at_its_threshold_and_left_below_it(level: Level, used: float, then: Level) -> None:
    assert next_level(level, used, USUAL) is then


@pytest.mark.parametrize("level", Level)
def test_no_reading_keeps_the_level(level: Level) -> None:
    assert next_level(level, None, USUAL) is level


@given(st.sampled_from(Level), SHARES, RISING)
def test_a_steady_reading_settles_at_once(level: Level, used: float, thresholds: Thresholds) -> None:
    then = next_level(level, used, thresholds)
    assert next_level(then, used, thresholds) is then


@given(st.sampled_from(Level), SHARES, SHARES, RISING)
def test_more_use_is_never_a_lower_level(level: Level, one: float, other: float, thresholds: Thresholds) -> None:
    less, more = sorted((one, other))
    assert next_level(level, less, thresholds) <= next_level(level, more, thresholds)


@given(st.floats(0, HYSTERESIS / 2), st.lists(st.booleans(), max_size=8))
def test_a_share_that_wavers_about_a_threshold_changes_the_level_once(by: float, ups: list[bool]) -> None:
    level = next_level(NORMAL, USUAL.warning, USUAL)
    for up in ups:
        level = next_level(level, USUAL.warning + (by if up else -by), USUAL)
        assert level is WARN
