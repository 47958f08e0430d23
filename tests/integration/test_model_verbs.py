"""The model verbs in the real supervisorctl program, which reads them from the file that `warden up` writes."""

from pathlib import Path

import pytest

from control.home import prepare_home
from control.messages import Ask, Told
from tests.support.fake_control import FakeControl, told
from tests.support.supervisor_home import Playground

pytestmark = pytest.mark.integration


def answer(ask: Ask) -> list[Told]:
    return [told(ask, "model_busy", "b answers 1 request")] if ask.model == "b" else [told(ask, text="a is evicted")]


def test_supervisorctl_has_the_model_verbs_beside_its_own(tmp_path: Path) -> None:
    playground = Playground(tmp_path, models=("a", "b"))
    try:
        playground.run_supervisord()
        status = playground.ctl("status")
        assert "worker-a" in status.stdout and "worker-b" in status.stdout
        with FakeControl(playground.home) as control:
            done = playground.ctl("pin", "worker-a")
        assert (done.returncode, done.stdout) == (0, "worker-a: pin done\n"), done.stderr
        assert control.asked == [("pin", "worker-a")]
        with FakeControl(playground.home, answer):
            refused = playground.ctl("evict", "a", "b")
        assert (refused.returncode, refused.stdout) == (1, "a is evicted\nb: ERROR (b answers 1 request)\n")
        assert "evict all" in playground.ctl("help", "evict").stdout
    finally:
        playground.end()


def test_a_home_without_a_table_has_no_models_to_show(tmp_path: Path) -> None:
    playground = Playground(tmp_path)
    prepare_home(playground.home)
    playground.home.supervisor_conf.write_text(
        "[supervisorctl]\nserverurl=unix:///nowhere/x.sock\n"
        f"[ctlplugin:warden]\nsupervisor.ctl_factory=control.ctl_plugin:make_plugin\nhome={playground.home.root}\n")
    shown = playground.ctl("models")
    assert shown.returncode == 7 and "there is no table" in shown.stdout
