"""The file of keys: replaced whole, kept from others, noticed by a running gateway, and never mistaken for no keys."""

import os
import stat

import pytest

from control.home import Home, HomeRefused, LockHeld, acquire_lock, prepare_home
from gateway.key_file import LOOK_EVERY_S, KeyFile, change_keys, key_path, read_keys, refuse_open_without_keys
from gateway.keys import Key, KeysRefused, encode_keys, hash_of

KEY, OTHER = Key("a", hash_of("warden-1")), Key("b", hash_of("warden-2"))


@pytest.fixture
def home(tmp_path) -> Home:
    found = Home(tmp_path / "home")
    prepare_home(found)
    return found


class Notes(list):
    def __call__(self, event: str, **facts: object) -> None:
        self.append((event, facts))


def test_a_missing_file_is_no_keys_and_a_written_one_is_read_back(home):
    assert read_keys(key_path(home)) == []
    change_keys(home, lambda found: [*found, KEY])
    change_keys(home, lambda found: [*found, OTHER])
    assert read_keys(key_path(home)) == [KEY, OTHER]
    assert stat.S_IMODE(key_path(home).stat().st_mode) == 0o600
    assert [name for name in os.listdir(home.root) if name.startswith(".keys")] == []


def test_one_writer_at_a_time(home):
    with acquire_lock(home.lock_path("keys")), pytest.raises(LockHeld):
        change_keys(home, lambda found: found)


def test_what_goes_wrong_in_between_leaves_the_old_file(home):
    change_keys(home, lambda found: [KEY])

    def refuses(found):
        raise KeysRefused("no key of that name")

    with pytest.raises(KeysRefused):
        change_keys(home, refuses)
    assert read_keys(key_path(home)) == [KEY]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused_with_the_command_that_mends_it(home, mode):
    change_keys(home, lambda found: [KEY])
    key_path(home).chmod(mode)
    with pytest.raises(KeysRefused, match="chmod 600"):
        read_keys(key_path(home))


def test_what_is_no_file_is_refused(home):
    key_path(home).mkdir(mode=0o700)
    with pytest.raises(KeysRefused, match="cannot be read"):
        read_keys(key_path(home))


def test_a_running_gateway_notices_new_and_revoked_keys_within_the_time_it_says(home):
    notes = Notes()
    file = KeyFile(key_path(home), notes)
    assert file.keys == [] and not file.changed(0.0)
    change_keys(home, lambda found: [KEY, OTHER])
    assert not file.changed(LOOK_EVERY_S / 2)
    assert file.changed(LOOK_EVERY_S) and file.keys == [KEY, OTHER]
    assert not file.changed(2 * LOOK_EVERY_S)
    change_keys(home, lambda found: [OTHER])
    assert file.changed(3 * LOOK_EVERY_S) and file.keys == [OTHER]
    key_path(home).unlink()
    assert file.changed(4 * LOOK_EVERY_S) and file.keys == []
    assert notes == [("keys_read", {"keys": count}) for count in (2, 1, 0)]


def test_who_writes_while_it_is_read_for_the_first_time_is_noticed(home, monkeypatch):
    def reads_and_is_overtaken(path):
        found = read_keys(path)
        path.touch(mode=0o600)
        path.write_bytes(encode_keys([KEY]))
        return found

    monkeypatch.setattr("gateway.key_file.read_keys", reads_and_is_overtaken)
    file = KeyFile(key_path(home), Notes())
    monkeypatch.undo()
    assert file.keys == [] and file.changed(LOOK_EVERY_S) and file.keys == [KEY]


def test_one_that_cannot_be_read_changes_nothing_while_it_runs_and_stops_a_start(home):
    change_keys(home, lambda found: [KEY])
    notes = Notes()
    file = KeyFile(key_path(home), notes)
    key_path(home).write_bytes(b'{"version":1,"keys":[{"name":"\xff"')
    assert not file.changed(LOOK_EVERY_S) and file.keys == [KEY]
    assert [event for event, _ in notes] == ["keys_refused"] and "keys.json" in notes[0][1]["reason"]
    with pytest.raises(KeysRefused):
        KeyFile(key_path(home), notes)
    key_path(home).unlink()
    change_keys(home, lambda found: [OTHER])
    assert file.changed(2 * LOOK_EVERY_S) and file.keys == [OTHER]


def test_an_address_that_others_reach_needs_a_key(home):
    refuse_open_without_keys(False, "127.0.0.1", home)
    with pytest.raises(HomeRefused, match="warden key create"):
        refuse_open_without_keys(True, "0.0.0.0", home)
    change_keys(home, lambda found: [KEY])
    refuse_open_without_keys(True, "0.0.0.0", home)
