"""The cache on disk: any thread, many processes, kills, damage, and files of before."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from whence.core import RecordError, WriteError
from whence.games import DiskCache
from whence.games import disk_cache as module

# Newer versions of Python warn of a fork beside the threads of other libraries.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

KEYS = [f"{i:032}".encode() for i in range(300)]
VALUES = [np.array([i, -i, np.pi]) for i in range(300)]


def _filled(path):
    with DiskCache(path) as cache:
        cache.put(KEYS, VALUES)
    return path


def _whole(found, values=VALUES):
    return all(a is not None for a in found) and _right(found, values)


def _right(found, values=VALUES):
    """Every value that comes back is the one that was stored."""
    return all(a is None or np.array_equal(a, b) for a, b in zip(found, values, strict=True))


def test_any_thread_may_use_it(tmp_path):
    with DiskCache(tmp_path / "c") as cache:

        def use(part):
            keys, values = KEYS[part::8], VALUES[part::8]
            cache.put(keys, values)
            return _whole(cache.get(keys), values)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(use, range(8)))
        assert len(cache) == len(KEYS)


def _use_from_process(path, part):
    with DiskCache(path) as cache:
        for start in range(0, 60, 10):
            rows = slice(part * 60 + start, part * 60 + start + 10)
            cache.put(KEYS[rows], VALUES[rows])
            assert _whole(cache.get(KEYS[rows]), VALUES[rows])


def test_many_processes_begin_and_fill_one_file(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_use_from_process, args=(tmp_path / "c", i)) for i in range(5)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 5
    with DiskCache(tmp_path / "c") as cache:
        assert len(cache) == len(KEYS)
        assert _whole(cache.get(KEYS))


def test_a_child_process_opens_the_file_anew(tmp_path):
    with DiskCache(tmp_path / "c") as cache:
        cache.put(KEYS[:1], VALUES[:1])
        context = multiprocessing.get_context("fork")
        child = context.Process(target=lambda: cache.put(KEYS[1:2], VALUES[1:2]))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert len(cache) == 2


def _killed_at(step, path):
    """A process that begins a cache and is killed at one of the module's lines; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    steps = 0

    def trace(frame, event, _):
        nonlocal steps
        steps += event == "line" and frame.f_code.co_filename == module.__file__
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    DiskCache(path)
    os._exit(0)


def test_a_kill_while_it_is_made_leaves_no_file_that_is_refused(tmp_path):
    step, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        step += 1
        path = tmp_path / f"c{step}"
        code = _killed_at(step, path)
        with DiskCache(path) as cache:
            cache.put(KEYS[:1], VALUES[:1])
            assert len(cache) == 1
            assert cache.take_notes() == []
    assert step > 20
    assert code == 0


@pytest.mark.parametrize("made", ["table", "nothing"])
def test_a_file_whose_making_was_cut_short_is_completed(tmp_path, made):
    """As a version of before left it when it was killed between two statements."""
    path = tmp_path / "c"
    connection = sqlite3.connect(path)
    if made == "table":
        connection.execute(module.TABLE)
    connection.commit()
    connection.close()
    with DiskCache(path) as cache:
        cache.put(KEYS[:1], VALUES[:1])
        assert np.array_equal(cache.get(KEYS[:1])[0], VALUES[0])


def _version_1(path):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(module.TABLE)
        connection.execute("PRAGMA user_version = 1")
        rows = [(k, v.tobytes()) for k, v in zip(KEYS, VALUES, strict=True)]
        connection.executemany("INSERT INTO evaluations VALUES (?, ?)", rows)
    connection.close()
    return path


def test_files_of_version_1_are_read_and_get_checksums(tmp_path):
    path = _version_1(tmp_path / "c")
    with DiskCache(path) as cache:
        assert _whole(cache.get(KEYS))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()


