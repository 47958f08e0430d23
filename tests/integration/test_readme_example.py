"""The README's example for any MessagePack library, run as it stands against a real stack."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from control.home import Home
from tests.support import readme

ANSWER_MAX_S = 90


@pytest.mark.integration
def test_the_example_streams_an_answer(stack, tmp_path: Path) -> None:
    home = Home(Path(stack.home))
    if home.socket_dir != home.run:
        pytest.skip("the path of this home is so long that its sockets lie elsewhere, as the README says")
    script = tmp_path / "ask.py"
    script.write_text(readme.plain_example(), encoding="utf-8")
    ran = subprocess.run([sys.executable, str(script)], env=os.environ | {"WARDEN_HOME": str(stack.home)},
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=ANSWER_MAX_S)
    assert ran.returncode == 0, ran.stdout
    answer, _, end = ran.stdout.rstrip().rpartition("\n")
    assert answer.strip(), "no text was streamed"
    assert "'type': 'done'" in end
