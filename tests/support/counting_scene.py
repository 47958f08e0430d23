"""Models a and b of echo in a dispatcher without sockets, and workers that are asked to count."""

from control import messages
from control.states import Phase
from gateway import protocol
from tests.support.gateway_world import World, make_model
from workers import protocol as jobs

CONTEXT = 600  # of model a
LONG = "word " * CONTEXT
A_MOMENT_S = 0.1


class Scene(World):
    """`counts`: what workers were asked to count."""

    def __init__(self, **settings):
        super().__init__(make_model("a", context_length=CONTEXT), "b", **settings)

    def empty(self, slug, identity):
        self.set_row(slug, Phase.ALIVE)
        self.hello(slug, identity, phase=Phase.EMPTY)
        self.turn()

    def tokenize(self, request_id="q", *, client=b"c1", **fields):
        self.client_says(client, {"type": "tokenize", "id": request_id, "model": "a", "prompt": "some words", **fields})

    def counts(self, identity=None):
        return [(who, m) for who, m in self.worker_frames if isinstance(m, jobs.Count) and identity in (None, who)]

    def counted(self, tokens=7, context=CONTEXT, code="", message="", **more):
        """The worker that was asked last answers."""
        identity, count = self.counts()[-1]
        self.worker_says(identity, jobs.Counted, count.number, tokens, context, code, message, more.get("ids"))

    def wants(self):
        return [m.slug for m in self.control_frames if isinstance(m, messages.Want)]

    def info(self, request_id="q"):
        return protocol.decode_count(self.end_of(request_id).value)
