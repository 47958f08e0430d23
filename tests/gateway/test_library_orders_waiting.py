"""Changes of the library that wait behind each other: what the first one did counts for the second."""

from control.library import Library
from gateway import protocol
from tests.support.library_world import PULLED, copy, delete, world_with_model
from workers.fetch_lines import Done


def test_a_copy_behind_the_deletion_of_its_model_is_refused():
    world = world_with_model()
    delete(world, "d", "org/tiny")
    copy(world, "c", "org/tiny", "mine")
    assert not world.ended("c")
    world.tells()
    assert world.end_of("c").code == "model_not_found" and world.library.aliases == {}


def test_a_deletion_behind_another_change_is_done():
    world = world_with_model()
    copy(world, "c", "a", "mine")
    delete(world, "d", "org/tiny")
    world.tells()
    world.tells()
    world.says(Done("", "ab12", True, 5_000_000))
    assert isinstance(world.end_of("d"), protocol.Result) and world.library == Library(aliases={"mine": "a"})


def test_a_name_that_became_a_model_is_not_said_to_be_forgotten():
    world = world_with_model(Library(models=PULLED.models, aliases={"mine": "org/tiny"}))
    delete(world, "d", "org/tiny")
    delete(world, "e", "mine")
    world.tells()
    assert isinstance(world.end_of("d"), protocol.Result) and world.end_of("e").code == "model_not_found"
    assert [model.name for model in world.library.models] == ["mine"]


def test_weights_that_another_home_uses_are_said_to_stay():
    world = world_with_model()
    delete(world, "d", "org/tiny")
    world.tells()
    world.says(Done("", "ab12"))
    assert "another home" in protocol.decode_order(world.end_of("d").value).text and world.library == Library()
