"""The chains of BEHAVIOUR 2: who answers, by the state of every backend, and how that shows over HTTP.

TABLE has a row for every combination. `-` is a backend that is not asked, whatever its state: that is shown by one that
is up and would answer. What the caller gets is the route, the reason if that is not the first of the chain, and `waits`
if it has to wait for a place on MLX; or a status, for an error before the first word; or `cut` and the route, for an
error after it, in the shape of the dialect. What dies on MLX before the first word is asked for as a whole, so there an
error after the first word is a status too.
"""

from collections.abc import Iterator
from itertools import product

import pytest

from tests.support.chain_scene import MLX_STATES, RELAY_STATES, Row, Stage, staged

TABLE = """
chain               work     mlx     ollama  victoria     ->  what the caller gets
chat with Victoria  -        -       -       up           ->  victoria
chat with Victoria  -        -       -       after        ->  cut victoria
chat with Victoria  -        up      -       down         ->  victoria>mlx down
chat with Victoria  -        up      -       before       ->  victoria>mlx failed
chat with Victoria  -        busy    -       down         ->  victoria>mlx down waits
chat with Victoria  -        busy    -       before       ->  victoria>mlx failed waits
chat with Victoria  -        down    -       down         ->  502
chat with Victoria  -        down    -       before       ->  502
chat with Victoria  -        before  -       down         ->  500
chat with Victoria  -        before  -       before       ->  500
chat with Victoria  -        after   -       down         ->  cut victoria>mlx
chat with Victoria  -        after   -       before       ->  cut victoria>mlx

chat                -        up      -       -            ->  mlx
chat                -        busy    -       -            ->  mlx waits
chat                -        down    -       -            ->  503
chat                -        before  -       -            ->  500
chat                -        after   -       -            ->  cut mlx

task                simple   up      -       -            ->  mlx
task                complex  up      -       -            ->  mlx
task                simple   busy    up      -            ->  mlx>ollama overloaded
task                simple   busy    down    -            ->  mlx waits
task                simple   busy    before  -            ->  mlx>ollama>mlx failed waits
task                simple   busy    after   -            ->  cut mlx>ollama
task                complex  busy    -       -            ->  mlx waits
task                simple   down    up      -            ->  mlx>ollama down
task                complex  down    up      -            ->  mlx>ollama down
task                complex  down    after   -            ->  cut mlx>ollama
task                complex  down    down    up           ->  mlx>ollama>victoria down
task                complex  down    down    after        ->  cut mlx>ollama>victoria
task                complex  down    down    before       ->  502
task                complex  down    down    down         ->  503
task                complex  down    before  up           ->  mlx>ollama>victoria down
task                complex  down    before  after        ->  cut mlx>ollama>victoria
task                complex  down    before  before       ->  502
task                complex  down    before  down         ->  502
task                complex  before  up      -            ->  mlx>ollama failed
task                complex  before  after   -            ->  502
task                complex  before  down    up           ->  mlx>ollama>victoria failed
task                complex  before  down    after        ->  502
task                complex  before  down    before       ->  502
task                complex  before  down    down         ->  500
task                complex  before  before  up           ->  mlx>ollama>victoria failed
task                complex  before  before  after        ->  502
task                complex  before  before  before       ->  502
task                complex  before  before  down         ->  502
task                complex  after   -       -            ->  cut mlx

batch               simple   up      -       -            ->  mlx
batch               complex  up      -       -            ->  mlx
batch               simple   busy    up      -            ->  mlx>ollama overloaded
batch               simple   busy    down    -            ->  mlx waits
batch               simple   busy    before  -            ->  mlx>ollama>mlx failed waits
batch               simple   busy    after   -            ->  cut mlx>ollama
batch               complex  busy    -       -            ->  mlx waits
batch               complex  down    up      -            ->  mlx>ollama down
batch               complex  down    after   -            ->  cut mlx>ollama
batch               complex  down    before  -            ->  502
batch               complex  down    down    -            ->  503
batch               complex  before  up      -            ->  mlx>ollama failed
batch               complex  before  after   -            ->  502
batch               complex  before  before  -            ->  502
batch               complex  before  down    -            ->  500
batch               complex  after   -       -            ->  cut mlx
"""
HEAD, *LINES = filter(None, TABLE.splitlines())
COLUMNS = [HEAD.index(name) for name in ("chain", "work", "mlx", "ollama", "victoria", "->")]
MODELS = {"ollama": "guide", "victoria": "victoria"}  # as each backend calls it


def read(line: str) -> tuple[Row, list[str]]:
    cells = [line[start:end].strip() for start, end in zip(COLUMNS, COLUMNS[1:], strict=False)]
    return Row(*cells), line[COLUMNS[-1] + 2 :].split()


ROWS = dict(map(read, LINES))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("chains"), list(ROWS)) as stage:
        yield stage


def parts_of(row: Row) -> list[str]:
    """The states of the backends of its chain."""
    relays = [row.victoria] if row.chain == "chat with Victoria" else [row.ollama, row.victoria]
    return [row.mlx, *relays]


@pytest.mark.parametrize("chain, backends", [
    ("chat", 1), ("chat with Victoria", 2), ("batch", 2), ("task", 3)])
def test_the_table_has_each_combination_of_the_states_of_a_chain(chain, backends):
    rows = [row for row in ROWS if row.chain == chain]
    states = (MLX_STATES, RELAY_STATES, RELAY_STATES)[:backends]
    for combination in product(*states):
        found = {row.work for row in rows if all(
            part in ("-", state) for part, state in zip(parts_of(row), combination, strict=False))}
        assert found, combination
        assert combination[0] != "busy" or not {"simple", "complex"} & found or len(found) == 2, combination


@pytest.mark.integration
@pytest.mark.parametrize("row", ROWS, ids=lambda row: (
    f"{row.chain}, {row.work}: mlx {row.mlx}, ollama {row.ollama}, victoria {row.victoria}"))
def test_who_answers(stage, row):
    gets, (answer, waited, asked) = ROWS[row], stage.outcome(row)
    told = (answer.status, answer.route, answer.reason, answer.error, answer.text, asked)
    assert waited is ("waits" in gets), told
    for name in ("ollama", "victoria"):
        assert name not in asked or getattr(row, name) != "-", told
    if gets[0].isdigit():
        assert answer.status == int(gets[0]) and answer.error and not answer.text, told
    elif gets[0] == "cut":
        assert (answer.status, answer.route) == (200, gets[1]), told
        assert answer.text and answer.error and not answer.ended_well, told
    else:
        reason = " ".join(word for word in gets[1:] if word != "waits")
        assert (answer.status, answer.route, answer.reason) == (200, gets[0], reason), told
        assert answer.text and answer.ended_well and not answer.error, told
        assert answer.headers["x-warden-model"] == MODELS.get(answer.backend, row.model), told
        assert answer.text.startswith("t0 ") is (answer.backend == "mlx"), told
    assert answer.headers["x-request-id"]
