"""Who asks: a person or an agent, with which limits, and whose share of the queue it counts for.

1. Who gives a key is whoever the key says, with what the key allows.
2. Without a key: a person of this machine, with no limits but the common ones. Through http that is refused where a
   key is needed (`require_key`, or an address that other machines can reach).
3. A key that nobody knows is refused where one is needed, and everywhere if it looks like one of ours. Any other text
   is no key: client libraries make people write something, such as "ollama".
4. Only our own http, which knows the secret of this start, speaks for others: what it says in `caller` (an address, or
   the user that a front end names) is whose share it is. Of anybody else the connection itself is the caller. Who says
   a wrong secret, and anybody while none is known, may be http all the same, and needs a key where http does.
5. Where a key is needed, somebody who has not said hello is told to: it may be http, whose hello is still on its way
   to a gateway that has just begun, and what http asks must never pass for a question of this machine's own user.
6. A key's class is a ceiling: whoever asks for a higher one gets that.
7. Who has said hello, gives no key and is surely not http is the user whose stack this is (`is_operator`): the command
   line. No model answers them that is not for them, but they load, unload and pin all.
8. What models there are is changed (pull, copy, delete) by callers without a key, where none is needed, and by keys
   without a limit of models or rate that are not an agent's.

Keys are handed in (`set_keys`) and looked for by hash; `gateway.key_file` reads them. Pure.
"""

import hmac
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from control.config import Config, ModelConfig, canonical
from control.states import Priority
from gateway import keys, protocol
from gateway.refusal import PRIORITY_BY_NAME, Refusal

PERSON, AGENT = "person", "agent"
LINKS_MAX = 4096
FACES_MAX = 256  # processes of http, kept apart: no crowd of others makes us forget one
HOW_TO_MAKE = "`warden key create --name NAME` makes one; send it as `Authorization: Bearer KEY`"


class Caller(NamedTuple):
    """`id`: whose share of the queue. `name`: of the key, "" without one. `models`: slugs, None: all. `rate` 0: any.

    `elsewhere`: what else the key is for by name: models that only another server has, or an agent there.
    """

    id: str
    name: str
    audience: str
    max_priority: Priority
    models: frozenset[str] | None
    rate: int
    elsewhere: frozenset[str] = frozenset()
    is_operator: bool = False
    is_limited: bool = False  # a key for certain models, with a rate of its own, or of an agent

    @property
    def rate_id(self) -> str:
        """Users of one key share its rate."""
        return f"key {self.name}" if self.name else self.id

    def may_use(self, model: ModelConfig) -> bool:
        """Whether the model is for this caller at all: its audience, and the models of the key."""
        return self.why_not(model) is None

    def why_not(self, model: ModelConfig) -> Refusal | None:
        """Of a model that is configured here."""
        if model.audience == "agents" and self.audience != AGENT:
            return Refusal("model_reserved", f"{model.name} is reserved for agents; ask another model, or use a key "
                           "that was made with --audience agent")
        if self.models is not None and model.slug not in self.models:
            return Refusal("model_not_allowed", f"the key {self.name} is not for {model.name}; `warden key list` shows "
                           "what it is for")
        return None

    def why_not_elsewhere(self, name: str) -> Refusal | None:
        """Of what only another server has, by its name there."""
        if self.models is None or canonical(name) in self.elsewhere:
            return None
        return Refusal("model_not_allowed", f"the key {self.name} is not for {name}; `warden key list` shows what it "
                       "is for")

    def why_no_change(self) -> Refusal | None:
        """Why this caller may not pull, copy or delete (8)."""
        if not self.is_limited:
            return None
        return Refusal("model_not_allowed", f"the key {self.name} may not pull, copy or delete models: it is for "
                       "certain models, has a rate of its own, or is an agent's; use a key without limits")

    def clamp(self, priority: Priority) -> Priority:
        return max(priority, self.max_priority)


class _Link(NamedTuple):
    key: str
    is_http: bool
    may_be: bool  # http, with another secret than ours


class Callers:
    def __init__(self, config: Config, secret: str) -> None:
        self.config = config
        self._secret = secret
        self._keys: Sequence[keys.Key] = ()
        self._links: OrderedDict[bytes, _Link] = OrderedDict()  # the longest unused first
        self._faces: OrderedDict[bytes, _Link] = OrderedDict()  # those of http

    def set_keys(self, found: Sequence[keys.Key]) -> None:
        self._keys = found

    def on_hello(self, client: bytes, hello: protocol.Hello) -> None:
        is_http = bool(self._secret) and hmac.compare_digest(hello.secret.encode(), self._secret.encode())
        self._links.pop(client, None)
        self._faces.pop(client, None)
        links, most = (self._faces, FACES_MAX) if is_http else (self._links, LINKS_MAX)
        links[client] = _Link(hello.key, is_http, bool(hello.secret))
        while len(links) > most:
            links.popitem(last=False)

    def _link_of(self, client: bytes) -> _Link | None:
        for links in (self._faces, self._links):
            if (link := links.get(client)) is not None:
                links.move_to_end(client)
                return link
        return None

    def is_http(self, client: bytes) -> bool:
        """Is it our own http? It decides itself who may see what is no model's answer."""
        return client in self._faces

    def identify(self, client: bytes, key: str = "", caller: str = "") -> Caller:
        """Raises: Refusal `unauthorized`, or `gateway_unavailable` (5)."""
        link = self._link_of(client)
        known = link if link is not None else _Link("", False, False)
        given, spoken_for = key or known.key, caller if known.is_http else ""
        if given and (found := keys.find(given, self._keys)) is not None:
            return self._caller_of(found, spoken_for)  # 1
        must = self.config.needs_key and (known.is_http or known.may_be or not self._secret)
        if given and (must or given.startswith(keys.PREFIX)):
            raise Refusal("unauthorized", f"this API key is not known here; {HOW_TO_MAKE}")  # 3
        if must:
            raise Refusal("unauthorized", f"an API key is needed here; {HOW_TO_MAKE}")  # 2
        if link is None and self.config.needs_key:
            raise Refusal("gateway_unavailable", "who asks is not known yet; say `hello` first, then ask again", 1.0)
        return Caller(spoken_for or client.hex(), "", PERSON, Priority.HIGH, None, self.config.rate_limit_max,  # 4
                      is_operator=bool(self._secret and link) and not (link.is_http or link.may_be))  # 7

    def _caller_of(self, key: keys.Key, spoken_for: str) -> Caller:
        """Users of a front end share its key and its rate, but wait in the queue as themselves."""
        models = {name: self.config.find(name) for name in key.models if name}
        return Caller(
            id=f"key {key.name}" + (f" for {spoken_for}" if spoken_for.startswith(protocol.USER) else ""),
            name=key.name,
            audience=key.audience,
            max_priority=PRIORITY_BY_NAME[key.max_priority],
            models=frozenset(model.slug for model in models.values() if model is not None) if key.models else None,
            rate=self.config.rate_limit_max if key.rate is None else key.rate,
            elsewhere=frozenset(canonical(name) for name, model in models.items() if model is None),
            is_limited=bool(key.models or key.rate) or key.audience == AGENT,
        )

