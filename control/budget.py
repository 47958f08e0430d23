"""How much memory a model needs before it is loaded, what it is given, and what all models together may have.

A *share* is a promise for a whole process, for as long as it lives: the sum of all shares stays under the *ceiling*,
and a worker keeps to its share by taking only what fits into it. So the arithmetic errs upwards, and nothing else
guards it: MLX refuses no allocation, and Metal ends the process that went too far.

    share = weights x 1.02  +  KV  +  copies  +  prefill  +  runtime  (+ spare)

weights   the tensors as they lie in the files; 2 % for what the allocator rounds up.
KV        mlx_lm pads a batch: rows x the longest of them, in steps of KV_STEP_TOKENS, and one step more, since a cache
          that grows need not begin its last step where one ends.
copies    While rows join or leave, or the cache grows, two layers of it exist twice. And when some of the prompts that
          are read together are done before the others, their rows are copied while the old whole still stands: of n
          rows at most n-1. (Measured: 2.07 x the KV of 8 rows with 4 layers; this formula says 2.4.)
prefill   What exists only while a chunk of a prompt is read: activations, the scores of each of its tokens against the
          whole row, and the logits of each row with what sampling makes of them. Where a GPU fuses attention the scores
          never exist; nobody here knows whether it does.
runtime   Python, MLX and the tokenizer: RUNTIME_BYTES and TOKENIZER_TOKEN_BYTES for each word of the vocabulary.
spare     What the share holds beyond that, because the operator, the configured context or an earlier run says so.

Who gets how much
1. A row is planned with ROW_TOKENS_PLANNED tokens, or the model's context if that is shorter. A model's own context
   says what it was made for, often a hundred times what it is asked, and to set all of it aside would leave no room for
   anybody else. Ollama does the same with `num_ctx`.
2. The smallest useful plan is one row, the largest `batch` rows; in between, as many as fit into the room there is.
3. A row may be longer than planned: `context_length` is the longest one that fits alone. An operator who configures a
   context is given room for one such row, as far as there is room.
4. What was measured beats what was computed: `loaded_bytes` stands for weights and runtime, but for no less than its
   process counts before it is loaded, so that no started process counts for more than was free for its model. Where
   there is room the share is at least the peak. That never makes the least that a model needs larger: an earlier run
   with many rows is no reason why one row should not fit.
5. After a death for want of memory the rows are halved, then the tokens of the last one, down to SMALLEST_ROW_TOKENS.
6. `memory_gb` of a model is its share, whatever the room: rows and context are what fits into it. If not even the
   smallest plan does, that plan is the share, and `explain` says so.

What this does not know: sliding windows, recurrent layers, weights of a part that is not used (see
`control/model_size.py`): all are counted in full. Pure.
"""

from typing import NamedTuple

GIB, MIB = 1024**3, 1024**2
WEIGHTS_PERCENT = 102
KV_STEP_TOKENS = 256
COPIED_LAYERS = 2
PREFILL_CHUNK_TOKENS = 512  # of all rows together; a test holds it against the engine's
LOGITS_BYTES = 4
LOGITS_FIXED_COPIES, LOGITS_ROW_COPIES = 10, 7  # measured: 16.3 times the vocabulary with 1 row, 59 times with 8
ROW_TOKENS_PLANNED = 4096
SMALLEST_ROW_TOKENS = 256
RUNTIME_BYTES = {"mlx": 192 * MIB, "echo": 48 * MIB}  # measured on Linux: 92 and 35 MiB; a GPU's own comes on top
EMPTY_BYTES = {"mlx": 128 * MIB, "echo": 48 * MIB}  # measured on Linux: 82 and 35 MiB
TOKENIZER_TOKEN_BYTES = 1024  # measured: 145 MiB for 150,000
LIMIT_PERCENT = 90  # the rest is the system's, and the other processes' of this stack


class ModelFacts(NamedTuple):
    """What is known of a model before it is loaded. Bytes.

    `kv_token_bytes`: keys and values of one token of one row, all layers. `context_length`: what the model was made
    for, in tokens. `prefill_token_bytes`: activations of one prompt token; `score_token_bytes`: its attention to one
    token of the row. `layers`: how many share the KV.
    """

    tensor_bytes: int
    kv_token_bytes: int
    context_length: int
    prefill_token_bytes: int
    engine: str
    score_token_bytes: int = 0
    vocabulary: int = 0
    layers: int = 1


