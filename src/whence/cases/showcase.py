"""The cases the demo shows: generated like all others, picked by their seeds."""

from whence.cases.case import Case
from whence.cases.generate import build

__all__ = ["SEEDS", "SHORTCUT_SEED", "showcase"]

SEEDS: dict[str, tuple[int, int]] = {
    "health": (50000002, 50000018),
    "credit": (50000009, 50000048),
    "law": (50000011, 50000207),
}
"""Two cases a domain, one of each label, with negation, another person and a threshold in them."""

SHORTCUT_SEED = 50000543
"""An application whose postcode speaks against its label."""


def showcase() -> dict[str, list[Case]]:
    """The demo's cases by domain, and under ``shortcut`` the one with a misleading postcode.

    >>> sorted(showcase())
    ['credit', 'health', 'law', 'shortcut']
    """
    cases = {domain: [build(domain, seed) for seed in seeds] for domain, seeds in SEEDS.items()}
    cases["shortcut"] = [build("credit", SHORTCUT_SEED, shortcut=True)]
    return cases
