"""What only several settings together get wrong is refused with file, line, key and the way out.

Names that meet, slots and levels of memory: tests/control/test_config.py.
"""

import pytest

from control.config import load_config
from tests.support.toml_files import ECHO, Place

TWO = '[models.a]\nengine = "echo"\naliases = ["first"]\n[models.b]\nengine = "echo"\naudience = "agents"\n'
OLLAMA, VICTORIA = '[relays]\nollama_url = "http://h:11434"\n', '[relays]\nvictoria_url = "http://h:8010"\n'


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def routing(*lines: str) -> str:
    return "\n".join(["[routing]", *lines, ECHO])


# -- names

@pytest.mark.parametrize("name", ["relay-ollama", "Relay:x", "relay-"])
def test_no_model_is_called_like_a_relay(place, name):
    assert place.error(f'\n[models."{name}"]\nengine = "echo"') .endswith(
        "begins with relay-, as the names of relays do; rename it; the old name can stay as an alias")
    assert place.load(f'[models.a]\nengine = "echo"\naliases = ["{name}"]').find(name).slug == "a"


# -- categories

def test_categories_are_models_by_name_or_alias_in_any_case(place):
    config = place.load('[categories]\nCoding = "first"\nvision = "B:latest"\n' + TWO)
    assert {name: config.find(model).name for name, model in config.categories.items()} == {
        "coding": "a", "vision": "b"}
    assert place.load(TWO).categories == {} and place.load("[categories]\n" + TWO).categories == {}


@pytest.mark.parametrize(("lines", "error"), [
    ('coding = "zz"', 'warden.toml:2: categories.coding: "zz" is no configured model; configured: a, b'),
    ('x = "a"\nCoding = "firs"',
     'warden.toml:3: categories.Coding: "firs" is no configured model; did you mean first?'),
    ('coding = ""', 'warden.toml:2: categories.coding: "" is no configured model; configured: a, b'),
    ("coding = 3", 'warden.toml:2: categories.coding: must be the name of a model, not 3; write coding = "NAME"'),
    ('coding = ["a"]', 'warden.toml:2: categories.coding: must be the name of a model, not a list; '
                       'write coding = "NAME"'),
    ('coding = "a"\nCODING = "b"', 'warden.toml:2: categories.coding: is the same category as "CODING"; '
                                   "case does not count: keep one of them"),
    (f'{"c" * 65} = "a"', f"warden.toml:2: categories.{'c' * 65}: is 65 characters long; use 1 to 64"),
    ('"" = "a"', 'warden.toml:2: categories."": is 0 characters long; use 1 to 64'),
    ('"my cat" = "a"', 'warden.toml:2: categories."my cat": holds a blank, so no request can name it; '
                       'write my_cat = "a"'),
    ('"coding " = "a"', 'warden.toml:2: categories."coding ": holds a blank, so no request can name it; '
                        'write coding = "a"'),
    ('default = "b"', "warden.toml:2: categories.default: b is reserved for agents, so people who name no model would "
                      'be refused; choose another, or set its audience to "all"'),
])
def test_a_wrong_category_is_refused(place, lines, error):
    assert place.error(f"[categories]\n{lines}\n{TWO}") == error


def test_categories_are_a_table(place):
    assert place.error(f"categories = 3\n{TWO}") == (
        "warden.toml:1: categories: must be a table, not 3; write [categories] on a line of its own and lines such as "
        'coding = "NAME" below it')


# -- the default model

def test_the_default_is_the_named_one_or_the_categorys_or_the_first_that_people_may_ask(place):
    agents_first = '[models.z]\nengine = "echo"\naudience = "agents"\n' + TWO
    assert place.load(agents_first).find("").name == "a"
    more = agents_first + '[models.c]\nengine = "echo"\n'
    assert place.load('[categories]\ndefault = "c"\n' + more).find("").name == "c"
    assert place.load('[categories]\nDefault = "c"\n[control]\ndefault_model = "a"\n' + more).find("").name == "a"
    assert place.load(agents_first).agents_model.name == "z"
    assert place.load(ECHO).agents_model is None


def test_a_default_that_is_reserved_for_agents_is_refused_while_there_is_another(place):
    line = 'b is reserved for agents, so people who name no model would be refused; choose another, or set its ' \
           'audience to "all"'
    assert place.error('[control]\ndefault_model = "b"\n' + TWO) == \
        f"warden.toml:2: control.default_model: {line}"
    assert place.error(TWO, WARDEN_DEFAULT_MODEL="b") == f"WARDEN_DEFAULT_MODEL: {line}"
    only = '[models.b]\nengine = "echo"\naudience = "agents"\n'
    for text in (only, '[control]\ndefault_model = "b"\n' + only, '[categories]\ndefault = "b"\n' + only):
        assert place.load(text).find("").name == "b", "a stack for agents alone"


# -- chains

