"""Whatever shares a part shares a lock; a thread enters again, another one waits."""

from __future__ import annotations

import gc
import threading

import pytest
import torch

from whence.core import DeadlockError
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
    tables = (module_lock._LOCKS, module_lock._STORAGES)
    before = [len(table) for table in tables]
    del first, second
    gc.collect()
    assert [len(table) for table in tables] <= [before[0] - 2, before[1] - 4]


def test_parameters_can_be_swapped_while_locked_and_after():
    """torch swaps what wraps other tensors when it moves or casts a module, and refuses one that
    anything refers to weakly."""
    module = torch.nn.Linear(2, 2)
    with locked(module):
        torch.utils.swap_tensors(module.weight, torch.nn.Parameter(torch.ones(2, 2)))
    torch.utils.swap_tensors(module.bias, torch.nn.Parameter(torch.ones(2)))
    assert module.weight.sum() == 4
    with locked(module):
        assert _waits(module)


def _held_in_a_ring(count):
    """The errors of threads that each hold a module and then want the next one's."""
    modules = [torch.nn.Linear(2, 2) for _ in range(count)]
    ready, errors, done = threading.Barrier(count), [], []

    def run(place):
        try:
            with locked(modules[place]):
                ready.wait(5)
                with locked(modules[(place + 1) % count]):
                    done.append(place)
        except DeadlockError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    assert not any(_waits(module) for module in modules)
    return errors, done


@pytest.mark.parametrize("count", [2, 3])
def test_threads_that_wait_for_each_other_end_with_an_error(count):
    errors, done = _held_in_a_ring(count)
    assert len(errors) == 1
    assert "needs the Linear, which another has" in errors[0]
    assert len(done) == count - 1


def test_many_threads_that_nest_in_one_order_all_end():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    done = []

    def run():
        for _ in range(50):
            with locked(first), locked(second):
                done.append(1)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(done) == 400


def test_an_error_lets_the_lock_go():
    module = torch.nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError), locked(module), locked(module):
        raise ZeroDivisionError
    assert not _waits(module)
