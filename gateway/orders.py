"""Orders of people: asked of control, and answered to the client with what control says.

These are unload, evict, pin and unpin, and the load of a quarantined model, because control alone ends a quarantine;
who asked for that goes on to wait at `gateway.desk` for the load itself.

Control alone carries them out, through the three keys like everybody's evictions; here is only the post office. A
client hears within ANSWER_WITHIN_S, whatever happens to control: an order that could not be given is refused at once,
one that is not answered ends in an error that says so, as soon as another control process speaks up. It is not asked
again: it may have been carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from control import messages
from gateway import protocol
from gateway.refusal import Refusal
from gateway.requests import find_model

if TYPE_CHECKING:
    from gateway.dispatcher import Dispatcher

ANSWER_WITHIN_S = 15.0  # an eviction is answered when the process is gone
ORDERS_MAX = 1000
REMEDY = "`warden ctl status` shows whether control runs"


class Asked(NamedTuple):
    """An order that control has not answered. `since` is monotonic seconds, `control_epoch` who was asked."""

    client: bytes
    order: protocol.Order | protocol.LoadModel
    model: str
    since: float
    control_epoch: int


class Orders:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self.d = dispatcher
        self._asked: dict[int, Asked] = {}  # by our own number of the question
        self._numbers = 0

    def on_order(self, client: bytes, order: protocol.Order | protocol.LoadModel, now: float) -> None:
        """Raises: Refusal `model_not_found`, `queue_full`, `gateway_unavailable`."""
        model = find_model(self.d.config, order.model)
        if len(self._asked) >= ORDERS_MAX:
            raise Refusal("queue_full", f"{ORDERS_MAX} orders wait for control already", 1.0)
        self._numbers += 1
        verb = type(order).__struct_config__.tag
        if not self.d.effects.to_control(messages.Ask(messages.VERSION, self._numbers, verb, model.name)):
            raise Refusal("gateway_unavailable", f"control cannot be reached, so nothing was done; {REMEDY}", 1.0)
        words = self.d.effects.read_control()
        self._asked[self._numbers] = Asked(client, order, model.name, now, words.epoch if words is not None else 0)

    def on_told(self, told: messages.Told, now: float) -> None:
        asked = self._asked.pop(told.id, None)
        if asked is None:
            self.d.counters.dropped_frames += 1
            return
        try:
            if told.code:
                raise Refusal(told.code if told.code in protocol.ERRORS else "internal", told.text)
            if isinstance(asked.order, protocol.LoadModel):
                self.d.desk.await_load(asked.client, asked.order, now)
            else:
                self.d.desk.answer(asked.client, asked.order.id, protocol.OrderDone(asked.model, told.text))
        except Refusal as refusal:
            self.d.say_error(asked.client, asked.order.id, refusal)

    def on_control_epoch(self, epoch: int) -> None:
        """That control process speaks to us; what an older one was asked has died with it."""
        self._give_up("control ended before it answered", lambda asked: asked.control_epoch < epoch)

    def on_tick(self, now: float) -> None:
        self._give_up(f"control did not answer within {ANSWER_WITHIN_S:g} s",
                      lambda asked: now - asked.since > ANSWER_WITHIN_S)

    def _give_up(self, why: str, is_lost: Callable[[Asked], bool]) -> None:
        for number, asked in list(self._asked.items()):
            if is_lost(asked):
                del self._asked[number]
                self.d.say_error(asked.client, asked.order.id, Refusal(
                    "gateway_unavailable", f"{why}; whether it was done is not known; {REMEDY}", 1.0))

    def forget_client(self, client: bytes) -> None:
        self._asked = {number: asked for number, asked in self._asked.items() if asked.client != client}
