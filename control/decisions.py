"""Which lines of the journals are decisions, and how each reads as a sentence, for `warden top` and the dashboard.

A decision is what changes who is loaded, who is refused, or who answers; what merely happened on the way (a hello, a
file read) is not one. A line is known by its event and by having the fields that its sentence names: workers tell of
their loads under the same event, and say less. Texts come from the journal, which has neither prompts nor keys. Pure.
"""

from collections.abc import Mapping
from string import Formatter
from typing import NamedTuple

from control.overview import size_text

EVICTION, LOAD, REFUSAL, TROUBLE, ROUTE, ORDER, MEMORY, PREEMPTION = (
    "eviction", "load", "refusal", "trouble", "route", "order", "memory", "preemption")
# event of the journal -> (kind, what it says). {model} and the like are fields of the line. What stands in `reason` is
# added behind a colon, if the sentence does not name it.
SENTENCES: dict[str, tuple[str, str]] = {
    "start": (LOAD, "a process for {model} is started"),
    "load": (LOAD, "{model} is loaded into {share_bytes} (batch {batch}, context {context}), {reserved_bytes} of "
                   "{ceiling_bytes} given out"),
    "loaded": (LOAD, "{model} was loaded in {load_s} s"),
    "load_refused": (REFUSAL, "{model} is not loaded"),
    "never_fits": (REFUSAL, "{model} can never fit"),
    "fits_again": (LOAD, "{model} would fit again"),
    "waits_for_room": (REFUSAL, "{model} waits for room"),
    "evict": (EVICTION, "{model} is to go with {share_bytes}, {used_percent} % of memory used"),
    "evicted": (EVICTION, "{model} has gone in {total_ms} ms and gave back {footprint_bytes}"),
    "evict_refused": (REFUSAL, "{model} is not evicted"),
    "evict_given_up": (REFUSAL, "{model} is not evicted after all"),
    "ended": (ORDER, "the process of {model} was told to stop, and has ended"),
    "protected": (REFUSAL, "{reason}; classes refused: {refused_classes}"),
    "overload": (REFUSAL, "memory is at {used_percent} %; classes refused: {refused_classes}"),
    "pressure": (MEMORY, "the pressure of memory is {pressure}, was {before}; {used_percent} % used"),
    "ceiling": (MEMORY, "all models together may take {bytes}"),
    "leak_suspected": (TROUBLE, "{model} left {bytes} missing"),
    "crashed": (TROUBLE, "{model} crashed"),
    "start_failed": (TROUBLE, "{model} could not be started"),
    "quarantine": (TROUBLE, "{model} is not started again for {for_s} s"),
    "exit_signal": (TROUBLE, "{model} was ended by {signal}"),
    "held": (ORDER, "{model} is held"),
    "signal_stalled": (TROUBLE, "{model} is stuck and is sent SIG{signal}"),
    "worker_lost": (TROUBLE, "the process of {model} left with {jobs} unanswered"),
    "relay_ended": (TROUBLE, "the process of {model} has ended"),
    "server_changed": (ROUTE, "the server behind {process} is {breaker}"),
    "hop": (ROUTE, "a request that {failed} failed with {code} goes to {to}"),
    "spill": (ROUTE, "a request for {model} goes to {to}"),
    "preempted": (PREEMPTION, "an answer of class {priority} at {model} is paused after {tokens} tokens, for one of "
                              "class HIGH"),
    "resumed": (PREEMPTION, "an answer at {model} goes on after {paused_s} s of pause"),
    "pause_dropped": (PREEMPTION, "an answer at {model} is not paused any more; it goes on later behind its {tokens} "
                                  "tokens"),
    "asked": (ORDER, "an operator asks: {verb} {model}"),
    "model_added": (ORDER, "{model} was added"),
    "model_removed": (ORDER, "{model} was removed"),
    "pull": (ORDER, "{model} is being pulled"),
    "pull_left": (ORDER, "{model} is no longer pulled: nobody waits for it"),
    "pull_failed": (TROUBLE, "{model} was not pulled"),
    "weights_deleted": (ORDER, "the weights of {source} were deleted, {bytes}"),
    "keys_refused": (TROUBLE, "the file of keys is not read"),
    "key_switched_off": (TROUBLE, "{process} does not turn its key against evictions"),
    "control_up": (ORDER, "control has started"),
    "gateway_up": (ORDER, "the gateway has started with {models} models"),
    "table_created": (TROUBLE, "the table was made anew"),
    "clock_gap": (TROUBLE, "the machine slept or stood still for {seconds} s"),
}
NAMED = {event: frozenset(name for _, name, _, _ in Formatter().parse(sentence) if name)
         for event, (_, sentence) in SENTENCES.items()}
IN_CODE = frozenset({"pressure", "before", "refused_classes", "breaker"})  # names of constants
BREAKERS = {"closed": "there again", "open": "down", "half_open": "being tried"}


class Decision(NamedTuple):
    """`kind`: one of the names above; `text`: a sentence with its reason; `request`: its id, "" if it is about none."""

    kind: str
    model: str
    text: str
    request: str


def decision_of(fields: Mapping[str, object]) -> Decision | None:
    """What a line of the journal decided; None if it is none. `fields` as in `control.log_files.LogLine`."""
    event = fields.get("event")
    if not isinstance(event, str) or event not in SENTENCES or not fields.keys() >= NAMED[event]:
        return None
    if event == "worker_lost" and not fields["jobs"]:
        return None  # its end is told by whoever decided it
    if event == "table_created" and not fields.get("reason"):
        return None  # the first start, or one after `warden down`
    kind, sentence = SENTENCES[event]
    text = sentence.format_map({name: _said(name, fields[name]) for name in NAMED[event]})
    reason = "" if "reason" in NAMED[event] else str(fields.get("reason") or fields.get("problem") or "")
    request = fields.get("request_id") or fields.get("request") or ""
    return Decision(kind, str(fields.get("model") or ""), f"{text}: {reason}" if reason else text, str(request))


def _said(name: str, value: object) -> str:
    if name == "breaker":
        return BREAKERS.get(str(value).lower(), str(value))
    if isinstance(value, list):
        value = ", ".join(map(str, value)) or "none"
    if name in IN_CODE:
        return str(value).lower().replace("_", " ")
    if name.endswith("bytes") and isinstance(value, int):
        return size_text(value) if value else "nothing"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
