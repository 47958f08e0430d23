"""The values of results travel inside their frame, and plain MessagePack reads them by the names of their fields."""

import msgpack
import msgspec
import pytest

from gateway import protocol
from tests.support.fake_gateway import model_info

RELAY = protocol.BackendInfo("ollama", "http://127.0.0.1:11434", "down", "ollama does not answer", 1, 2, 4, ["a:1b"])
STATS = protocol.StatsInfo(1, *[[1, 2, 3]] * 3, *range(9), 5, 50, [0.0] * 3, [0.0] * 3, 1.5, 7, 8, 9, [RELAY])
HISTOGRAM = protocol.HistogramCounts([1, 0, 2], 4.5)
METRICS = protocol.MetricsInfo(
    7, [protocol.HistogramKind("request_prompt_tokens", [1.0, 2.0])],
    [protocol.ModelMetrics("a", "a", "all", {"stop": 1}, 3, 4, [HISTOGRAM])], [0.5, 1.0], [HISTOGRAM] * 3, {"stop": 1},
    {"queue_full": 2}, {"model_busy": 3})
VALUES = [
    ([model_info(), model_info("b")], protocol.decode_models),
    (model_info(keep_until_s=None), protocol.decode_model),
    (STATS, protocol.decode_stats),
    (METRICS, protocol.decode_metrics),
    (protocol.OrderDone("tiny", "tiny is pinned"), protocol.decode_order),
    (protocol.CallerInfo("ann", "agent", "medium", ["a"], 500, 90.0, 499), protocol.decode_caller),
    (protocol.RouteInfo("a", "task", "low", "person", True, False, [protocol.RouteStep("mlx", "a", "down", "held")], -1,
                        "mlx", "down", "model_unavailable", "a is held"), protocol.decode_route),
]


@pytest.mark.parametrize(("value", "decode"), VALUES)
def test_values_come_back_the_same_from_inside_their_frame(value, decode):
    frame = protocol.encode(protocol.Result("1", msgspec.Raw(protocol.encode(value))))
    assert decode(protocol.decode_event(frame).value) == value


@pytest.mark.parametrize("value", [value for value, _ in VALUES[1:]])
def test_any_messagepack_library_reads_them_by_name(value):
    assert tuple(msgpack.unpackb(protocol.encode(value))) == type(value).__struct_fields__
