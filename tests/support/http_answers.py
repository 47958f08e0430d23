"""One answer over HTTP, read in the background as its caller sees it: headers, text as it comes, and how it ends.

Reads the streams of all dialects (NDJSON objects; server-sent events of OpenAI and of the chat endpoints) and whole
answers. What tests assert of an answer they assert of this.
"""

import http.client
import json
import socket
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from urllib.parse import urlsplit

from tests.support.supervisor_home import wait_until

END_WITHIN_S = 60.0
DATA = "data:"
DONE = "[DONE]"


class HttpAnswer:
    """POSTs `body` at once, in a thread of its own; `X_Name="text"` becomes the header X-Name.

    `status` 0: there is none yet. `error` is what a failure says, before the first byte or after; `ended_well` is the
    dialect's own sign of a whole answer.
    """

    def __init__(self, url: str, path: str, body: dict, **headers: str) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.text = ""
        self.error: object = None
        self.ended_well = False
        self.objects: list[dict] = []
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=END_WITHIN_S)
        self._connection.connect()
        self._socket = self._connection.sock
        sent = {"Content-Type": "application/json"} | {key.replace("_", "-"): said for key, said in headers.items()}
        self._thread = threading.Thread(target=self._read, args=(path, json.dumps(body), sent), daemon=True)
        self._thread.start()

    # -- what a test waits for

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def wait_text(self) -> "HttpAnswer":
        """Until its first words are there; fails if it ends without any."""
        wait_until("the first words", lambda: self.text or self.ended)
        assert self.text, f"no words: {self.status} {self.error}"
        return self

    def wait_end(self) -> "HttpAnswer":
        self._thread.join(END_WITHIN_S)
        assert self.ended, f"no end after {self.text!r}"
        return self

    def leave(self) -> None:
        """As a caller who closes the window."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(END_WITHIN_S)

    # -- what it is

    @property
    def backend(self) -> str:
        """Who answered, by the last of its route."""
        return self.route.rpartition(">")[2]

    @property
    def route(self) -> str:
        return self.headers.get("x-warden-route", "")

    @property
    def reason(self) -> str:
        return self.headers.get("x-warden-reason", "")

    @property
    def code(self) -> str:
        """Of an error that names one: OpenAI's and the chat endpoints'."""
        return self.error.get("code", "") if isinstance(self.error, dict) else ""

    # -- reading

    def _read(self, path: str, body: str, headers: dict[str, str]) -> None:
        with suppress(OSError, http.client.HTTPException), closing(self._connection) as connection:
            connection.request("POST", path, body, headers)
            reply = connection.getresponse()
            self.headers = {name.lower(): text for name, text in reply.getheaders()}
            self.status = reply.status
            for line in reply:
                self._take(line.decode().strip())

    def _take(self, line: str) -> None:
        said = line.removeprefix(DATA).strip()
        if said == DONE:
            self.ended_well = True
        elif said.startswith("{"):
            self.objects.append(json.loads(said))
            self._take_object(self.objects[-1])

    def _take_object(self, said: dict) -> None:
        if said.get("type") == "error" or "error" in said:
            self.error = said if "type" in said else said["error"]
        elif "type" in said:  # of the chat endpoints
            self.text += said["content"] if said["type"] == "chunk" else ""
            self.ended_well |= said["type"] == "end"
        elif "choices" in said:
            for choice in said["choices"]:
                self.text += (choice.get("delta") or choice.get("message") or {}).get("content") or ""
                self.ended_well |= "message" in choice
        else:
            self.text += said.get("message", {}).get("content") or said.get("response") or said.get("content") or ""
            self.ended_well |= bool(said.get("done")) or said.get("status") == "ok"