def test_a_damaged_value_is_asked_again(tmp_path):
    path = _filled(tmp_path / "c")
    connection = sqlite3.connect(path)
    with connection:
        # One value under another key, one cut short, one of another type.
        connection.execute(
            "UPDATE evaluations SET value = (SELECT value FROM evaluations WHERE key = ?) WHERE key = ?",
            (KEYS[1], KEYS[0]),
        )
        connection.execute(
            "UPDATE evaluations SET value = substr(value, 1, 16) WHERE key = ?", (KEYS[2],)
        )
        connection.execute("UPDATE evaluations SET value = 'text' WHERE key = ?", (KEYS[3],))
    connection.close()
    with DiskCache(path) as cache:
        found = cache.get(KEYS)
        assert [i for i, value in enumerate(found) if value is None] == [0, 2, 3]
        assert _right(found)
        assert [note for note in cache.take_notes() if "damaged" in note] != []
        cache.put(KEYS[:4], VALUES[:4])
        assert _whole(cache.get(KEYS))
        assert cache.take_notes() == []


def _damaged(content, rng, kind):
    changed = bytearray(content)
    if kind == "cut":
        return bytes(changed[: rng.integers(100, len(changed))])
    if kind == "zeros":
        start = int(rng.integers(0, len(changed)))
        changed[start : start + 4096] = bytes(len(changed[start : start + 4096]))
    elif kind == "header":
        changed[int(rng.integers(0, 60))] ^= 0xFF
    else:
        for place in rng.integers(100, len(changed), 200):
            changed[place] = int(rng.integers(0, 256))
    return bytes(changed)


@pytest.mark.parametrize("kind", ["cut", "zeros", "header", "noise"])
def test_a_damaged_file_is_set_aside_and_begun_anew(tmp_path, kind):
    """Never an error of SQLite's, never a wrong value, and the damaged file is still there."""
    content = _filled(tmp_path / "whole").read_bytes()
    rng = np.random.default_rng(5)
    begun = 0
    for trial in range(40):
        path = tmp_path / kind / f"{trial}" / "c"
        path.parent.mkdir(parents=True)
        damaged = _damaged(content, rng, kind)
        path.write_bytes(damaged)
        with DiskCache(path) as cache:
            assert _right(cache.get(KEYS))
            cache.put(KEYS, VALUES)
            assert _whole(cache.get(KEYS))
            notes = cache.take_notes()
        aside = [p for p in path.parent.iterdir() if ".damaged-" in p.name]
        if aside:
            begun += 1
            assert any("set aside" in note for note in notes)
    assert begun > 0


def test_what_is_not_whences_is_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("a text that is no cache, whose owner would miss it" * 20)
    with pytest.raises(RecordError, match="no SQLite file"):
        DiskCache(text)
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE accounts (x)")
    connection.close()
    other.write_bytes(other.read_bytes()[:5000])
    before = other.read_bytes()
    with pytest.raises(RecordError):
        DiskCache(other)
    assert (other.read_bytes(), len(list(tmp_path.iterdir()))) == (before, 2)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_only_be_read_is_read(tmp_path):
    for path in (_filled(tmp_path / "two"), _version_1(tmp_path / "one")):
        path.chmod(0o400)
        tmp_path.chmod(0o500)
        try:
            with DiskCache(path) as cache:
                assert _whole(cache.get(KEYS))
                with pytest.raises(WriteError, match="readonly"):
                    cache.put(KEYS, VALUES)
        finally:
            tmp_path.chmod(0o700)


def test_a_closed_cache_says_so(tmp_path):
    path = _filled(tmp_path / "c")
    cache = DiskCache(path)
    cache.close()
    with pytest.raises(WriteError, match="closed"):
        cache.get(KEYS)
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_two_that_find_the_damage_set_the_file_aside_once(tmp_path):
    path = _filled(tmp_path / "c")
    first, second = DiskCache(path), DiskCache(path)
    content = bytearray(path.read_bytes())
    # From the counter of changes on: what a connection remembers of the pages is then void.
    content[24:] = bytes([7]) * (len(content) - 24)
    path.write_bytes(content)
    for cache in (first, second):
        assert _right(cache.get(KEYS))
        cache.put(KEYS, VALUES)
    assert len(first) == len(second) == len(KEYS)
    assert len([p for p in tmp_path.iterdir() if ".damaged-" in p.name]) == 1
    first.close()
    second.close()
