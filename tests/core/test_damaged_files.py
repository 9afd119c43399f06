"""Damaged files: each is refused in words or read, whatever was done to its bytes, in bounded time."""

from __future__ import annotations

import copy
import json
import random
import signal

import pytest
from tests.core.test_every_kind import STORED

import whence
from whence.core import RecordError
from whence.core.store import read_record_json

ODD = [
    None, True, -1, 0, 3, 10**40, -(10**400), 1e308, -0.0, 2**63, 10_000_000, "", "NaN", "\ud800", "x" * 5000,
    [], {}, [[]], [None], {"kind": 1}, [[1.0, 2.0]], {"dtype": "float64", "shape": [10**9], "data": []},
    "Infinity", "-Infinity", "../../etc",
]  # fmt: skip


def places(tree, path=()):
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for name, value in entries:
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from places(value, (*path, name))


def at(tree, path):
    for name in path:
        tree = tree[name]
    return tree


def changed(draw, tree):
    """A tree with one to three entries replaced, taken away, repeated or renamed."""
    tree = json.loads(json.dumps(tree))
    tree.pop("digest", None)
    for _ in range(draw.randint(1, 3)):
        path = draw.choice(list(places(tree)))
        inner, name = at(tree, path[:-1]), path[-1]
        way = draw.randrange(5)
        if way < 2:
            inner[name] = copy.deepcopy(draw.choice(ODD))
        elif way == 2:
            del inner[name]
        elif way == 3 and isinstance(inner, dict):
            inner[f"{name}_"] = inner.pop(name)
        elif isinstance(inner, list):
            inner.extend(inner[:3] * draw.choice([1, 50]))
        if not tree:
            break
    return json.dumps(tree).encode("ascii", "backslashreplace")


def damaged(draw, data):
    """The bytes of a file after one damage."""
    way = draw.randrange(7)
    if way < 3:
        return changed(draw, json.loads(data))
    if way == 3:
        return data[: draw.randrange(len(data))]
    if way == 4:
        bytes_ = bytearray(data)
        for _ in range(draw.randint(1, 8)):
            bytes_[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        return bytes(bytes_)
    if way == 5:
        place = draw.randrange(len(data))
        return (
            data[:place]
            + draw.choice([b"[" * 100_000, b"\0" * 30, data[:200], b"1e999"])
            + data[place:]
        )
    # A key that stands there twice, of which JSON's readers take the last.
    first = next(iter(json.loads(data)))
    return (
        data[:-1]
        + b","
        + json.dumps(first).encode()
        + b":"
        + draw.choice([b"null", b"{}", b"3"])
        + b"}"
    )


def outcomes(count, seed):
    draw = random.Random(seed)
    raw = []
    kinds = sorted(STORED)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        data = damaged(draw, STORED[kind])
        signal.setitimer(signal.ITIMER_REAL, 10)
        try:
            record = read_record_json(data)
            str(record.digest)
        except RecordError:
            pass
        except BaseException as error:
            raw.append((kind, number, type(error).__name__, str(error)[:200]))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return raw


def test_a_damaged_file_is_refused_in_words():
    assert outcomes(480, seed=1) == []


@pytest.mark.slow
def test_ten_thousand_damaged_files_are_refused_in_words():
    assert outcomes(10_000, seed=2) == []


def test_a_depth_that_no_reader_takes_is_refused(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(RecordError):
        whence.read_record(path)
