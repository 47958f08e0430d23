"""Size, shape, names and habits of the code, each rule a function from sources to violations.

Which module may import which is next door in `tidy_imports.py`; `RULES` at the end lists every rule of both files.
An exception to a rule stands here with its reason, and is itself a violation once it is not needed any more.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from statistics import median

from tests.support import tidy_imports
from tests.support.tidy import PACKAGES, Rule, Source, call_name, dotted, product, tests

FILE_MAX_LINES = 300
FILE_MAX_COLUMNS = 120
FILE_MEDIAN_MAX_LINES = 130
FUNCTION_MAX_LINES = 50
BROAD_EXCEPTS_MAX = 4
BROAD = {"Exception", "BaseException"}
NAMES_THAT_SAY_NOTHING = {"util", "utils", "common", "helper", "helpers", "core", "manager", "managers", "misc"}
MIRROR_MIN_LINES = 60
SHOWN_BY_PROCESSES = ("/test_main", "/test_loop")  # they join sockets, clock and decisions: tests/integration runs them
MIRRORED_ELSEWHERE = {  # product file without a mirror -> the test file that shows what it does
    "gateway/cli/chat.py": "tests/integration/test_run_chat.py",  # a terminal and a stack joined
    "workers/engine.py": "tests/conformance/test_engines.py",  # an interface: one suite for all that implement it
    "workers/relay.py": "tests/conformance/test_backends.py",  # the same, of what answers instead of an engine
}
CLOCKS = {"time.monotonic", "time.perf_counter", "time.time", "time.monotonic_ns", "time.perf_counter_ns",
          "monotonic", "perf_counter", "monotonic_ns", "perf_counter_ns"}
SLEEPS = {"time.sleep", "sleep", "asyncio.sleep"}
TIME_WORDS = {"TIMEOUT", "DEADLINE", "INTERVAL", "WAIT", "DELAY", "EVERY", "WITHIN", "GRACE", "PERIOD", "STALE"}
ENDINGS_WITHOUT_UNIT = TIME_WORDS | {"MAX", "MIN", "LIMIT", "TIME"}
UNITLESS_PARAMETERS = {"timeout", "interval", "delay", "period", "ttl"}
LIMIT_KEYWORDS = {"timeout", "timeout_s", "timeout_ms", "maxsize", "maxlen", "max_size"}


def file_size(sources: list[Source]) -> Iterator[str]:
    """Files fit on a few screens, lines fit on one."""
    for source in sources:
        if len(source.lines) > FILE_MAX_LINES:
            yield source.at(FILE_MAX_LINES + 1, f"{len(source.lines)} lines; {FILE_MAX_LINES} at most: split it")
        for number, line in enumerate(source.lines, 1):
            if len(line) > FILE_MAX_COLUMNS:
                yield source.at(number, f"{len(line)} columns; {FILE_MAX_COLUMNS} at most")


def file_median(sources: list[Source]) -> Iterator[str]:
    """Most files of the product are short."""
    sizes = [len(source.lines) for source in product(sources)]
    if sizes and median(sizes) > FILE_MEDIAN_MAX_LINES:
        yield f"product:1: the median file has {median(sizes):.0f} lines; {FILE_MEDIAN_MAX_LINES} at most"


def function_length(sources: list[Source]) -> Iterator[str]:
    """Functions are read in one look."""
    for source in sources:
        for node in source.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_MAX_LINES:
                    yield source.at(node.lineno, f"{node.name} has {lines} lines; {FUNCTION_MAX_LINES} at most")


def broad_excepts(sources: list[Source]) -> Iterator[str]:
    """Few places may catch everything, and each says why on its line."""
    places = []
    for source in product(sources):
        for node in source.nodes:
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or any(dotted(name) in BROAD for name in ast.walk(node.type))
            else:
                broad = (isinstance(node, ast.Call) and call_name(node).endswith("suppress")
                         and any(dotted(argument) in BROAD for argument in node.args))
            if broad:
                places.append(source.at(node.lineno, "catches everything"))
                if not re.search(r"#\s*\w+", source.lines[node.lineno - 1]):
                    yield f"{places[-1]} without a reason in a comment on its line"
    if len(places) > BROAD_EXCEPTS_MAX:
        yield from (f"{place}; {len(places)} such places, {BROAD_EXCEPTS_MAX} at most" for place in places)


def file_names(sources: list[Source]) -> Iterator[str]:
    """A name says what is inside."""
    for source in sources:
        for part in PurePosixPath(source.path).with_suffix("").parts:
            if part in NAMES_THAT_SAY_NOTHING or part.removeprefix("test_") in NAMES_THAT_SAY_NOTHING:
                yield source.at(1, f"a file or folder named {part} says nothing; name what it decides")


def docstrings(sources: list[Source]) -> Iterator[str]:
    """Each module opens by saying what it decides or guarantees."""
    for source in sources:
        if source.is_python and not ast.get_docstring(source.tree):
            yield source.at(1, "no module docstring")


def no_pack_into(sources: list[Source]) -> Iterator[str]:
    """struct.pack_into writes byte by byte: readers of shared memory see zeros in the middle of it."""
    for source in sources:
        for node in source.nodes:
            if isinstance(node, ast.Attribute) and node.attr == "pack_into" or (
                    isinstance(node, ast.alias) and node.name == "pack_into"):
                yield source.at(node.lineno, 'pack_into tears words; write through memoryview.cast("Q")')


def table_read_only(sources: list[Source]) -> Iterator[str]:
    """Only control makes tables and names rows; faces and benches never write a word.

    But for a bench of the table itself, which has one of its own.
    """
    for source in product(sources):
        if source.module == "bench.scaling_table":
            continue
        part = tidy_imports.part_of(source.module)
        for node in source.nodes:
            name = call_name(node) if isinstance(node, ast.Call) else ""
            if name.endswith((".name_row", "Table.create")) and part != "control":
                yield source.at(node.lineno, f"{name}: only control makes the table")
            if name.endswith("table.writer") and part not in ("control", "workers", "gateway"):
                yield source.at(node.lineno, f"{name}: {part} reads the table only")


def unfinished(sources: list[Source]) -> Iterator[str]:
    """Nothing half done is committed."""
    mark = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for source in product(sources):
        for number, line in enumerate(source.lines, 1):
            if mark.search(line) or "NotImplementedError" in line:
                yield source.at(number, "left unfinished; finish it or leave it out")


def units(sources: list[Source]) -> Iterator[str]:
    """Waits and sizes have named limits, and the name ends in the unit."""
    for source in product(sources):
        for node in source.nodes:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for name in (target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()):
                    words = name.strip("_").split("_")
                    if TIME_WORDS.intersection(words) and words[-1] in ENDINGS_WITHOUT_UNIT and _is_number(node.value):
                        yield source.at(node.lineno, f"{name} has no unit in its name")
            elif isinstance(node, ast.arg) and node.arg in UNITLESS_PARAMETERS:
                yield source.at(node.lineno, f"parameter {node.arg} has no unit in its name")
            elif isinstance(node, ast.keyword) and node.arg in LIMIT_KEYWORDS and _is_number(node.value):
                if ast.literal_eval(node.value) not in (0, 1, -1):
                    yield source.at(node.value.lineno, f"{node.arg} is a bare number; name the limit with its unit")


def _is_number(node: ast.AST | None) -> bool:
    try:
        return type(ast.literal_eval(node)) in (int, float) if node else False
    except ValueError:
        return isinstance(node, ast.BinOp) and _is_number(node.left) and _is_number(node.right)


def tests_mirror(sources: list[Source]) -> Iterator[str]:
    """tests/control/test_table.py (or test_table_<aspect>.py) for control/table.py, in both directions."""
    paths = {source.path for source in sources}
    modules = {f"tests/{path.parent}/test_{path.stem.strip('_')}": source
               for source in product(sources) for path in [PurePosixPath(source.path)]}
    mirrored = set()
    for source in tests(sources):
        test = source.path.removesuffix(".py")
        if test.split("/")[1] in PACKAGES and PurePosixPath(test).name.startswith("test_"):
            owner = max((each for each in modules if f"{test}_".startswith(f"{each}_")), key=len, default="")
            mirrored.add(owner)
            if not owner:
                yield source.at(1, "mirrors no module of the product")
    for test, source in modules.items():
        elsewhere = MIRRORED_ELSEWHERE.get(source.path)
        exempt = elsewhere or test.endswith(SHOWN_BY_PROCESSES) or len(source.lines) < MIRROR_MIN_LINES
        if test not in mirrored and not exempt:
            yield source.at(1, f"no {test}.py shows what it does")
        if elsewhere and (test in mirrored or elsewhere not in paths):
            yield source.at(1, f"its entry in MIRRORED_ELSEWHERE is wrong or not needed: {elsewhere}")


def no_bare_sleep(sources: list[Source]) -> Iterator[str]:
    """Tests wait for something to happen: a sleep stands only inside a `while` that looks again."""
    for source in tests(sources):
        polling = {id(child) for node in source.nodes if isinstance(node, ast.While) for child in ast.walk(node)}
        for node in source.nodes:
            if isinstance(node, ast.Call) and call_name(node) in SLEEPS and id(node) not in polling:
                yields_only = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
                if not yields_only:
                    yield source.at(node.lineno, "a bare sleep; wait for the event, with a deadline")


def no_asserted_timing(sources: list[Source]) -> Iterator[str]:
    """No test asserts how long something took: on a busy machine it lies. Benches measure."""
    for source in tests(sources):
        clocks = {node.targets[0].id for node in source.nodes
                  if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
                  and isinstance(node.value, ast.Call) and call_name(node.value) in CLOCKS}
        spans = {node.targets[0].id for node in source.nodes
                 if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
                 and _is_span(node.value, clocks)}
        for node in source.nodes:
            if isinstance(node, ast.Assert) and any(
                    _is_span(part, clocks) or isinstance(part, ast.Name) and part.id in spans
                    for part in ast.walk(node.test)):
                yield source.at(node.lineno, "asserts a time that was measured; assert the order of events instead")


def _is_span(node: ast.AST, clocks: set[str]) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and any(
        isinstance(side, ast.Call) and call_name(side) in CLOCKS or isinstance(side, ast.Name) and side.id in clocks
        for side in (node.left, node.right))


def no_mocks(sources: list[Source]) -> Iterator[str]:
    """Fakes are small classes that record effects; time is an argument, so nobody patches the clock."""
    for source in tests(sources):
        for node in source.nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("unittest.mock", "mock")) or (
                    isinstance(node, ast.alias) and node.name.startswith("unittest.mock")):
                yield source.at(node.lineno, "mocks; write a fake that records effects")
            if isinstance(node, ast.Call) and call_name(node).endswith("monkeypatch.setattr") and node.args:
                first = node.args[0]
                name = str(first.value) if isinstance(first, ast.Constant) else dotted(first)
                if name.split(".")[0] == "time" or name.endswith(".time"):
                    yield source.at(node.lineno, "patches the clock; pass `now` as an argument")


RULES: tuple[Rule, ...] = (
    tidy_imports.import_direction, tidy_imports.third_party_confined, tidy_imports.import_cycles, tidy_imports.purity,
    tidy_imports.no_pickle, tidy_imports.dependencies, tidy_imports.dead_modules,
    file_size, file_median, function_length, broad_excepts, file_names, docstrings, no_pack_into, table_read_only,
    unfinished, units, tests_mirror, no_bare_sleep, no_asserted_timing, no_mocks,
)
