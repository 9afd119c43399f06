"""What a case is: a text, its label, and the facts that settle the label."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Polarity = Literal["asserted", "hedged", "negated", "other_person", "within_limit", "distractor"]
"""How a text presents a fact.

``asserted``: true of the subject (for an amount: beyond its limit). ``hedged``: uncertain.
``negated``: denied. ``other_person``: true of somebody else. ``within_limit``: an amount on the
harmless side of its limit. ``distractor``: outside the rule.
"""

# One asserted finding reaches the threshold alone, a hedged one does not, two hedged ones do: so a
# text can turn on a single word of doubt.
POINTS: dict[Polarity, int] = {
    "asserted": 2,
    "hedged": 1,
    "negated": 0,
    "other_person": 0,
    "within_limit": 0,
    "distractor": 0,
}
"""What one fact counts, before its sign."""

THRESHOLD = 2
"""The score from which a case gets its domain's positive label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One stated fact, with the characters that state it.

    ``text[start:end]`` of the case is the span; it includes the words that turn the fact ("denies
    chest pain", "father had a blackout"). ``sign`` is +1 for a finding that speaks for the
    positive label, -1 for one that speaks against it, 0 for anything outside the rule.

    >>> Fact(start=0, end=10, name="chest_pain", sign=1, polarity="hedged").points
    1
    """

    start: int
    end: int
    name: str
    sign: Literal[-1, 0, 1]
    polarity: Polarity

    @property
    def points(self) -> int:
        """What the fact adds to the score: ``sign * POINTS[polarity]``."""
        return self.sign * POINTS[self.polarity]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One generated text with everything that is known about it.

    ``facts`` are in the order of the text. ``decisive`` are those that matter by the rule, see
    `decisive_facts`. ``phenomena`` names, sorted, which of ``hedge``, ``negation``,
    ``other_person`` and ``threshold`` the text contains. ``rationale`` states the decisive facts
    in words. ``seed`` rebuilds this case alone.
    """

    domain: str
    text: str
    label: str
    decisive: tuple[Fact, ...]
    facts: tuple[Fact, ...]
    phenomena: tuple[str, ...]
    rationale: str
    seed: int

    def span(self, fact: Fact) -> str:
        """The characters that state a fact."""
        return self.text[fact.start : fact.end]


def score(facts: Iterable[Fact]) -> int:
    """The sum of the facts' points; the label is positive from `THRESHOLD` on.

    >>> flag = Fact(start=0, end=1, name="judgment", sign=1, polarity="asserted")
    >>> relief = Fact(start=2, end=3, name="guarantor", sign=-1, polarity="asserted")
    >>> score([flag]), score([flag, relief])
    (2, 0)
    """
    return sum(fact.points for fact in facts)


def decisive_facts(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """The facts that matter by the rule.

    For a positive label: every fact with points above zero, since together they reach the
    threshold. One of them may be dispensable when others suffice.

    For a negative label: every fact that alone keeps it negative. That is a fact of sign -1
    without which the score would reach the threshold, or a finding of sign +1 that is denied,
    hedged, within its limit or another person's, and would reach it were it asserted of the
    subject.

    >>> mine = Fact(start=0, end=1, name="judgment", sign=1, polarity="negated")
    >>> noise = Fact(start=2, end=3, name="hobby", sign=0, polarity="distractor")
    >>> [fact.name for fact in decisive_facts([mine, noise])]
    ['judgment']
    """
    all_facts = tuple(facts)
    total = score(all_facts)
    if total >= THRESHOLD:
        return tuple(fact for fact in all_facts if fact.points > 0)
    return tuple(fact for fact in all_facts if _keeps_negative(fact, total))


def _keeps_negative(fact: Fact, total: int) -> bool:
    if fact.sign < 0:
        return total - fact.points >= THRESHOLD
    if fact.sign > 0:
        return total - fact.points + POINTS["asserted"] >= THRESHOLD
    return False
