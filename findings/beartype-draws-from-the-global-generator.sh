#!/usr/bin/env bash
# beartype 0.23.1. A checked call moves Python's global random generator on.
#
# beartype looks at one random item of a list for each check. It draws the place from the global `random`
# module, so a function that draws nothing changes what the caller draws next: with type checks on, a
# seeded program gives other numbers than with checks off. "Same seed, same result" tests and tests that
# a function leaves the random state alone fail by the checker's doing.
#
# Output seen:
#   next number after seed 0: 0.8444, after a checked call: 0.3852
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile beartype==0.23.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import random

from beartype import beartype


def size(values: list[int]) -> int:
    return len(values)


def next_number(function):
    random.seed(0)
    function([1, 2, 3])
    return random.random()


plain, checked = next_number(size), next_number(beartype(size))
print(f"next number after seed 0: {plain:.4f}, after a checked call: {checked:.4f}")
assert abs(plain - 0.8444218515250481) < 1e-12
assert checked != plain
PYTHON
