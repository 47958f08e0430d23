"""Models as they are found: facts for proposals, and caches and folders that hold models of a few kilobytes."""

import json
from pathlib import Path

from control.budget import GIB, Ceiling, ModelFacts
from gateway.cli.proposal import CHATS, Facts, Found

GB = 1000**3
CEILINGS = {  # by the memory of the Mac, as `control.budget` has it
    8: Ceiling(int(8 * GIB * 2 / 3), "what the GPU is recommended to use"),
    16: Ceiling(int(16 * GIB * 2 / 3), "what the GPU is recommended to use"),
    64: Ceiling(int(64 * GIB * 3 / 4), "what the GPU is recommended to use"),
}


def facts_of(weights_gb: float, layers: int = 36, kv_heads: int = 8, hidden: int = 4096) -> ModelFacts:
    """A model of this size, as Qwen3 is built."""
    return ModelFacts(int(weights_gb * GB), layers * 2 * kv_heads * 128 * 2, 40_960, (8 * hidden + 12 * hidden) * 2,
                      "mlx", 64, 151_936, layers)


def found(title: str, weights_gb: float = 2.3, **more: object) -> Found:
    """In the Hugging Face cache, quantised, and able to chat."""
    usual = {"facts": facts_of(weights_gb), "kind": CHATS, "bits": 4}
    return Found(**{"title": title, "origin": "Hugging Face cache", "path": title} | usual | more)


def machine(*models: Found, memory_gb: int = 16, **more: object) -> Facts:
    places = (("Hugging Face cache (~/hub)", len(models)),)
    usual = {"available_bytes": memory_gb * GIB, "max_running": 5, "places": places}
    return Facts(**{"models": models, "ceiling": CEILINGS[memory_gb]} | usual | more)


def make_model(place: Path, *, template: bool = True, tokenizer: bool = True, weights: bool = True,
               **config: object) -> Path:
    """A directory that looks like a small Llama, with a header of weights that adds up and no weights to speak of."""
    place.mkdir(parents=True, exist_ok=True)
    said = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 512,
            "max_position_embeddings": 2048}
    (place / "config.json").write_text(json.dumps({key: value for key, value in (said | config).items()
                                                   if value is not None}))
    if weights:
        header = json.dumps({"w": {"dtype": "F16", "shape": [64], "data_offsets": [0, 128]}}).encode()
        (place / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(128))
    if tokenizer:
        (place / "tokenizer.json").write_text("{}")
    (place / "tokenizer_config.json").write_text(json.dumps({"chat_template": "x"} if template else {}))
    return place


def make_repository(cache: Path, title: str, place: Path | None = None, **kind: object) -> Path:
    """The same as Hugging Face's tools lay it out; with `place` a link to that directory. Returns the snapshot."""
    folder = cache / f"models--{title.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc123")
    snapshot = folder / "snapshots" / "abc123"
    if place is None:
        return make_model(snapshot, **kind)
    snapshot.parent.mkdir()
    snapshot.symlink_to(place)
    return snapshot
