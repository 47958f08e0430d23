"""x"""
from hypothesis import settings
from tests.model.real_machine import AnyOrder

AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None, print_blob=False)
test_any_order = AnyOrder.TestCase

def test_seen():
    print(AnyOrder.seen)
