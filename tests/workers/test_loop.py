"""How the I/O thread of a worker is woken: once for many calls, and never too seldom."""

import select
import threading
from collections import deque

from workers.loop import Wake

WAIT_S = 10.0
POSTS = 20_000


def is_woken(wake: Wake, within_s: float = 0.0) -> bool:
    return bool(select.select([wake.reader], [], [], within_s)[0])


def test_many_calls_are_one_byte_until_it_was_taken():
    wake = Wake()
    assert not is_woken(wake)
    for _ in range(3):
        wake()
    assert is_woken(wake) and len(wake.reader.recv(16)) == 1
    wake.clear()  # there is no byte any more, and that is no harm
    wake()
    assert is_woken(wake)
    wake.clear()
    assert not is_woken(wake)


def test_nothing_that_was_put_before_a_call_is_left_lying():
    wake, posts, taken = Wake(), deque(), 0

    def post() -> None:
        for number in range(POSTS):
            posts.append(number)
            wake()

    thread = threading.Thread(target=post)
    thread.start()
    while taken < POSTS:
        assert is_woken(wake, WAIT_S), f"asleep with {len(posts)} posts"
        wake.clear()
        while posts:
            assert posts.popleft() == taken
            taken += 1
    thread.join()
