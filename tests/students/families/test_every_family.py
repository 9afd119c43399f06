"""The battery of :mod:`tests.students.families.battery`, over every family of the catalogue."""

import pkgutil

import pytest
from tests.students.families.battery import CHECKS

from whence.students.export.runtime import SCORERS
from whence.students.families import scorers
from whence.students.families.registry import FAMILIES, FITTED, readable_families


@pytest.mark.parametrize("family", readable_families())
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_family(check, family):
    check(FAMILIES[family])


def test_every_stored_kind_decides_without_scipy():
    """Each kind of ours has a scorer of its own; a kind without one needs the fitted student."""
    files = {module.name for module in pkgutil.iter_modules(scorers.__path__, f"{SCORERS}.")}
    for kind, cls in FITTED.items():
        assert (f"{SCORERS}.{kind.replace('-', '_')}" in files) == cls.readable