class Profile(NamedTuple):
    """Measured of the whole process: after the warm-up (0: not yet), and the most since then."""

    loaded_bytes: int
    peak_bytes: int
    load_s: float


class Plan(NamedTuple):
    """What a model is loaded into; the parts add up to `share_bytes`. See the module for what each of them is.

    `rows` of `row_tokens` each fit together, one of `context_length` fits alone. `measured`: weights and runtime are.
    `configured_bytes` is the operator's `memory_gb`, 0 for none.
    """

    rows: int
    row_tokens: int
    context_length: int
    weights_bytes: int
    kv_bytes: int
    prefill_bytes: int
    runtime_bytes: int
    measured: bool
    copy_bytes: int = 0
    spare_bytes: int = 0
    configured_bytes: int = 0

    @property
    def share_bytes(self) -> int:
        return (self.weights_bytes + self.kv_bytes + self.copy_bytes + self.prefill_bytes + self.runtime_bytes
                + self.spare_bytes)


class Ceiling(NamedTuple):
    """What all shares together may reach (0: nothing is known), and which limit that is."""

    bytes: int
    why: str


class Part(NamedTuple):
    """One line of the arithmetic. `detail` says how it came about, "" if the name says it."""

    name: str
    bytes: int
    detail: str


def choose_ceiling(configured_bytes: int, device_bytes: int, total_bytes: int, limit_bytes: int) -> Ceiling:
    """The least of what the operator set, what the GPU is recommended to use, and LIMIT_PERCENT of the memory.

    `total_bytes` is the machine's memory, `limit_bytes` what a control group leaves of it; 0 is "none" or "not known".
    """
    memory_bytes = min((count for count in (limit_bytes, total_bytes) if count > 0), default=0)
    whose = "this control group's limit" if 0 < limit_bytes < total_bytes else "this machine's memory"
    bounds = [Ceiling(device_bytes, "what the GPU is recommended to use"),
              Ceiling(memory_bytes * LIMIT_PERCENT // 100, f"{LIMIT_PERCENT} % of {whose}")]
    known = [bound for bound in bounds if bound.bytes > 0]
    least = min(known, default=Ceiling(0, "neither configured nor known"))
    if configured_bytes <= 0:
        return least
    if not known or configured_bytes <= least.bytes:
        return Ceiling(configured_bytes, "memory_budget_gb, as configured")
    return least._replace(why=f"{least.why}; memory_budget_gb = {configured_bytes / GIB:.4g} is more, and was cut")


def empty_bytes(engine: str) -> int:
    """What a started process without a model counts."""
    return EMPTY_BYTES[engine]


def make_plan(facts: ModelFacts, *, batch: int, context: int, memory_bytes: int, profile: Profile | None, shrink: int,
              room_bytes: int | None) -> Plan:
    """What the model is given; numbers as in the module.

    Args:
        batch: most rows.
        context: as configured, in tokens; 0 is the model's own.
        memory_bytes: the share as configured; 0 is none.
        shrink: how often the model's process has died for want of memory.
        room_bytes: what it may take. None asks for the smallest useful plan, which is also given if the room is less.
    """
    longest = min(tokens for tokens in (context, facts.context_length) if tokens > 0)
    room = memory_bytes or room_bytes or 0
    rows, tokens = batch, min(longest, ROW_TOKENS_PLANNED)
    while rows > 1 and _plan(facts, profile, rows, tokens).share_bytes > room:
        rows -= 1
    for _ in range(shrink):
        if rows > 1:
            rows //= 2
        else:
            tokens = min(tokens, max(tokens // 2, SMALLEST_ROW_TOKENS))
    plan = _plan(facts, profile, rows, tokens)._replace(configured_bytes=memory_bytes)
    wanted = room if memory_bytes else 0
    if not memory_bytes and not shrink:
        one_long_row = _plan(facts, profile, 1, longest).share_bytes if context > 0 else 0
        wanted = min(room, max(one_long_row, profile.peak_bytes if profile else 0))
    plan = plan._replace(spare_bytes=max(0, wanted - plan.share_bytes))
    room_for_row = plan.kv_bytes + plan.copy_bytes + plan.prefill_bytes + (0 if shrink else plan.spare_bytes)
    return plan._replace(context_length=max(tokens, min(longest, _longest_row(facts, room_for_row))))


def _plan(facts: ModelFacts, profile: Profile | None, rows: int, tokens: int) -> Plan:
    kept = _kept_tokens(tokens)
    kv = rows * kept * facts.kv_token_bytes
    weights = -(-facts.tensor_bytes * WEIGHTS_PERCENT // 100)
    runtime = RUNTIME_BYTES[facts.engine] + facts.vocabulary * TOKENIZER_TOKEN_BYTES
    measured = profile is not None and profile.loaded_bytes > facts.tensor_bytes  # less would be no measurement
    if measured:
        weights = facts.tensor_bytes
        runtime = max(profile.loaded_bytes, EMPTY_BYTES[facts.engine]) - weights
    return Plan(rows, tokens, tokens, weights, kv, _prefill_bytes(facts, rows, kept), runtime, measured,
                copy_bytes=_copied(kv, rows, facts.layers))


def _kept_tokens(tokens: int) -> int:
    """What the cache holds of a row."""
    return (-(-tokens // KV_STEP_TOKENS) + 1) * KV_STEP_TOKENS


def _copied(kv_bytes: int, rows: int, layers: int) -> int:
    return kv_bytes * (rows - 1) // rows + COPIED_LAYERS * kv_bytes // layers


def _prefill_bytes(facts: ModelFacts, rows: int, kept: int) -> int:
    logits = (LOGITS_FIXED_COPIES + LOGITS_ROW_COPIES * rows) * facts.vocabulary * LOGITS_BYTES
    return PREFILL_CHUNK_TOKENS * (facts.prefill_token_bytes + kept * facts.score_token_bytes) + logits


def _longest_row(facts: ModelFacts, room_bytes: int) -> int:
    """How many tokens one row alone may have, so that its KV, copies and prefill stay within `room_bytes`."""
    fixed = _prefill_bytes(facts, 1, 0)
    step = KV_STEP_TOKENS * facts.kv_token_bytes
    step_bytes = step + _copied(step, 1, facts.layers) + (_prefill_bytes(facts, 1, KV_STEP_TOKENS) - fixed)
    if step_bytes == 0:
        return facts.context_length
    return ((room_bytes - fixed) // step_bytes - 1) * KV_STEP_TOKENS


def parts_of(plan: Plan) -> tuple[Part, ...]:
    """The arithmetic, line by line; what is nothing is left out."""
    row = f"for {plan.rows} {'row' if plan.rows == 1 else 'rows'} of {plan.row_tokens} tokens"
    weights = plan.weights_bytes if plan.measured else plan.weights_bytes * 100 // WEIGHTS_PERCENT
    lines = (
        Part("weights", plan.weights_bytes, f"{size(weights)}{'' if plan.measured else ' x 1.02'}"),
        Part("KV", plan.kv_bytes, row),
        Part("copies", plan.copy_bytes, "as rows join and leave"),
        Part("prefill", plan.prefill_bytes, f"a chunk of {PREFILL_CHUNK_TOKENS} tokens"),
        Part("runtime", plan.runtime_bytes, "as measured" if plan.measured else ""),
        Part("spare", plan.spare_bytes, "as configured" if plan.configured_bytes else "room there is"),
    )
    return tuple(line for line in lines if line.bytes)


def explain(plan: Plan, ceiling: Ceiling, others_bytes: int) -> str:
    """One line: what the model needs and why, what all may have and why, and whether it fits beside the others."""
    texts = {"weights": "{detail}", "KV": "{size} {detail}"}
    parts = ", ".join(f"{part.name} " + texts.get(part.name, "{size}").format(size=size(part.bytes), detail=part.detail)
                      for part in parts_of(plan))
    never = plan.share_bytes > ceiling.bytes
    text = f"needs {'at least ' if never or plan.rows == 1 else ''}{size(plan.share_bytes)} ({parts}"
    text += ", weights and runtime as measured)" if plan.measured else ")"
    if 0 < plan.configured_bytes < plan.share_bytes:
        text += f", more than its memory_gb = {plan.configured_bytes / GIB:.4g}"
    text += f"; the budget for all models is {size(ceiling.bytes)} ({ceiling.why})"
    if never:
        return text
    missing = others_bytes + plan.share_bytes - ceiling.bytes
    return f"{text}, of which others hold {size(others_bytes)}: it fits" + (
        f" when {size(missing)} of those have made room" if missing > 0 else "")


def size(count: int) -> str:
    """5.1 GiB, or 523 MiB for less than one."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
