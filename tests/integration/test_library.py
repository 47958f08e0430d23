"""Pull, copy and delete with real processes, and somebody killed in between: afterwards all have the same models."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control.states import Phase
from gateway.client import GatewayError
from tests.support.live_stack import LiveStack
from tests.support.models import model_path
from tests.support.scripted_hub import Hub
from tests.support.supervisor_home import wait_until

TINY, SLUG = "org/tiny", "org-tiny"
SETTINGS = '[server]\npull_from = ["*"]\n[control]\nprewarm = 0\n[models.echo]\nengine = "echo"\n'


@pytest.fixture
def hub(tmp_path) -> Iterator[Hub]:
    hub = Hub(tmp_path / "hub")
    shutil.copytree(model_path("1m"), hub.folder / TINY)
    yield hub
    hub.close()


@pytest.fixture
def stack(hub, tmp_path, make_stack) -> LiveStack:
    made = make_stack(SETTINGS)
    made.env |= hub.env(tmp_path / "hf")
    return made.up()


def pull(stack: LiveStack, name: str = TINY) -> tuple[int, dict]:
    return stack.post("/api/pull", {"model": name, "stream": False})


def delete(stack: LiveStack, name: str) -> str:
    """What is said of it; the error's code if it is refused."""
    with stack.client() as client:
        try:
            return client.delete(name).text
        except GatewayError as error:
            return error.code


def answers(stack: LiveStack, name: str) -> bool:
    return stack.post("/api/generate", {"model": name, "prompt": "hi", "stream": False, "options": {"num_predict": 2}}
                      )[0] == 200


def programs(stack: LiveStack) -> set[str]:
    return {name for name in stack.supervisord.processes() if name.startswith("worker-")}


def everybody_has(stack: LiveStack, *names: str) -> Callable[[], bool]:
    """The gateway lists these, the table has their rows, supervisord their programs."""
    def look() -> bool:
        status, tags = stack.get("/api/tags")
        slugs = {name.replace("/", "-") for name in names}
        return (status == 200 and {each["name"].removesuffix(":latest") for each in tags["models"]} == set(names)
                and all((stack.row(slug) is not None) == (slug in slugs) for slug in ("echo", SLUG))
                and programs(stack) == {f"worker-{slug}" for slug in slugs})

    return look


def downloaders(stack: LiveStack) -> list[int]:
    return [pid for pid, name in stack.processes().items() if name == "fetch"]


def test_a_pulled_model_and_a_copied_name_outlast_the_stack(stack):
    assert pull(stack) == (200, {"status": "success"})
    assert answers(stack, TINY)
    assert stack.post("/api/copy", {"source": TINY, "destination": "mine"})[0] == 200
    stack.down()
    stack.up()
    assert answers(stack, "mine") and answers(stack, TINY) and answers(stack, "echo")
    assert "already running" in stack.warden("up").stdout + stack.warden("up").stderr


def test_who_leaves_stops_the_download_and_the_next_pull_goes_on(stack, hub):
    size = (model_path("1m") / "model.safetensors").stat().st_size
    hub.behave(hold_after=size // 2, pause_s=0.005)
    with stack.client() as client:
        asked = client.ask_pull(TINY)
        for event in asked:
            if getattr(event, "completed_bytes", 0) > size // 5 and event.digest:
                break
        asked.close()
    wait_until("the downloader to be gone", lambda: not downloaders(stack))
    hub.behave()
    wait_until("the first answer to be over", lambda: hub.asked("/cdn/"))
    sent = hub.sent("/cdn/")
    assert pull(stack)[0] == 200 and 0 < hub.sent("/cdn/") - sent < size
    assert answers(stack, TINY)


def test_a_gateway_killed_in_mid_download_takes_the_downloader_with_it(stack, hub):
    hub.behave(hold_after=0)
    with stack.client() as client:
        asked = client.ask_pull(TINY)
        next(asked)
        (pid,) = wait_until("the downloader", lambda: downloaders(stack))
        stack.kill("gateway")
        wait_until("the first downloader to be gone", lambda: pid not in downloaders(stack))
        hub.behave()
        events = list(asked)  # asked again of the next gateway, by the client itself
    assert type(events[-1]).__name__ == "Result" and answers(stack, TINY)


@pytest.mark.parametrize("point", [pytest.param("gateway.send.ask.before", marks=pytest.mark.long),
                                   pytest.param("gateway.send.ask.after", marks=pytest.mark.long),
                                   "control.send.told.before"])
def test_whoever_is_killed_while_a_model_is_added_it_is_there_in_the_end(stack, point):
    stack.arm(point, "kill")
    pull(stack)
    stack.wait_acted(point)
    wait_until("all to have it", everybody_has(stack, "echo", TINY))
    stack.wait_ready()
    assert answers(stack, TINY)


@pytest.mark.parametrize("point", [pytest.param("gateway.send.ask.before", marks=pytest.mark.long),
                                   pytest.param("gateway.send.ask.after", marks=pytest.mark.long),
                                   "control.send.told.before"])
def test_whoever_is_killed_while_a_model_is_deleted_all_agree_in_the_end(stack, point):
    assert pull(stack)[0] == 200
    stack.arm(point, "kill")
    said = delete(stack, TINY)
    stack.wait_acted(point)
    stack.wait_ready()
    wait_until("all to agree", lambda: everybody_has(stack, "echo")() or everybody_has(stack, "echo", TINY)(), 30)
    if everybody_has(stack, "echo", TINY)():
        assert said == "gateway_unavailable"
        wait_until("its deletion", lambda: "deleted" in delete(stack, TINY))
    wait_until("all to have forgotten it", everybody_has(stack, "echo"))
    assert answers(stack, "echo")


@pytest.mark.long
def test_control_killed_while_models_change_comes_back_with_the_right_ones(stack):
    assert pull(stack)[0] == 200 and answers(stack, TINY)
    stack.kill("control")
    assert "deleted" in delete(stack, TINY) or stack.wait_ready() or "deleted" in delete(stack, TINY)
    wait_until("all to have forgotten it", everybody_has(stack, "echo"))
    assert pull(stack)[0] == 200 and answers(stack, TINY)


def test_a_model_that_answers_is_not_deleted(stack):
    assert pull(stack)[0] == 200
    with stack.client() as asking:
        answer = asking.generate(model=TINY, prompt="hi", options={"max_tokens": 2000})
        wait_until("its first token", lambda: type(next(answer)).__name__ == "Tokens")
        assert delete(stack, TINY) == "model_busy"
        answer.close()
    wait_until("its deletion", lambda: "deleted" in delete(stack, TINY))
    wait_until("all to have forgotten it", everybody_has(stack, "echo"))


def test_weights_that_the_configuration_names_too_stay(stack, tmp_path):
    assert pull(stack)[0] == 200
    stack.down()
    stack.config_file.write_text(f'{SETTINGS}[models.mine]\npath = "{TINY}"\n')
    stack.up()
    assert "deleted" in delete(stack, TINY)
    assert answers(stack, "mine") and list(Path(tmp_path, "hf").rglob("model.safetensors"))


def test_a_broken_library_keeps_the_stack_from_starting_and_says_so(stack):
    assert pull(stack)[0] == 200
    stack.down()
    library = stack.home_path / "library.json"
    good = library.read_text()
    library.write_text(good[:40])
    refused = stack.warden("up", check=False)
    assert refused.returncode != 0 and str(library) in refused.stderr and "move it away" in refused.stderr
    assert library.read_text() == good[:40]
    library.write_text(good)
    stack.up()
    assert answers(stack, TINY)
    stack.wait_phase(SLUG, Phase.READY)
