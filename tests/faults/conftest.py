"""Faults are done to real stacks: `make_stack` as in tests/integration."""

from tests.support.stack_fixtures import make_stack

__all__ = ["make_stack"]
