"""XML-RPC to supervisord when it is silent, gone, or answers nonsense: a typed error each time, and no endless wait."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from control import supervisor_rpc
from control.home import Home, prepare_home
from control.supervisor_rpc import ProcessState, Supervisord, SupervisordFault, SupervisordGone

CONF = "[unix_http_server]\nusername=warden\npassword=secret\n"
ENTRY = """<value><struct>
<member><name>name</name><value><string>{name}</string></value></member>
<member><name>group</name><value><string>{group}</string></value></member>
<member><name>state</name><value><int>100</int></value></member>
<member><name>pid</name><value><int>0</int></value></member>
<member><name>start</name><value><int>11</int></value></member>
<member><name>stop</name><value><int>12</int></value></member>
<member><name>exitstatus</name><value><int>-1</int></value></member>
</struct></value>"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    prepare_home(home)
    home.supervisor_conf.write_text(CONF)
    return home


@contextmanager
def answering(home: Home, answer: bytes) -> Iterator[list[bytes]]:
    """Somebody on the socket who answers each connection with `answer` (nothing: silence); yields what was asked."""
    asked: list[bytes] = []
    over = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.supervisor_socket))
        listener.listen()

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                if over.is_set():
                    return
                with connection:
                    asked.append(request_on(connection))
                    connection.sendall(answer)
                    if not answer:
                        over.wait()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        over.set()
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(home.supervisor_socket))
        thread.join()


def request_on(connection: socket.socket) -> bytes:
    request = b""
    while b"</methodCall>" not in request and (piece := connection.recv(65536)):
        request += piece
    return request


def http(status: str, body: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()


def method_response(value: str) -> bytes:
    params = f"<params><param>{value}</param></params>"
    return http("200 OK", f"<?xml version='1.0'?><methodResponse>{params}</methodResponse>")


def test_silence_ends_in_an_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_rpc, "RPC_TIMEOUT_S", 0.05)
    with answering(home, b""), pytest.raises(SupervisordGone, match="silent for 0"):
        Supervisord(home).processes()


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", http("200 OK", "not xml"), http("200 OK", "<a/>"), b"\0"])
def test_nonsense_is_nobody(home: Home, answer: bytes) -> None:
    with answering(home, answer), pytest.raises(SupervisordGone):
        Supervisord(home).pid()


def test_nobody_on_the_socket_and_no_socket(home: Home) -> None:
    with pytest.raises(SupervisordGone):
        Supervisord(home).pid()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(home.supervisor_socket))
    with pytest.raises(SupervisordGone):
        Supervisord(home).pid()


def test_a_home_that_was_never_started(home: Home) -> None:
    home.supervisor_conf.unlink()
    with pytest.raises(SupervisordGone, match="does not run"):
        Supervisord(home).pid()


def test_a_refused_connection_is_a_fault_with_its_number(home: Home) -> None:
    with answering(home, http("401 Unauthorized")), pytest.raises(SupervisordFault) as refused:
        Supervisord(home).start("control")
    assert refused.value.code == 401


def test_a_fault_has_code_and_text(home: Home) -> None:
    fault = ("<?xml version='1.0'?><methodResponse><fault><value><struct>"
             "<member><name>faultCode</name><value><int>60</int></value></member>"
             "<member><name>faultString</name><value><string>ALREADY_STARTED: worker-a</string></value></member>"
             "</struct></value></fault></methodResponse>")
    with answering(home, http("200 OK", fault)), pytest.raises(SupervisordFault) as refused:
        Supervisord(home).start("worker-a")
    assert (refused.value.code, refused.value.text) == (60, "ALREADY_STARTED: worker-a")


def test_processes_by_name_with_the_group_where_it_differs(home: Home) -> None:
    entries = [ENTRY.format(name="worker-a", group="worker-a"), ENTRY.format(name="http-0", group="http")]
    with answering(home, method_response(f"<value><array><data>{''.join(entries)}</data></array></value>")):
        facts = Supervisord(home).processes()
    assert facts.keys() == {"worker-a", "http:http-0"}
    assert facts["worker-a"] == ("worker-a", ProcessState.EXITED, 0, 11, 12, -1)


def test_start_and_stop_do_not_wait_for_the_process(home: Home) -> None:
    with answering(home, method_response("<value><boolean>1</boolean></value>")) as asked:
        Supervisord(home).start("worker-a")
        Supervisord(home).stop("worker-a")
    assert [b"supervisor.startProcess" in asked[0], b"supervisor.stopProcess" in asked[1]] == [True, True]
    assert all(b"<boolean>0</boolean>" in request for request in asked)
    assert all(b"Authorization: Basic " in request for request in asked)