@pytest.mark.parametrize("key", ["chain_chat", "chain_chat_victoria", "chain_task", "chain_batch", "chain_agent"])
def test_a_wrong_chain_is_refused(place, key):
    where = f"warden.toml:2: routing.{key}"
    assert place.error(routing(f'{key} = ["mlx", "openai"]')).startswith(
        f'{where}: "openai" is no backend; the backends are mlx, agents, ollama, victoria; write for example {key} = [')
    assert place.error(routing(f'{key} = "mlx"')) == (
        f'{where}: must be a list of texts, not "mlx"; write {key} = ["mlx"]')
    assert place.error(routing(f'{key} = ["mlx", "ollama", "mlx"]')) == (
        f"{where}: names mlx twice; what failed a request is not asked again: name it once")
    assert place.error(routing(f"{key} = []")) == (
        f"{where}: names no backend, so every such request would be refused; "
        "name some of mlx, agents, ollama, victoria")
    assert place.error(routing(f'{key} = ["ollama", "agents"]')) == (
        f"{where}: names only ollama and agents, and that is not configured here; add one of mlx")
    variable = f"WARDEN_{key.upper()}"
    assert place.error(ECHO, **{variable: "mlx,ollama,ollama"}).startswith(f"{variable}: names ollama twice")
    assert place.error(ECHO, **{variable: ","}).startswith(f"{variable}: names no backend")
    assert getattr(place.load(ECHO, **{variable: "ollama, mlx"}), key) == ("ollama", "mlx")


def test_a_chain_may_do_without_mlx_where_another_is_configured(place):
    chains = routing('chain_chat = ["ollama"]', 'chain_task = ["victoria", "ollama"]')
    assert place.load(OLLAMA + chains).chain_chat == ("ollama",)
    assert place.error(VICTORIA + chains) == (
        "warden.toml:4: routing.chain_chat: names only ollama, and that is not configured here; "
        "add one of mlx, victoria")
    assert place.load('[routing]\nchain_agent = ["agents"]\n' + TWO).chain_agent == ("agents",)


# -- relays

def test_the_address_of_an_api_is_refused_with_the_place(place):
    assert place.error(f'[relays]\nollama_url = "http://127.0.0.1:11434/v1"\n{ECHO}') == (
        'warden.toml:2: relays.ollama_url: "http://127.0.0.1:11434/v1" ends with the path of an API; write the address '
        "without /v1; correct it or leave ollama_url out")
    assert place.load(VICTORIA.replace("8010", "8010/api") + ECHO).relays, "only Ollama's paths are known"


@pytest.mark.parametrize("key", ["ollama_vision_model", "ollama_document_model"])
def test_a_model_of_another_server_is_one_word(place, key):
    blank = "cannot be the name of a model, for it holds a blank"
    assert place.error(f'[relays]\n{key} = "llava 7b"\n{ECHO}').startswith(
        f'warden.toml:2: relays.{key}: "llava 7b" {blank}')
    assert place.error(ECHO + 'ollama_model = "phi 3"').startswith(
        f'warden.toml:3: models.echo.ollama_model: "phi 3" {blank}')


def test_relays_are_those_with_a_url(place):
    assert place.load(ECHO).relays == {}
    assert place.load(OLLAMA + ECHO).relays == {"ollama": "relay-ollama"}
    both = place.load(VICTORIA + 'ollama_url = "https://gpu.local/ollama/"\n' + ECHO)
    assert both.relays == {"ollama": "relay-ollama", "victoria": "relay-victoria"}
    assert place.load(ECHO, WARDEN_OLLAMA_URL="http://10.0.0.2:11435").relays == {"ollama": "relay-ollama"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_a_relay_to_this_very_stack_is_refused(place, host):
    url = f"http://{host}:11435"
    assert place.error(f'[relays]\nollama_url = "{url}"\n{ECHO}') == (
        "warden.toml:2: relays.ollama_url: is the address of this stack itself (port 11435); "
        "name the server that work is to be handed to")
    assert place.load(f'[relays]\nollama_url = "{url}"\n{ECHO}', WARDEN_PORT="12000").relays
    assert place.error(f'[relays]\nvictoria_url = "http://{host}"\n{ECHO}', WARDEN_PORT="80").startswith(
        "warden.toml:2: relays.victoria_url: is the address of this stack itself (port 80)")


def test_the_same_port_of_another_machine_is_another_stack(place):
    assert place.load(f'[relays]\nollama_url = "http://10.0.0.7:11435"\n{ECHO}').relays
    assert "this stack itself" in place.error(
        f'[server]\nhost = "10.0.0.7"\n[relays]\nollama_url = "http://10.0.0.7:11435"\n{ECHO}')


def test_the_file_of_a_key_is_there_when_the_stack_is_brought_up(place):
    key = place.cwd / "ollama.key"
    text = OLLAMA + 'ollama_key_file = "ollama.key"\n' + ECHO
    assert place.error(text) == ("warden.toml:3: relays.ollama_key_file: ollama.key is not a file; "
                                 "write the key into it (chmod 600), or leave it out")
    key.write_text("secret")
    key.chmod(0o640)
    assert place.error(text).replace(f"{place.cwd}/", "") == (
        "warden.toml:3: relays.ollama_key_file: others may read ollama.key (mode 0640); run `chmod 600 ollama.key`")
    assert load_config(place.env, place.cwd, models_must_be_whole=False).ollama_key_file, "a running stack goes on"
    key.chmod(0o600)
    assert place.load(text).ollama_key_file == str(key.resolve())
    assert place.load(OLLAMA + ECHO, WARDEN_OLLAMA_KEY_FILE="ollama.key").ollama_key_file == str(key.resolve())


def test_a_key_file_that_vanished_keeps_no_process_of_a_running_stack_down(place):
    text = ECHO + '[relays]\nollama_url = "http://h"\nollama_key_file = "gone"\n'
    assert place.error(text).startswith("warden.toml:5: relays.ollama_key_file: gone is not a file")
    config = load_config(place.env, place.cwd, models_must_be_whole=False)
    assert config.ollama_key_file == str(place.cwd / "gone")
