"""The files of contract tests that share one stack, and the scheduler that gives all of them to one process of pytest.

A stack takes some seconds of processor time to start and to end, and its models to load. Files that harm it (a model
that crashes three times is in quarantine), that count what happened in it, or that need its models not to be loaded
have one of their own.
"""

from xdist.scheduler import LoadFileScheduling

SHARING = frozenset(f"tests/contract/test_{name}.py" for name in (
    "anthropic", "ollama", "ollama_node", "ollama_raw", "openai_chat", "openai_completions", "openai_node",
    "openai_tools", "responses"))


def shares(nodeid: str) -> bool:
    """Is the test, or the file, one of those that share?"""
    return _file(nodeid) in SHARING


class OneStackScheduling(LoadFileScheduling):
    """`--dist loadfile`, in which the files that share a stack count as one file."""

    def _split_scope(self, nodeid: str) -> str:
        return "one stack" if shares(nodeid) else _file(nodeid)


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
