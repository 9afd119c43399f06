"""Whatever shares a part shares a lock; a thread enters again, another one waits."""

from __future__ import annotations

import gc
import threading

import pytest
import torch

from whence.models.internals import module_lock
from whence.models.internals.module_lock import locked


def _waits(module):
    """Whether another thread has to wait for a module."""
    inside = threading.Event()

    def enter():
        with locked(module):
            inside.set()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    return not inside.wait(0.2)


def _wrapped():
    inner = torch.nn.Linear(2, 2)
    return inner, torch.nn.Sequential(inner, torch.nn.ReLU())


def _same_parameter():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    second.weight = first.weight
    return first, second


def _known_apart_before():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    for module in (first, second):
        with locked(module):
            pass
    return second, torch.nn.Sequential(first, second)


@pytest.mark.parametrize("pair", [_wrapped, _same_parameter, _known_apart_before])
def test_modules_that_share_a_part_take_turns(pair):
    one, other = pair()
    for held, wanted in ((one, other), (other, one)):
        with locked(held):
            assert _waits(wanted)
            with locked(held), locked(wanted):
                assert _waits(wanted)
            assert _waits(held)
        assert not _waits(wanted)


def test_modules_apart_do_not_wait_and_are_not_kept_alive():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    with locked(first):
        assert not _waits(second)
    before = len(module_lock._LOCKS)
    del first, second
    gc.collect()
    assert len(module_lock._LOCKS) <= before - 6


def test_an_error_lets_the_lock_go():
    module = torch.nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError), locked(module), locked(module):
        raise ZeroDivisionError
    assert not _waits(module)
