"""Seeded case texts in three domains whose labels follow an explicit rule.

Each `Case` records the facts of its text by character offsets, and which of them are decisive, so
an explanation of a model that learnt the rule can be compared with the truth.
"""

from whence.cases.case import Case, Fact, Polarity, decisive_facts, score
from whence.cases.generate import build, contrast, decide, generate, labels, rule

__all__ = [
    "Case",
    "Fact",
    "Polarity",
    "build",
    "contrast",
    "decide",
    "decisive_facts",
    "generate",
    "labels",
    "rule",
    "score",
]
