"""What `warden doctor` sees of the service of a home: is its file there, is it ours, as it would be now."""

from control.config import Config
from control.home import Home
from gateway.cli.doctor_running import ServiceFact
from gateway.cli.exits import CommandFailed
from gateway.cli.service import place_of, start_line
from gateway.cli.service_manager import ABSENT, OURS, OUTDATED, choose_manager, gone_python, is_active, state_of
from gateway.cli.starting import is_running


def look_at_service(config: Config | None, home: Home) -> ServiceFact:
    absent = ServiceFact("", "", ABSENT)
    if not choose_manager():
        return absent
    try:
        placed, _ = place_of(config, home)
        state = state_of(placed)
        if state not in (OURS, OUTDATED):
            return ServiceFact(placed.manager, str(placed.path), state)
        by_hand = home.supervisor_conf.exists() and is_running(home) and not is_active(placed)
    except CommandFailed:
        return absent
    if config is None:
        state = OURS  # what would be written today is not known
    return ServiceFact(placed.manager, str(placed.path), state, gone_python(placed), by_hand, start_line(placed))
