"""Pull, copy and delete in the Ollama dialect, by the real app in front of a gateway with scripted downloaders."""

import asyncio
import json

import httpx
import pytest

from control.library import Library
from gateway.http.ollama_library import BY_A_PROXY, line
from gateway.protocol import Fetching
from tests.support.library_world import LibraryWorld
from tests.support.world_http import make_world_app
from workers import fetch_lines
from workers.fetch_lines import Done, Failed, Progress

DIGEST = "ab" * 32
SAID = (Progress(fetch_lines.MANIFEST), Progress(fetch_lines.PULLING, "config.json", "", 5, 5),
        Progress(fetch_lines.PULLING, "model.safetensors", DIGEST, 10, 0),
        Progress(fetch_lines.PULLING, "model.safetensors", DIGEST, 10, 10), Progress(fetch_lines.VERIFYING),
        Progress(fetch_lines.WRITING))
DONE = Done("/cache/tiny", "ab12", True, 10)


class PlayedWorld(LibraryWorld):
    """Whatever is started says `script`, and control agrees with everything."""

    script: tuple = (*SAID, DONE)

    def play(self) -> None:
        for number, fetch in enumerate(self.fetches):
            if not fetch.ended:
                self.says(*self.script, fetch=number)
        for ask in self.asks()[-1:]:
            if not self.d.library._settled or self.d.library.leaving:
                self.tells(about=ask)


@pytest.fixture
def world() -> PlayedWorld:
    world = PlayedWorld("a")
    world.http()
    return world


def ask(world: PlayedWorld, path: str, body: dict, method: str = "POST", address: str = "127.0.0.1",
        **headers: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(make_world_app(world), client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11435") as client:
            return await client.request(method, path, json=body, headers=headers)

    return asyncio.run(asked())


def lines_of(response: httpx.Response) -> list[dict]:
    assert response.headers["content-type"] == "application/x-ndjson" and b"\n\n" not in response.content
    return [json.loads(each) for each in response.text.splitlines()]


def test_a_pull_is_told_as_ollama_tells_it(world):
    told = lines_of(ask(world, "/api/pull", {"model": "org/tiny"}))
    assert [each["status"] for each in told] == [
        "pulling manifest", "pulling manifest", "pulling config.json", "pulling abababababab", "pulling abababababab",
        "verifying sha256 digest", "writing manifest", "success"]
    assert told[3:5] == [{"status": "pulling abababababab", "digest": f"sha256:{DIGEST}", "total": 10},
                         {"status": "pulling abababababab", "digest": f"sha256:{DIGEST}", "total": 10, "completed": 10}]


def test_without_a_stream_the_last_line_is_the_answer(world):
    response = ask(world, "/api/pull", {"name": "org/tiny", "stream": False, "insecure": True})
    assert (response.status_code, response.json()) == (200, {"status": "success"})
    assert response.headers["x-warden-model"] == "org/tiny"


def test_what_fails_at_once_has_its_status_and_later_it_is_a_line(world):
    response = ask(world, "/api/pull", {"model": "llama3.2"})
    assert response.status_code == 404 and "mlx-community/" in response.json()["error"]
    world.script = (*SAID[:3], Failed("upstream_failed", "it broke off"))
    told = lines_of(ask(world, "/api/pull", {"model": "org/tiny"}))
    assert told[-1] == {"error": "it broke off"}
    assert ask(world, "/api/pull", {"model": "org/tiny", "stream": False}).status_code == 502


def test_a_directory_is_for_who_is_on_this_machine(world):
    world.script = (Done("/models/mine", bytes=3),)
    assert lines_of(ask(world, "/api/pull", {"model": "/models/mine"}))[-1] == {"status": "success"}
    for directory in ("/models/mine", "~/mine", "../mine"):
        response = ask(world, "/api/pull", {"model": directory}, address="192.168.1.5")
        assert response.status_code == 400 and "on the machine itself" in response.json()["error"]


@pytest.mark.parametrize("header", BY_A_PROXY)
def test_who_comes_by_a_proxy_is_not_on_this_machine(world, header):
    response = ask(world, "/api/pull", {"model": "/models/mine"}, **{header: "192.168.1.5"})
    assert response.status_code == 400 and "on the machine itself" in response.json()["error"] and not world.fetches


def test_a_copy_and_a_deletion_are_empty_answers(world):
    response = ask(world, "/api/copy", {"source": "a", "destination": "mine:7b"})
    assert (response.status_code, response.content) == (200, b"")
    assert world.library.aliases == {"mine:7b": "a"}
    response = ask(world, "/api/delete", {"model": "mine:7b"}, "DELETE")
    assert (response.status_code, response.content, world.library) == (200, b"", Library())


@pytest.mark.parametrize("path, body, method, status, hint", [
    ("/api/pull", {}, "POST", 400, "model: is required"), ("/api/pull", {"model": 5}, "POST", 400, "model"),
    ("/api/pull", {"model": "x", "stream": "yes"}, "POST", 400, "stream"),
    ("/api/copy", {"source": "a"}, "POST", 400, "destination: is required"),
    ("/api/copy", {"source": "no", "destination": "b"}, "POST", 404, 'model "no" not found'),
    ("/api/copy", {"source": "a", "destination": "b c"}, "POST", 400, "destination"),
    ("/api/delete", {"model": ""}, "DELETE", 400, "model: is required"),
    ("/api/delete", {"model": "no"}, "DELETE", 404, 'model "no" not found'),
    ("/api/delete", {"name": "a"}, "DELETE", 400, "is not deleted"),
    ("/api/delete", {"model": "a"}, "POST", 405, "use")])
def test_what_is_wrong_is_named(world, path, body, method, status, hint):
    response = ask(world, path, body, method)
    assert response.status_code == status and hint in response.json()["error"]


def test_a_line_has_no_empty_fields():
    assert line(Fetching("p", "success")) == {"status": "success"}
    assert line(Fetching("p", "pulling", "a.json", "", 5, 3)) == {"status": "pulling a.json"}
