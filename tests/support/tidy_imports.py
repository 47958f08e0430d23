"""Who may import whom, as data, and the rules that execute it: direction, cycles, purity, dependencies, dead modules.

`PARTS` is the whole import policy of the project; a module belongs to the longest name in it that it starts with,
may import anything of its own part, and of the others only what is listed. An exception carries its reason here.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator

from tests.support.tidy import PACKAGES, Source, call_name, dotted, imports, product, tests, type_checking_lines

PURE = {  # a module whose docstring says "Pure" is held to it too
    *(f"control.{name}" for name in ("states", "config", "routing", "eviction", "budget", "keep_alive")),
    *(f"workers.{name}" for name in ("protocol", "engine", "text")),
    *(f"gateway.{name}" for name in ("protocol", "admission", "fairness", "rate_limit")),
    *(f"gateway.http.{name}" for name in ("streams", "errors")),
}
_FACTS = {f"control.{name}" for name in
          ("states", "config", "table", "messages", "home", "sockets", "process_facts", "journal", "failpoints",
           "keep_alive", "private_file", "pooling", "model_markers", "capabilities")}
_FACE = {"gateway", "gateway.client", "gateway.protocol",
         "control.config", "control.home", "control.private_file", "control.journal", "control.keep_alive",
         "control.states", "control.table", "control.overview", "control.log_files", "control.decisions"}
PARTS: dict[str, set[str]] = {
    "control": set(),
    "workers": _FACTS | {"control.weights", "control.library"},  # is it a whole model? which were pulled since?
    "gateway": _FACTS | {"control.routing", "workers.protocol", "workers.job_parts"}
               | {"control.config_checks", "control.library", "control.library_file", "control.weights",  # pulls
                  "workers.fetch_lines"},
    "gateway.http": _FACE | {"gateway.keys", "gateway.key_file"}  # it does not listen for others without a key
                    | {"gateway.inbox", "gateway.garbage"}  # what an event costs; when to look for cycles
                    | {"control.capabilities"},  # what a model can do, as its files say
    "gateway.cli": _FACE | {"control.supervisord", "control.process_facts"}  # up, down and ctl drive supervisord
                   | {"gateway.keys", "gateway.key_file"}  # keys are made here, also while nothing runs
                   | {"control.example_config"}  # check --example
                   | {"control.darwin"}  # doctor: an Intel Python on an ARM Mac
                   | {f"control.{name}" for name in ("config_checks", "library", "setting_texts", "toml_text")}  # init
                   | {f"control.{name}" for name in  # fits shows control's arithmetic, also for a model not configured
                      ("budget", "model_size", "pressure", "pressure_level", "profiles", "weights")},
    "bench": {"gateway", "gateway.client", "gateway.protocol", "control.table"} | PURE  # the table to read, as all may
             | {"workers.prefill_pace"}  # the time of a chunk, which pauses are held against
             | {"gateway.garbage"},  # admission is measured as the gateway runs it
}
CONFINED: dict[str, set[str]] = {  # third-party module -> modules, or parts with a trailing ".", that may import it
    "mlx": {"workers.embedding", "workers.kept_kv", "workers.layer_states", "workers.masking", "workers.mlx_batch",
            "workers.mlx_engine", "workers.mlx_load", "workers.sampling",
            "bench.ref_batch"},  # the last is MLX without us, to compare with
    "mlx_lm": {"workers.counting", "workers.embedding", "workers.kept_kv", "workers.layer_states",
               "workers.mlx_batch", "workers.mlx_load", "workers.sampling", "bench.ref_batch", "bench.ref_cold"},
    "huggingface_hub": {"workers.fetch", "workers.fetch_errors"},
    "llguidance": {"workers.grammar", "workers.masking"},
    "psutil": {"control.process_facts", "control.pressure", "bench.machine",
               "gateway.cli.doctor_look_memory"},  # swap, and the type of a file system
    "opentelemetry": {"gateway.http.tracing"},
    "starlette": {"gateway.http."},
    "prometheus_client": {"gateway.http."},
    "uvicorn": {"gateway.http."},
    "typer": {"gateway.cli."},
    "rich": {"gateway.cli."},
    "prompt_toolkit": {"gateway.cli.chat_prompt"},
    "matplotlib": {"bench.plot"},
    "multiprocess": {"bench."},
    "aiohttp": {"bench.", "workers.relay_http"},
}
READS_FILES = {"control.config", "control.config_files", "control.library",  # their input is files; what they
               "control.weights"}  # return is a value
PURE_FORBIDS = {"time", "datetime", "random", "secrets", "uuid", "socket", "ssl", "select", "selectors", "asyncio",
                "threading", "multiprocessing", "multiprocess", "subprocess", "signal", "logging", "structlog", "zmq",
                "psutil", "mmap", "fcntl", "tempfile", "shutil", "http", "urllib", "uvicorn", "starlette", "mlx"}
OS_ALLOWED = {"os.path", "os.PathLike", "os.fspath", "os.sep"}
WRITES = {"write_text", "write_bytes", "mkdir", "unlink", "touch", "rename"}
READS = {"read_text", "read_bytes", "iterdir", "is_dir", "is_file", "exists", "isdir", "isfile", "lexists", "realpath",
         "expanduser"}
VALUES = {"control.table": {"ControlWords", "GatewayWords", "Row", "RowControl", "RowGateway", "RowWorker", "Snapshot"}}
PICKLE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
PICKLE_CALLS = {"recv_pyobj", "send_pyobj", "recv_serialized"}
DISTRIBUTIONS = {  # import name -> distribution, where they differ by more than "_" and "-"
    "xdist": "pytest-xdist",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
    "opentelemetry": "opentelemetry-sdk",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.proto": "opentelemetry-exporter-otlp-proto-http",
}
OPTIONAL = {"gateway.http.tracing"}  # may import what only an extra brings, and works without it
NOT_IMPORTED = {
    "httptools": "uvicorn's parser, chosen by name",
    "mlx-warden": "its own extra `bench`, which the tests need too",
    "uvloop": "the event loop, chosen by name",
    "supervisor": "run as a program",
    "pytest-timeout": "a plugin of pytest",
    "pytest-xdist": "a plugin of pytest",
    "ruff": "run as a program by `make check`",
}


def part_of(module: str) -> str:
    """The longest part that holds `module`, or ""."""
    return max((part for part in PARTS if f"{module}.".startswith(f"{part}.")), key=len, default="")


def _modules(sources: list[Source]) -> set[str]:
    return {source.module for source in sources if source.is_python}


def import_direction(sources: list[Source]) -> Iterator[str]:
    """Between parts, only what `PARTS` lists; nothing of the product imports the tests."""
    modules = _modules(sources)
    for source in product(sources):
        part = part_of(source.module)
        for line, target in imports(source, modules):
            if target.split(".")[0] == "tests":
                yield source.at(line, f"imports {target}: the product never needs its tests")
            elif target.split(".")[0] in PACKAGES and part_of(target) != part and target not in PARTS[part]:
                yield source.at(line, f"imports {target}, which {part} may not (see PARTS in tidy_imports.py)")


def third_party_confined(sources: list[Source]) -> Iterator[str]:
    """Heavy or risky libraries are imported in the places of `CONFINED` only."""
    for source in product(sources):
        for line, target in imports(source, set()):
            allowed = CONFINED.get(target.split(".")[0])
            if allowed is not None and not any(
                    source.module == place or f"{source.module}.".startswith(place) and place.endswith(".")
                    for place in allowed):
                yield source.at(line, f"imports {target}; only {', '.join(sorted(allowed))} may")


def import_cycles(sources: list[Source]) -> Iterator[str]:
    """No module imports itself by any way, lazy imports included; names for the type checker only do not count."""
    modules = _modules(sources)
    graph: dict[str, set[str]] = {}
    for source in product(sources):
        typing_only = type_checking_lines(source)
        targets = {target for line, target in imports(source, modules) if line not in typing_only}
        graph[source.module] = targets & modules - {source.module}
    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> Iterator[str]:
        if module in trail:
            yield f"{module}: import cycle: {' -> '.join([*trail[trail.index(module):], module])}"
        elif module not in done:
            for target in graph.get(module, ()):
                yield from visit(target, [*trail, module])
            done.add(module)

    for module in graph:
        yield from visit(module, [])


def purity(sources: list[Source]) -> Iterator[str]:
    """A pure module has no clock, socket, process, randomness, log or file, and imports only pure ones of ours."""
    modules = _modules(sources)
    pure = PURE | READS_FILES | {source.module for source in product(sources) if says_pure(source)}
    for source in product(sources):
        if source.module not in pure:
            continue
        harmless = type_checking_lines(source) | _lines_importing_values(source)
        for line, target in imports(source, modules):
            top = target.split(".")[0]
            if top in PURE_FORBIDS:
                yield source.at(line, f"a pure module imports {target}; take what it gives as an argument")
            elif top in PACKAGES and target not in pure and line not in harmless:
                yield source.at(line, f"a pure module imports {target}, which is not pure")
        for node in source.nodes:
            name = dotted(node) if isinstance(node, ast.Attribute) else ""
            if name.startswith("os.") and not any(name.startswith(allowed) for allowed in OS_ALLOWED):
                yield source.at(node.lineno, f"a pure module uses {name}; take it as an argument")
            if isinstance(node, ast.Call) and _touches_the_world(call_name(node), source.module in READS_FILES):
                yield source.at(node.lineno, f"a pure module calls {call_name(node)}()")


def says_pure(source: Source) -> bool:
    """A sentence of the module's docstring begins with Pure."""
    return re.search(r"(^|[.;]\s+)Pure\b", ast.get_docstring(source.tree) or "", re.MULTILINE) is not None


