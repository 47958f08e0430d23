"""Every setting of mlx-warden, declared once: its type, default, limits, why it exists and the variables that set it.

The field of a class below *is* the declaration. From it come the attribute that code reads, the check of a value in
`warden.toml`, the environment variables, the text of error messages and `warden.example.toml` (its text is made in
`control/example_config.py`); nothing is repeated.

Variables: each setting that is not of a model can be set by WARDEN_<NAME IN CAPITALS>; `also` names variables of
Ollama and of the system people come from that mean the same. Settings of a model have none, because a variable could
not say which model it means; `preload` is the exception, its variables list the models.

How a value is checked is `control/setting_rules.py`, what a text may say is `control/setting_texts.py`; reading the
file is `control/config.py`, and what several settings must agree on is `control/config_checks.py`. Pure.
"""

from dataclasses import dataclass, fields
from functools import cache

from control.setting_rules import MIB, Setting, setting
from control.setting_texts import (
    refuse_backend,
    refuse_header_name,
    refuse_host_name,
    refuse_keep_alive,
    refuse_model_name,
    refuse_no_address,
    refuse_ollama_url,
    refuse_origin,
    refuse_own_keep_alive,
    refuse_pull_pattern,
    refuse_url,
)

DAY_S = 86_400


@dataclass(frozen=True, kw_only=True)
class Server:
    """The HTTP face."""

    host: str = setting(
        "127.0.0.1", "Address the HTTP face listens on. One that others can reach needs an API key (`warden key "
        "create`), and every caller then has to give one.", refuse=refuse_no_address)
    port: int = setting(11435, "TCP port of the HTTP face; Ollama itself is expected on 11434.", 1, 65_535)
    http_processes: int = setting(
        1, "Processes that share the port. One is enough for hundreds of streams.", 1, 16)
    require_key: bool = setting(
        False, "Refuse callers without an API key (`warden key create`), also those of this machine. When others can "
        "reach the address it is always so.")
    user_header: str = setting(
        "", "A header in which a front end on this machine names its user (open-webui: X-OpenWebUI-User-Id), so that "
        "users share the queue fairly.", refuse=refuse_header_name)
    allowed_hosts: tuple[str, ...] = setting(
        (), "Further names that browsers may use for this machine (the Host header). Its own addresses are always "
        "accepted; any other name is refused, which keeps foreign web pages out.", refuse=refuse_host_name)
    allowed_origins: tuple[str, ...] = setting(
        (), "Other pages, apps and browser extensions that may ask (the Origin header): \"http://localhost:*\", "
        "\"app://*\", \"chrome-extension://*\".", also=("OLLAMA_ORIGINS",), refuse=refuse_origin)
    pull_from: tuple[str, ...] = setting(
        ("mlx-community",), "Whose models may be pulled: organisations, ORG/NAME with *, or \"*\".",
        refuse=refuse_pull_pattern)
    body_max_bytes: int = setting(
        32 * MIB, "Largest request body; a larger one gets 413.", 1024, 256 * MIB)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much work is taken at once, and in which order."""

    max_running: int = setting(
        5, "Requests that generate at the same time, over all models. The others wait in the queue.",
        1, 1024, also=("MLX_MAX_CONCURRENT",))
    max_queued: int = setting(
        50, "Requests that may wait. When it is full a new one is refused (503, Retry-After), or takes the "
        "place of the youngest waiting one of a lower priority.",
        1, 100_000, also=("OLLAMA_MAX_QUEUE", "MLX_MAX_QUEUE_SIZE"))
    reserved_high: int = setting(
        0, "How many of max_running are kept free for requests of high priority. Must be smaller than max_running.",
        0, 1023)
    preemption: bool = setting(
        True, "Pause an answer of lower priority where one of high priority would wait for it.")
    aging_s: float = setting(
        30.0, "After waiting this long a low request is ordered as a medium one, so that it is not overtaken for ever. "
        "0 makes low equal to medium.", 0, DAY_S)
    queue_deadline_s: float = setting(
        300.0, "Longest wait in the queue; then the answer is 504.", 0.1, DAY_S)
    rate_limit_max: int = setting(
        500, "Requests for an answer that one caller may make in rate_limit_window_s. Further ones are answered with "
        "429. 0: any number. A key may have a limit of its own.", 0, 10**9, also=("MLX_RATE_LIMIT_MAX",))
    rate_limit_window_s: float = setting(
        90.0, "The time that rate_limit_max is for.", 1, DAY_S, also=("MLX_RATE_LIMIT_WINDOW",))


@dataclass(frozen=True, kw_only=True)
class Control:
    """When models are started, loaded and given up on."""

    prewarm: int = setting(
        1, "How many models are kept started but not loaded, so that a cold request pays for reading the weights and "
        "not for starting a process as well.", 0, 64)
    load_deadline_s: float = setting(
        600.0, "Longest time a model may load before its process is given up.", 0.1, DAY_S)
    stall_limit_s: float = setting(
        60.0, "A model with work and without progress for this long is loaded again.",
        1, DAY_S)
    drain_deadline_s: float = setting(
        600.0, "How long a stopped model may take to finish its answers.", 1, DAY_S)
    models_dir: str = setting(
        "", "A directory where relative model paths are looked up too. Empty: only beside the file.",
        also=("MLX_MODELS_DIR",))
    default_model: str = setting(
        "", "Model or alias for requests that name none. Empty: that of the category \"default\", else the first model "
        "of the file that is not reserved for agents.")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Who stays loaded and who makes room. Sizes are GiB (1024 MiB)."""

    memory_budget_gb: float = setting(
        0.0, "What all models together may take. 0: what the GPU is recommended to use, or the machine's memory less a "
        "tenth, whichever is smaller.", 0, 1024)
    memory_warning_percent: float = setting(
        85.0, "From this much used memory on, idle models are unloaded but for the most useful one.", 1, 100,
        also=("MLX_MEMORY_WARNING_PERCENT",))
    memory_critical_percent: float = setting(
        95.0, "From here on every idle model is unloaded and nothing is loaded.", 1, 100,
        also=("MLX_MEMORY_CRITICAL_PERCENT",))
    memory_emergency_percent: float = setting(
        98.0, "From here on medium and low requests are refused besides.", 1, 100)
    preload_below_percent: float = setting(
        70.0, "Models are preloaded only while less memory than this is used.", 1, 100)
    keep_alive: str = setting(
        "5m", "How long a model stays loaded after its last answer: seconds, or a duration such as 10m or 24h; 0 "
        "unloads it as soon as it is idle, -1 keeps it. A request may ask for another time.",
        also=("OLLAMA_KEEP_ALIVE",), refuse=refuse_keep_alive)
    keep_alive_max: str = setting(
        "-1", "The longest time that a request may ask for. -1: any.", refuse=refuse_keep_alive)
    prefix_cache_disk_gb: float = setting(
        0.0, "What prompts and answers that were computed may take on disk (WARDEN_HOME/cache), so that a model that "
        "comes back need not compute them again. 0: nothing is written.", 0, 1024)
    grace_s: float = setting(
        30.0, "A model that was used this recently is not unloaded for others, unless they are of a higher class or "
        "have waited this long, or memory is critical.", 0, DAY_S)
    min_residency_s: float = setting(
        20.0, "A model that was loaded this recently is not unloaded for others, so that two that do not fit together "
        "take turns and do not spend their time on loading.", 0, DAY_S)


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Which backend answers. A chain is a list of mlx (here), ollama, victoria, and agents (the agents' model)."""

    chain_chat: tuple[str, ...] = setting(("mlx",), "For chats, such as those of a chat page.", refuse=refuse_backend)
    chain_chat_victoria: tuple[str, ...] = setting(
        ("victoria", "mlx"), "For chat whose caller wants the Victoria agent.", refuse=refuse_backend)
    chain_task: tuple[str, ...] = setting(
        ("mlx", "ollama", "victoria"), "For plain calls of the API.", refuse=refuse_backend)
    chain_batch: tuple[str, ...] = setting(
        ("mlx", "ollama"), "For batches of requests.", refuse=refuse_backend)
    chain_agent: tuple[str, ...] = setting(
        ("agents", "mlx", "ollama", "victoria"), "For calls between agents. One that names a model goes past the "
        "agents' own.", refuse=refuse_backend)
    simple_max_chars: int = setting(
        500, "A prompt shorter than this may be simple work, which goes to Ollama when MLX is overloaded.", 0, 10**6)
    simple_categories: tuple[str, ...] = setting(
        ("fast", "simple_query", "text_summarization", "grammar_correction"),
        "The categories whose work may be simple, besides none at all.")
    spill_after_queued: int = setting(
        3, "Simple tasks go to Ollama when more requests than this wait. Other kinds do as soon as any waits.",
        0, 100_000)


@dataclass(frozen=True, kw_only=True)
class Relays:
    """Other servers that work can be handed to. Each is a process of its own, which runs if its URL is set."""

    ollama_url: str = setting(
        "", "A server with Ollama's API: Ollama itself (http://127.0.0.1:11434), or mlx-warden on another machine. "
        "Empty: none.", refuse=refuse_ollama_url)
    ollama_max_running: int = setting(4, "Requests that it answers at the same time.", 1, 256)
    ollama_vision_model: str = setting(
        "moondream", "Its model for requests with images. Empty: none.", refuse=refuse_model_name)
    ollama_document_model: str = setting(
        "llava:7b", "Its model for images of category \"document\". Empty: the one above.", refuse=refuse_model_name)
    ollama_key_file: str = setting(
        "", "A file with the API key that it asks for. Relative to this file.")
    victoria_url: str = setting(
        "", "The Victoria agent (http://127.0.0.1:8010). Empty: none.", refuse=refuse_url)
    victoria_max_running: int = setting(2, "Requests that it answers at the same time.", 1, 256)
    victoria_key_file: str = setting("", "A file with the API key that it asks for. Relative to this file.")
    relay_connect_s: float = setting(2.0, "Longest time to reach such a server.", 0.05, 300)
    relay_first_byte_s: float = setting(
        120.0, "Longest time until it begins to answer, loading included.", 0.1, DAY_S)
    relay_idle_s: float = setting(60.0, "Longest pause within its answer.", 0.1, DAY_S)
    relay_probe_every_s: float = setting(
        5.0, "How often its health is looked at and its recovery noticed.", 0.05, 3600)


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """One model of up to 64. A name with dot, colon or slash needs quotes; with and without ":latest" is the same."""

    engine: str = setting(
        "mlx", "What runs the model: mlx, or echo, which answers numbered words without weights (tests and benches) "
        "and looks at no path.", choices=("mlx", "echo"))
    path: str = setting(
        "", "Where the weights are: a directory with config.json (relative to this file, or to models_dir), or a "
        "Hugging Face id that is already in the cache (HF_HUB_CACHE, HF_HOME), or \"guide\", the model that comes with "
        "mlx-warden. Required for engine mlx.",
        example="mlx-community/Phi-3.5-mini-instruct-4bit")
    aliases: tuple[str, ...] = setting((), "Further names of this model.", example=("phi3.5:3.8b",))
    context_length: int = setting(0, "Longest prompt and answer together, in tokens. 0: the model's own.", 0, 10**7)
    batch_size: int = setting(8, "Requests this model decodes together in one step.", 1, 256)
    prefix_cache: bool = setting(
        True, "Keep what was computed of prompts and answers, for others that begin with the same.")
    max_tokens: int = setting(
        0, "Longest answer in tokens for requests that do not say. 0: what is left of 4096 tokens after the "
        "prompt, and at least 2048, as far as the context goes.", 0, 10**7)
    preload: bool = setting(
        False, "Load this model at start and not at the first request. The variables list the names of the models to "
        "load, separated by commas, and replace what the file says.", also=("WARDEN_PRELOAD", "MLX_PRELOAD_MODELS"))
    pinned: bool = setting(False, "Never unload this model, whoever needs the memory.")
    keep_alive: str = setting(
        "", "How long this model stays loaded after its last answer, as in [memory]. Empty: what [memory] says.",
        refuse=refuse_own_keep_alive)
    audience: str = setting(
        "all", "Who may ask this model. \"agents\": only callers whose key says that they are agents; it is not even "
        "listed for people.", choices=("all", "agents"))
    ollama_model: str = setting(
        "", "What this model is called at Ollama. Empty: its own name or alias, if Ollama has a model of that name.",
        refuse=refuse_model_name, example="phi3.5:3.8b")
    embeddings: str = setting(
        "", "What of a text's hidden states its embedding is: that of the last token, their mean, or that of the first "
        "(cls). Empty: as the model's files say (1_Pooling/config.json), else none.",
        choices=("", "last", "mean", "cls", "off"))
    memory_gb: float = setting(
        0.0, "What this model may take. 0: worked out from its weights, batch and context, then measured.", 0, 1024)


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How tokens are chosen when the request does not say."""

    temperature: float = setting(0.7, "Higher is more surprising; 0 always takes the likeliest token.", 0, 10)
    top_p: float = setting(1.0, "Only the likeliest tokens that together have this probability. 1: all.", 0, 1)
    top_k: int = setting(0, "Only this many of the likeliest tokens. 0: all.", 0, 10**6)
    min_p: float = setting(0.0, "Only tokens at least this likely compared with the likeliest. 0: all.", 0, 1)
    repeat_penalty: float = setting(1.0, "Above 1 makes tokens that already came less likely. 1: off.", 0.01, 100)
    repeat_last_n: int = setting(
        64, "How many past tokens the three penalties look at. 0: none, -1: all.", -1, 10**6)
    presence_penalty: float = setting(0.0, "Taken off once from tokens that already came. 0: off.", -100, 100)
    frequency_penalty: float = setting(0.0, "Taken off for each time a token already came. 0: off.", -100, 100)


@dataclass(frozen=True, kw_only=True)
class EchoConfig:
    """What the echo engine plays; without effect for engine mlx."""

    rate_per_s: float = setting(0.0, "Tokens per second of each answer. 0: as fast as asked.", 0, 10**6)
    load_s: float = setting(0.0, "How long loading takes.", 0, DAY_S)
    answer_tokens: int = setting(16, "Length of an answer, unless the request asks for less.", 1, 10**6)
    crash_in_load: bool = setting(False, "End the process while loading.")
    hang_in_load: bool = setting(False, "Never finish loading.")


SECTIONS = {"server": Server, "limits": Limits, "control": Control, "memory": Memory, "routing": Routing,
            "relays": Relays}
MODEL_TABLES = {"sampling": SamplingSettings, "echo": EchoConfig}


@cache
def settings_of(cls: type) -> dict[str, Setting]:
    """The settings declared in one class (or inherited by it), in order of declaration."""
    found = {}
    for item in fields(cls):
        if "why" in item.metadata:
            rule = dict(item.metadata)
            own = (f"WARDEN_{item.name.upper()}",) if cls in SECTIONS.values() else ()
            kind = tuple if item.type == tuple[str, ...] else item.type
            found[item.name] = Setting(item.name, kind, item.default, variables=own + rule.pop("also"), **rule)
    return found
