"""bench/scaling_streams.py: room for the streams, and which look counts; the whole: test_scaling.py."""

import tomllib

from bench.scaling_streams import ROWS_MAX, RUNNING_MAX, memory_of, models_for
from bench.stack import toml_of


def test_there_are_enough_echo_workers():
    assert len(models_for(1)) == len(models_for(ROWS_MAX)) == 1 and len(models_for(ROWS_MAX + 1)) == 2
    models = tomllib.loads(toml_of(models_for(RUNNING_MAX), {}, {}, {}))["models"]
    assert sum(one["batch_size"] for one in models.values()) >= RUNNING_MAX
    assert {one["engine"] for one in models.values()} == {"echo"}


def test_the_most_while_they_are_open_and_the_least_afterwards():
    looks = [{"gateway": 30.0, "http": 50.0}, {"gateway": 31.0, "http": 49.0}]
    assert memory_of(10, False, looks)[2:] == (31.0, 50.0)
    assert memory_of(0, True, looks)[2:] == (30.0, 49.0)