def _lines_importing_values(source: Source) -> set[int]:
    """Imports of plain value types out of a module that also touches the world."""
    return {node.lineno for node in source.nodes if isinstance(node, ast.ImportFrom)
            and {alias.name for alias in node.names} <= VALUES.get(node.module or "", set())}


def _touches_the_world(name: str, reads_files: bool) -> bool:
    last = name.rpartition(".")[2]
    if name in ("print", "input", "Path.cwd", "Path.home") or last in WRITES:
        return True
    return not reads_files and (name == "open" or last in READS)


def no_pickle(sources: list[Source]) -> Iterator[str]:
    """Nothing that runs code while it decodes, anywhere, tests included."""
    for source in sources:
        for line, target in imports(source, set()):
            if target.split(".")[0] in PICKLE:
                yield source.at(line, f"imports {target}: messages are MessagePack only")
        for node in source.nodes:
            if isinstance(node, ast.Attribute) and node.attr in PICKLE_CALLS:
                yield source.at(node.lineno, f"{node.attr} unpickles; use the codec of the protocol module")


def _distribution(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def dependencies(sources: list[Source]) -> Iterator[str]:
    """What the product imports is required, what tests and bench import at least an extra, and nothing more is."""
    project = next((tomllib.loads(source.text)["project"] for source in sources if source.path == "pyproject.toml"), {})
    required = {_distribution(line) for line in project.get("dependencies", [])}
    extras = {_distribution(line) for lines in project.get("optional-dependencies", {}).values() for line in lines}
    used: set[str] = set()
    for source in (*product(sources), *tests(sources)):
        optional = not source.is_product or part_of(source.module) == "bench" or source.module in OPTIONAL
        declared = required | extras if optional else required
        for line, target in imports(source, set()):
            top = target.split(".")[0]
            if top in sys.stdlib_module_names or top in PACKAGES or top == "tests":
                continue
            two = ".".join(target.split(".")[:2])
            name = DISTRIBUTIONS.get(two) or DISTRIBUTIONS.get(top, top.replace("_", "-"))
            used.add(name)
            if name not in declared:
                yield source.at(line, f"imports {top}, but {name} is not declared in pyproject.toml")
    for name in sorted((required | extras) - used - NOT_IMPORTED.keys()):
        yield f"pyproject.toml:1: {name} is declared but nothing imports it"


def dead_modules(sources: list[Source]) -> Iterator[str]:
    """Each module of the product is imported by another, or a program: console script, `-m` somewhere, a plugin."""
    modules = _modules(sources)
    imported = {target for source in product(sources) for _, target in imports(source, modules)
                if target != source.module}
    project = next((tomllib.loads(source.text)["project"] for source in sources if source.path == "pyproject.toml"), {})
    scripts = {target.partition(":")[0] for target in project.get("scripts", {}).values()}
    programs = "\n".join(source.text for source in sources if source.path in ("supervisor.conf", "Makefile"))
    started = {node.value for source in product(sources) for node in source.nodes if isinstance(node, ast.Constant)}
    for source in product(sources):
        entry = source.path.endswith(("__init__.py", "__main__.py")) or source.module in scripts | started
        entry = entry or f"{source.module}:" in programs or re.search(rf"-m {re.escape(source.module)}\b", programs)
        if not entry and source.module not in imported:
            yield source.at(1, "nothing of the product imports it; delete it")
