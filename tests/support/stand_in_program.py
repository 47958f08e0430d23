"""Plays any program of the stack for tests of supervisord and of `warden up`: run as `stand_in_program.py FOLDER ARGS`.

ARGS is what supervisor.conf gives to Python (`-P -m workers a`). Each start is a line `program pid` in FOLDER/starts;
FOLDER/plan.json says what a program does:

    serve     until TERM, then exit 0 (the default)
    exit N    at once
    abort     at once, by SIGABRT
    deaf      serve, and ignore TERM
    lock      serve, holding the program's lock; control and gateway also beat in the table, http answers 200
"""

import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

BEAT_EVERY_S = 0.2
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PROGRAMS = {"control": "control", "gateway": "gateway", "gateway.http": "http"}

stop = threading.Event()


def beat(program: str) -> None:
    """Hold the lock and write a fresh heartbeat, as control and gateway do."""
    import time

    from control.home import acquire_lock, home_from_env
    from control.table import ControlWords, GatewayWords, Table, TableRefused

    home = home_from_env(os.environ)
    with acquire_lock(home.lock_path(program)):
        table = Table.create(home.table, boot_id=os.getpid()) if program == "control" else None
        while table is None and not stop.wait(BEAT_EVERY_S):
            try:
                table = Table.open(home.table)
            except TableRefused:
                pass  # control has not made it yet
        writer = table and table.writer(ControlWords if program == "control" else GatewayWords)
        while writer and not stop.wait(BEAT_EVERY_S):
            writer.set(epoch=1, pid=os.getpid(), heartbeat_ns=time.monotonic_ns())
            writer.flush()


def answer_http() -> None:
    """Answer everything with 200 on the listening socket that supervisord gave us as descriptor 0."""
    listener = socket.socket(fileno=os.dup(0))
    listener.settimeout(BEAT_EVERY_S)
    while not stop.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection:
            connection.recv(4096)
            connection.sendall(ANSWER)


def play(plan: str, program: str) -> int:
    kind, _, argument = plan.partition(" ")
    if kind == "exit":
        return int(argument)
    if kind == "abort":
        os.abort()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == "deaf" else lambda *_: stop.set())
    print(f"{program} serves", flush=True)
    if kind == "lock":
        answer_http() if program == "http" else beat(program)
    stop.wait()
    return 0


def main(folder: Path, arguments: list[str]) -> int:
    module, *rest = arguments[2:]
    program = f"worker-{rest[0]}" if module == "workers" else PROGRAMS[module]
    if program == "http" and os.environ["SUPERVISOR_PROCESS_NAME"] != "http":
        program = os.environ["SUPERVISOR_PROCESS_NAME"]
    with (folder / "starts").open("a") as starts:
        starts.write(f"{program} {os.getpid()}\n")
    plans = json.loads((folder / "plan.json").read_text())
    return play(plans.get(program, plans.get("*", "serve")), program)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
