"""What is kept beside an object lives as long as the object, and no longer."""

from __future__ import annotations

import copy
import gc

from blueshift_sync.sources.memory import Memory
from tests.site.models import Person


def test_each_object_has_a_thing_of_its_own_though_they_are_equal() -> None:
    memory: Memory[list[int]] = Memory(list)
    one, other = Person(pk=1), Person(pk=1)
    memory.of(one).append(1)
    assert memory.of(one) == [1]
    assert other not in memory
    assert copy.copy(one) not in memory


def test_objects_without_a_key_are_told_apart_too() -> None:
    memory: Memory[list[int]] = Memory(list)
    one, other = Person(), Person()
    memory.of(one)
    assert (one in memory, other in memory) == (True, False)


def test_nothing_is_left_of_an_object_that_is_gone_or_forgotten() -> None:
    memory: Memory[list[int]] = Memory(list)
    person = Person()
    memory.of(person)
    memory.forget(person)
    memory.forget(person)
    assert person not in memory
    memory.of(person)
    del person
    gc.collect()
    assert not memory._things
