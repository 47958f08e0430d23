"""Overviews as `control.overview` gives them, made up: for what draws them."""

GIB = 1024**3


def a_model(name: str = "phi", **given) -> dict:
    return {"name": name, "state": "ready", "pid": 4711, "memory_bytes": 5 * GIB, "peak_bytes": 0,
            "share_bytes": 6 * GIB, "context_length": 4096, "load_percent": None, "in_flight": 2, "paused": 0,
            "unfinished": 2, "queued": 3, "tokens_per_s": 42.0, "pinned": False, "keep_until_s": None,
            "until": "in use", "reason": "loaded for 2 that wait"} | given


def a_relay(name: str = "relay-ollama", **given) -> dict:
    return {"name": name, "state": "ready", "breaker": "closed", "pid": 4712, "in_flight": 1, "queued": 0,
            "tokens_per_s": 8.0, "reason": "ready"} | given


def a_memory(**given) -> dict:
    return {"used_percent": 62.0, "level": "normal", "total_bytes": 36 * GIB, "available_bytes": 13 * GIB,
            "ceiling_bytes": 12 * GIB, "reserved_bytes": 9 * GIB, "leaked_bytes": 0} | given


def a_queue(**given) -> dict:
    classes = {"high": 1, "medium": 2, "low": 0}
    return {"running": classes, "paused": classes, "queued": classes, "admitted": classes, "relay_running": 1,
            "relay_queued": 0} | given


def an_overview(**given) -> dict:
    return {"remarks": [], "memory": a_memory(), "queue": a_queue(), "models": [a_model(), a_model("tiny", state="down",
            pid=0, memory_bytes=0, share_bytes=0, in_flight=0, queued=0, tokens_per_s=0.0, until="-")],
            "relays": [a_relay()]} | given


def silent_overview() -> dict:
    """Of a table that nobody writes into."""
    return an_overview(memory=None, queue=None, remarks=["control is silent: this is what was last written"],
                       models=[a_model(state="unknown", in_flight=None, queued=None)], relays=[])
