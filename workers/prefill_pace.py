"""How many prompt tokens the next step reads: as many as take about a target time and find room beside everything else.

The target is that of the chunk alone: STEP_TARGET_S while nobody answers, and while somebody does STEP_BESIDE_S, or as
long as a decode step takes without a chunk if that is longer (a prompt would never be read beside slow streams). So a
running stream pauses for one chunk, which is no longer than twice what people notice or what they are used to.

What a token costs is measured in the steps before, whatever the machine: the time of a chunk less that of a decode
step, and the bytes that it held on the way (activations, and attention scores where they are not fused). A chunk of
less than half of what it was allowed says nothing but that it took too long. Tokens behind a longer cache cost more, at
most in proportion to it: the first chunk behind one of more than LONGER times the tokens is so much smaller. Pure.

Measured on a CPU without a fused attention (CPU time, 1 M and 26 M parameters, float32): a token of a chunk of 4 to 512
costs the same within a third (0.6 to 1.2 ms, 20 ms), so nothing is lost by small chunks there. Beside four streams the
longest gap of these fell from 349 to 123 ms (1 M, 2,000 tokens, which took as long as before), and from 521 to 277 ms
(26 M, whose usual gap is 111 ms; the prompt took half as long again, since it shares the time with them).
"""

PREFILL_CHUNK_MAX_TOKENS = 512
PREFILL_CHUNK_MIN_TOKENS = 4
PREFILL_CHUNK_FIRST_TOKENS = 32  # where nothing is known
STEP_TARGET_S = 0.25
STEP_BESIDE_S = 0.1
LONGER, LONG_TOKENS = 2, 512  # behind fewer tokens attention is no matter


class PrefillPace:
    """`chunk_tokens`: for all prompting jobs together. Times in seconds.

    What a warm-up showed of a token, 0 if there was none: `token_s`, and `token_bytes` of `free_bytes` (None: any).
    """

    def __init__(self, token_s: float = 0.0, token_bytes: int = 0, free_bytes: int | None = None) -> None:
        self._target_s = STEP_TARGET_S
        self._token_s = token_s or STEP_TARGET_S / PREFILL_CHUNK_FIRST_TOKENS
        is_limited = token_bytes > 0 and free_bytes is not None
        self._roomy_tokens = free_bytes // token_bytes if is_limited else None  # as many as the memory holds
        self._decode_s = 0.0
        self._behind = 0  # how many tokens the longest cache held when a token's time was measured

    def aim(self, *, beside: bool) -> None:
        """Do others answer while the next chunk is read?"""
        self._target_s = max(STEP_BESIDE_S, self._decode_s) if beside else STEP_TARGET_S

    @property
    def chunk_tokens(self) -> int:
        return self._fitting(self._target_s)

    def _fitting(self, target_s: float) -> int:
        fitting = round(min(target_s / self._token_s, PREFILL_CHUNK_MAX_TOKENS))
        if self._roomy_tokens is not None:
            fitting = min(fitting, self._roomy_tokens)
        return max(PREFILL_CHUNK_MIN_TOKENS, fitting)

    def choose_chunk(self, behind: int) -> int:
        """As `chunk_tokens`, behind a cache that holds so many tokens."""
        known = max(self._behind, LONG_TOKENS)
        if behind <= LONGER * known:
            return self.chunk_tokens
        return max(PREFILL_CHUNK_MIN_TOKENS, self.chunk_tokens * known // behind)

    def may_go_first(self, unread_tokens: int, *, is_high: bool, is_alone: bool) -> bool:
        """May a row that joins be read at once and say its first token, before anybody else gets one? It must be one
        that others give way to, or have the batch to itself, and be read in STEP_TARGET_S.
        """
        return (is_high or is_alone) and unread_tokens <= self._fitting(STEP_TARGET_S)

    def on_decode(self, elapsed_s: float) -> None:
        """A step of streams alone."""
        self._decode_s = (self._decode_s + elapsed_s) / 2 if self._decode_s else elapsed_s

    def on_chunk(self, tokens: int, elapsed_s: float, transient_bytes: int = 0, free_bytes: int | None = None, *,
                 behind: int = 0, beside: bool = False) -> None:
        """A step read `tokens`, padding included, and held `transient_bytes` more on the way than before and after it.

        `free_bytes`: what it could have held so, None: anything. `behind`: what the longest cache held before.
        `beside`: it was a decode step as well.
        """
        if not tokens:
            return
        allowed, is_limited = self.choose_chunk(behind), free_bytes is not None and transient_bytes > 0
        chunk_s = max(elapsed_s - self._decode_s, elapsed_s / 2) if beside else elapsed_s
        roomy_tokens = tokens * free_bytes // transient_bytes if is_limited else None
        if 2 * tokens >= allowed or chunk_s >= self._target_s:
            self._token_s, self._behind = chunk_s / tokens, behind
        if 2 * tokens >= allowed or (is_limited and roomy_tokens < allowed):
            self._roomy_tokens = roomy_tokens
