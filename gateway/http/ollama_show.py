"""What /api/show tells of one model: its template, parameters, facts by Ollama's names, and what it can do.

`capabilities` are what a request to this name gets here. `vision` is among them where an Ollama that reads images is
configured, since images go there whatever model is named; clients that find no `vision` send none. A licence is shown
where its file lies beside the weights. `system` is left out, as Ollama leaves it out: no model has one here.
"""

from typing import Any

from control.capabilities import name_capabilities, read_capabilities
from control.config import Config, ModelConfig
from control.states import OLLAMA
from gateway import VERSION, protocol
from gateway.http.model_files import ModelFiles, read_license, read_tensors, text_config

SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n", "presence_penalty",
            "frequency_penalty")
OFF = "off"  # of the setting `embeddings`
FACTS = {  # names in config.json -> names of Ollama, below the architecture
    "hidden_size": "embedding_length", "num_hidden_layers": "block_count", "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count", "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length", "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base", "vocab_size": "vocab_size", "num_local_experts": "expert_count",
    "num_experts": "expert_count", "num_experts_per_tok": "expert_used_count", "sliding_window":
    "attention.sliding_window",
}


def shown(info: protocol.ModelInfo, files: ModelFiles, config: Config, context_length: int, *,
          verbose: bool) -> dict[str, Any]:
    """All but `details` and `modified_at`. `context_length` in tokens, 0 if not known."""
    can, model = read_capabilities(info.path), config.find(info.name)
    parameters = parameters_of(model, context_length)
    found: dict[str, Any] = {
        "modelfile": modelfile(info, can.template, parameters),
        "parameters": parameters,
        "template": can.template,
        "model_info": model_info(info, files, context_length),
        "capabilities": capabilities(info, model, config),
    }
    if licence := read_license(info.path):
        found["license"] = licence
    if verbose:
        found["tensors"] = [{"name": tensor.name, "type": tensor.dtype, "shape": tensor.shape}
                            for tensor in read_tensors(info.path)]
    return found


def capabilities(info: protocol.ModelInfo, model: ModelConfig | None, config: Config) -> list[str]:
    """In Ollama's words."""
    names = name_capabilities(read_capabilities(info.path))
    setting = model.embeddings if model is not None and info.path else ""
    if setting == OFF:
        names = [name for name in names if name != "embedding"]
    elif setting and "embedding" not in names:
        names.append("embedding")
    if OLLAMA in config.relays and config.ollama_vision_model and "completion" in names:
        names.append("vision")
    return names


def parameters_of(model: ModelConfig | None, context_length: int) -> str:
    """Lines as of a Modelfile: what requests get that do not say. Of one that was pulled since, the context only."""
    lines = [f"num_ctx {context_length}"] if context_length else []
    return "\n".join(lines + [f"{name} {getattr(model, name)}" for name in SAMPLING if model is not None])


def modelfile(info: protocol.ModelInfo, template: str, parameters: str) -> str:
    lines = [f"# mlx-warden {VERSION} makes no model of this; it says what is configured",
             f"FROM {info.path or info.name}"]
    if template:
        lines.append(f'TEMPLATE """{template}"""')
    return "\n".join([*lines, *(f"PARAMETER {line}" for line in parameters.splitlines())]) + "\n"


def model_info(info: protocol.ModelInfo, files: ModelFiles, context_length: int) -> dict[str, Any]:
    """General facts, and those of the architecture as far as config.json says them as numbers."""
    family, said = files.family or info.engine, text_config(files.config)
    found: dict[str, Any] = {"general.architecture": family, "general.basename": info.name}
    if files.parameters:
        found["general.parameter_count"] = files.parameters
    if context_length:
        found[f"{family}.context_length"] = context_length
    for name, theirs in FACTS.items():
        if isinstance(said.get(name), int | float) and not isinstance(said[name], bool):
            found[f"{family}.{theirs}"] = said[name]
    return found
