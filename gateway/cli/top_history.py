"""The last minute of `warden top`: tokens per second, of all together and of each model, one sample a second. Pure."""

from collections import deque

SAMPLES_MAX = 60
SAMPLE_EVERY_S = 1.0
TOTAL = ""


class History:
    """`series` by name of the model or relay, TOTAL for all; the newest sample last."""

    def __init__(self) -> None:
        self.series: dict[str, deque[float]] = {TOTAL: deque(maxlen=SAMPLES_MAX)}
        self._next_s = float("-inf")

    def see(self, seen: dict | None, now_s: float) -> None:
        """An overview, None while nothing runs; `now_s` monotonic."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + SAMPLE_EVERY_S
        rates = {line["name"]: line["tokens_per_s"] for line in (*seen["models"], *seen["relays"])} if seen else {}
        rates[TOTAL] = sum(rates.values())
        for name in rates.keys() | self.series.keys():
            self.series.setdefault(name, deque(maxlen=SAMPLES_MAX)).append(rates.get(name, 0.0))
        for name in [name for name, values in self.series.items() if name not in rates and not any(values)]:
            del self.series[name]  # a model that was deleted

    def of(self, name: str) -> list[float]:
        return list(self.series.get(name, ()))


def sparkline(values: list[float], columns: int, marks: str) -> str:
    """So many columns, the newest to the right; `marks` from low to high. Each column is the most of its samples."""
    if not values or columns <= 0:
        return ""
    most, each = max(values), -(-SAMPLES_MAX // columns)
    groups = [values[max(0, end - each):end] for end in range(len(values), 0, -each)][:columns][::-1]
    levels = [max(group) / most if most else 0.0 for group in groups]
    return "".join(marks[round(level * (len(marks) - 1))] for level in levels).rjust(columns)
