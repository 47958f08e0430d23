"""Holding rows of the batch to their guides: masks on logits, in plain MLX, for all such rows of a step at once.

How a step goes: mlx_lm samples one token ahead, and calls a row's logits processor with the token that it sampled in
the step before as the newest one. The first guided row that is called starts the model's work on this step, and then,
while that runs, reads what all guided rows sampled in the step before (they are ready, and waiting for them waits for
nothing else), moves their guides on and makes their masks. So a step waits for masks once, whatever the number of rows,
and the other rows of the batch wait with them for as long as masks take beyond the model's own work.

After the last token of an answer a processor is called once more; a guide lets anything come then. Rows without a guide
have nothing to do with all this.
"""

import math

import llguidance
import mlx.core as mx
import numpy as np
from llguidance.numpy import fill_next_token_bitmask, fill_next_token_bitmask_par

from workers.grammar import Guide
from workers.sampling import Sampler

WORD_BITS = 32


class GuidedRow:
    """`sample` is the row's sampler, `process` the last of its logits processors."""

    def __init__(self, masks: "Masks", guide: Guide, sampler: Sampler) -> None:
        self.guide = guide
        self.mask: mx.array | None = None  # [vocabulary] of bool: may come; None: anything
        self.sampled: mx.array | None = None  # [1], which the guide has not seen yet
        self._masks, self._sampler = masks, sampler

    def sample(self, logprobs: mx.array) -> mx.array:
        self.sampled = self._sampler(logprobs)
        return self.sampled

    def process(self, tokens: mx.array, logits: mx.array) -> mx.array:
        return self._masks.apply(self, logits)


class Masks:
    """Of one batch. `vocabulary`: width of the logits. `mask_bits`: ids that llguidance knows, at least as many."""

    def __init__(self, vocabulary: int, mask_bits: int) -> None:
        self._vocabulary, self._mask_words = vocabulary, -(-mask_bits // WORD_BITS)
        self._rows: list[GuidedRow] = []
        self._executor: llguidance.LLExecutor | None = None

    def join(self, guide: Guide, sampler: Sampler) -> GuidedRow:
        """A row's place, to be given back with `leave`. A row that pauses joins again with the same guide."""
        row = GuidedRow(self, guide, sampler)
        self._rows.append(row)
        return row

    def leave(self, row: GuidedRow) -> None:
        self._rows.remove(row)

    def apply(self, row: GuidedRow, logits: mx.array) -> mx.array:
        """Logits [1, vocabulary] of the row with minus infinity at what may not come."""
        if row.sampled is None and row.mask is None:
            self._fill([row])  # its first token
        elif row.sampled is not None:
            mx.async_eval(logits)
            moved = [each for each in self._rows if each.sampled is not None]
            for each in moved:
                each.guide.consume(each.sampled.item())
                each.sampled = None
            self._fill(moved)
        return logits if row.mask is None else mx.where(row.mask, logits, -math.inf)

    def _fill(self, rows: list[GuidedRow]) -> None:
        for row in rows:
            row.mask = None
        rows = [row for row in rows if row.guide.constrains]
        if not rows:
            return
        words = np.zeros((len(rows), self._mask_words), np.int32)
        if len(rows) == 1:
            fill_next_token_bitmask(rows[0].guide.matcher, words)
        else:
            self._executor = self._executor or llguidance.LLExecutor()
            fill_next_token_bitmask_par(self._executor, [(row.guide.matcher, at) for at, row in enumerate(rows)], words)
        allowed = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, : self._vocabulary].astype(bool)
        for row, may_come in zip(rows, allowed, strict=True):
            row.guide.note_problem()
            if row.guide.opens is not None:
                may_come[row.guide.opens] = True
            if row.guide.constrains:  # else it has just met a limit: the answer fails with its next token
                row.mask = mx.array(may_come)
