"""A headless Chromium with one page, for tests of what a page does, looks like, and asks of the network.

Spoken to through the DevTools protocol on a pair of pipes, which needs no package. `needs_browser` skips a module where
there is none. `errors` holds what a person would find red in the console: exceptions, console.error and violations of
the page's own policy; answers that are errors of HTTP are not among them, since tests make those.
"""

import base64
import json
import os
import select
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.chromium import WHY_SKIPPED, find_browser

__all__ = ["Browser", "find_browser", "needs_browser"]

WITHIN_S = 20.0
PHONE_PX = 400
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowUp": 38, "ArrowDown": 40}
SHIFT = 8

needs_browser = pytest.mark.skipif(find_browser() is None, reason=WHY_SKIPPED)


class Browser:
    """`errors`: what went wrong in the page; `requests`: addresses it asked for, `data:` and `blob:` left out."""

    def __init__(self, url: str, folder: Path, width_px: int = 1000, *, height_px: int = 800,
                 dark: bool = False) -> None:
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        # Chromium reads its descriptor 3 and writes its descriptor 4
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "-", find_browser(), "--headless",
             "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--remote-debugging-pipe", f"--user-data-dir={folder}"],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._rest, self._last_id, self._session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.resize(width_px, height_px)
        self.prefer(dark=dark)
        self.go(url)

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

    # -- the protocol

    def call(self, method: str, **params: object) -> dict:
        """One command of the protocol, and its result."""
        self._last_id += 1
        session = {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps({"id": self._last_id, "method": method, "params": params} | session).encode()
                 + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self._last_id:
                assert "error" not in message, message
                return message["result"]
            self._note(message.get("method", ""), message.get("params", {}))

    def _receive(self) -> dict:
        while b"\0" not in self._rest:
            assert select.select([self._in], [], [], WITHIN_S)[0], "the browser says nothing"
            part = os.read(self._in, 65_536)
            assert part, "the browser is gone"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event: str, told: dict) -> None:
        if event == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.errors.append(f"{details['text']} {details.get('exception', {}).get('description', '')}")
        elif event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(part.get("value", part.get("description"))) for part in told["args"]))
        elif event == "Log.entryAdded" and told["entry"]["source"] != "network":
            if told["entry"]["level"] in ("error", "warning"):
                self.errors.append(told["entry"]["text"])
        elif event == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("data:", "blob:")):
            self.requests.append(told["request"]["url"])

    # -- the page

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> object:
        """The value of an expression in the page; of a promise, what it resolves to."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str, within_s: float = WITHIN_S) -> None:
        """Until that expression is true."""
        give_up_at = time.monotonic() + within_s
        while not self.run(condition):
            assert time.monotonic() < give_up_at, f"never true: {condition}\n{self.run('document.body.innerText')}"
            time.sleep(0.02)

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key, down and up: one of KEYS, or a character."""
        code = KEYS.get(key, ord(key[0].upper()))
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        same = {"key": key, "windowsVirtualKeyCode": code, "modifiers": SHIFT if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **same)
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def type(self, text: str) -> None:
        """Into what has the focus, in place of what is selected there."""
        self.call("Input.insertText", text=text)

    # -- how it is looked at

    def resize(self, width_px: int, height_px: int = 800) -> None:
        """PHONE_PX and less count as a phone, whose pages may not be wider than its screen."""
        self.call("Emulation.setDeviceMetricsOverride", width=width_px, height=height_px, deviceScaleFactor=1,
                  mobile=width_px <= PHONE_PX)

    def prefer(self, *, dark: bool = False, still: bool = False) -> None:
        """What the person behind it has set: a dark screen, nothing that moves."""
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"}])

    def is_too_wide(self) -> bool:
        """Must a person scroll sideways?"""
        return self.run("document.documentElement.scrollWidth > document.documentElement.clientWidth")

    def set_offline(self, offline: bool) -> None:
        self.call("Network.emulateNetworkConditions", offline=offline, latency=0, downloadThroughput=-1,
                  uploadThroughput=-1)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """As PNG: what is seen, or the `whole` page."""
        clip = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {**size, "scale": 1}, "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **clip)["data"]))
