"""The tree as the tidy rules see it: paths and texts as values, parsed once, with imports resolved to modules.

A rule is a function from sources to violations (`path:line: what, and what to do`). Because sources are values, a
rule is shown to fail on a few lines of text (`tests/test_tidy.py`), and nothing here touches the disk but `read_tree`.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

PACKAGES = ("control", "workers", "gateway", "bench")
TEXT_SUFFIXES = {".py", ".toml", ".conf", ".html", ".js", ".css"}
TRAINING_TEXT = "workers/guide/text/"  # what a model learns, not what people read: its own tests look at it
ROOT_FILES = ("pyproject.toml", "supervisor.conf", "warden.example.toml", "Makefile")


class Source:
    """One file: `path` relative to the root with forward slashes, its text, and for Python what is in it."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.lines = text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed module. Raises SyntaxError."""
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of a Python file, outermost first; empty for any other file."""
        return list(ast.walk(self.tree)) if self.is_python else []

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    @property
    def is_product(self) -> bool:
        return self.path.split("/")[0] in PACKAGES

    @property
    def is_test(self) -> bool:
        return self.path.startswith("tests/")

    @property
    def module(self) -> str:
        """Dotted name; a package for its `__init__.py`."""
        parts = PurePosixPath(self.path).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def package(self) -> str:
        return self.module if self.path.endswith("__init__.py") else self.module.rpartition(".")[0]

    def at(self, line: int, message: str) -> str:
        return f"{self.path}:{line}: {message}"


Rule = Callable[[list[Source]], Iterable[str]]


def read_tree(root: Path) -> list[Source]:
    """The text files of the product and its tests, training text apart, and those at the root."""
    paths = [root / name for name in ROOT_FILES]
    for folder in (*PACKAGES, "tests"):
        paths += sorted(path for path in (root / folder).rglob("*") if path.suffix in TEXT_SUFFIXES)
    sources = [Source(path.relative_to(root).as_posix(), path.read_text("utf-8")) for path in paths if path.is_file()]
    return [source for source in sources if not source.path.startswith(TRAINING_TEXT)]


def product(sources: list[Source]) -> Iterator[Source]:
    """The Python files of the product."""
    return (source for source in sources if source.is_product and source.is_python)


def tests(sources: list[Source]) -> Iterator[Source]:
    """The Python files of the tests."""
    return (source for source in sources if source.is_test and source.is_python)


def imports(source: Source, modules: set[str]) -> Iterator[tuple[int, str]]:
    """Line and module of each import, at any depth of the file, lazy ones and `import_module("x")` too.

    `from a import b` is the module `a.b` where `modules` knows one, else `a`.
    """
    for node in source.nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = source.package.split(".")[: len(source.package.split(".")) - node.level + 1]
                base = ".".join(above + ([base] if base else []))
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield node.lineno, whole if whole in modules else base
        elif isinstance(node, ast.Call) and call_name(node).split(".")[-1] in ("import_module", "__import__"):
            if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def type_checking_lines(source: Source) -> set[int]:
    """Lines under `if TYPE_CHECKING:`, which no running process executes."""
    lines: set[int] = set()
    for node in source.nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.body:
                lines.update(range(child.lineno, (child.end_lineno or child.lineno) + 1))
    return lines


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of names, with "" for whatever the chain hangs on otherwise."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def call_name(node: ast.Call) -> str:
    """The dotted name of what is called."""
    return dotted(node.func)
