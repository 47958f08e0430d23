"""How many tokens a worker makes in a second now: the mean of the last WINDOW_S, 0 soon after the last token. Pure."""

from collections import deque

WINDOW_S = 2.0
SAMPLE_EVERY_S = 0.25


class TokenRate:
    """Told the count from time to time; how often makes no difference."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()  # (monotonic seconds, tokens so far), oldest first

    def take(self, tokens_out: int, now: float) -> float:
        """Tokens per second, from `tokens_out` tokens until `now` (monotonic seconds)."""
        samples = self._samples
        while len(samples) > 1 and samples[1][0] <= now - WINDOW_S:
            samples.popleft()
        if not samples or now - samples[-1][0] >= SAMPLE_EVERY_S:
            samples.append((now, tokens_out))
        since, before = samples[0]
        return (tokens_out - before) / (now - since) if now - since >= SAMPLE_EVERY_S else 0.0
