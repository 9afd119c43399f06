"""Attention records for tests of what shows them."""

from __future__ import annotations

from functools import cache

from tests.zoo.families import FAMILIES

import whence

TEXT = "He denies chest pain but reports a mild cough since Monday, </script> שלום 信用."
SMALL = whence.HeadAblation(draws=2, measure=3, control=2)


@cache
def attended(name="bert", **options):
    """A family's attention to a text of several scripts, small and measured."""
    settings = {"effects": SMALL, **options}
    return whence.attend(whence.load(FAMILIES[name]().pair), TEXT, **settings)
