"""How many prompt tokens the next step reads: as many as take about STEP_TARGET_S and find room beside everything else.

Both are measured in the step before, whatever the machine and the length of the cache: a chunk that took too long, or
more bytes on the way (activations, and attention scores where they are not fused) than were free, makes the next one
smaller; one of at least half the size it was allowed can make it larger. Pure.
"""

PREFILL_CHUNK_MAX_TOKENS = 512
PREFILL_CHUNK_MIN_TOKENS = 16
PREFILL_CHUNK_FIRST_TOKENS = 32  # before anything was measured
STEP_TARGET_S = 0.25


class PrefillPace:
    """`chunk_tokens`: for all prompting jobs together."""

    def __init__(self) -> None:
        self.chunk_tokens = PREFILL_CHUNK_FIRST_TOKENS

    def on_chunk(self, tokens: int, elapsed_s: float, transient_bytes: int = 0, free_bytes: int | None = None) -> None:
        """A step read `tokens`, padding included, and held `transient_bytes` more on the way than before and after it.

        `free_bytes`: what it could have held so, None: anything.
        """
        if not tokens:
            return
        fitting = int(tokens * STEP_TARGET_S / elapsed_s)
        if free_bytes is not None and transient_bytes:
            fitting = min(fitting, tokens * free_bytes // transient_bytes)
        if fitting < self.chunk_tokens or 2 * tokens >= self.chunk_tokens:
            self.chunk_tokens = max(PREFILL_CHUNK_MIN_TOKENS, min(fitting, PREFILL_CHUNK_MAX_TOKENS))
