"""A sample of the sweep over architectures; ``python -m benchmarks.architectures`` runs all of it."""

from __future__ import annotations

import pytest
from tests.zoo.architecture_checks import check
from tests.zoo.architectures import architectures

SAMPLE = architectures()[::24]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", SAMPLE, ids=[each.kind for each in SAMPLE])
def test_every_number_is_the_modules_or_refused(architecture):
    row = check(architecture)
    bad = {name: told for name, told in row.items() if str(told).startswith(("wrong", "crash"))}
    assert not bad
