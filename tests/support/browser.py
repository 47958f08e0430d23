"""A headless Chromium with one page, for tests of what a page does: scripts are evaluated in it, nothing else.

Spoken to through the DevTools protocol on a pair of pipes, which needs no package. `None` from `find_browser` means
that this machine has none.
"""

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

WITHIN_S = 20.0
NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    def __init__(self, url: str, folder: Path, width_px: int = 1000) -> None:
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        # Chromium reads its descriptor 3 and writes its descriptor 4
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "-", find_browser(), "--headless",
             "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
             f"--user-data-dir={folder}"],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest, self._last_id, self._session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Emulation.setDeviceMetricsOverride", width=width_px, height=800, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._out)  # which ends it
        try:
            self._process.wait(WITHIN_S)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._in)

    def call(self, method: str, **params: object) -> dict:
        """One command of the protocol, and its result; events that come meanwhile are dropped."""
        self._last_id += 1
        session = {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps({"id": self._last_id, "method": method, "params": params} | session).encode()
                 + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self._last_id:
                assert "error" not in message, message
                return message["result"]

    def _receive(self) -> dict:
        while b"\0" not in self._rest:
            assert select.select([self._in], [], [], WITHIN_S)[0], "the browser says nothing"
            part = os.read(self._in, 65_536)
            assert part, "the browser is gone"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def run(self, script: str) -> object:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until that expression is true."""
        give_up_at = time.monotonic() + WITHIN_S
        while not self.run(condition):
            assert time.monotonic() < give_up_at, f"never true: {condition}\n{self.run('document.body.innerText')}"
            time.sleep(0.02)
