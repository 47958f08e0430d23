"""Models that are reserved for agents are named to nobody else, in whatever way they are written."""

import json

import pytest

from gateway.http.reserved import RESERVED, hiding
from gateway.protocol import Progress, Submit
from tests.support.fake_gateway import accepted, done, tokens
from tests.support.http_stack import HttpStack, make_config
from tests.support.toml_files import make_weights

TOML = """
[models.tiny]
engine = "echo"
aliases = ["hers"]
[models.spy]
engine = "echo"
audience = "agents"
"""


@pytest.mark.parametrize(("said", "shown"), [
    ("no config.json in {path}/x", f"no config.json in {RESERVED}/x"),
    ("see logs/worker-mole.log", f"see logs/{RESERVED}.log"),
    ("Ollama has no mole:7b", f"Ollama has no {RESERVED}"),
    ("\u017fpy is stuck", f"{RESERVED} is stuck"),
    ("her\u017f is stuck", f"{RESERVED} is stuck"),
    ("moleskin, hers and worker-hers", "moleskin, hers and worker-hers"),
])
def test_no_other_writing_names_a_reserved_model(tmp_path, said, shown):
    path = tmp_path / "hush-7b"
    make_weights(path)
    config = make_config(tmp_path, TOML + f"""[models.mole]
path = "{path}"
audience = "agents"
ollama_model = "mole:7b"
""")
    assert hiding(config)(said.format(path=path)) == shown


@pytest.mark.parametrize(("model", "told"), [("tiny", f"waits for room: {RESERVED} answers"),
                                             ("spy", "waits for room: spy answers")])
def test_only_who_asks_a_reserved_model_hears_of_one(tmp_path, model, told):
    with HttpStack(tmp_path, TOML) as stack:
        stack.gateway.on[Submit] = lambda s: [
            accepted(s.id, 1, model=model), Progress(s.id, 0, "memory", 1.0, detail="waits for room: spy answers"),
            tokens(s.id, 0, "x"), done(s.id, 1)]
        said = stack.client.post("/api/generate", json={"model": model, "prompt": "hi"},
                                 headers={"x-warden-progress": "1"}).text
        assert json.loads(said.splitlines()[0])["detail"] == told
