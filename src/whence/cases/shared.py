"""How a domain becomes texts: draw a plan of findings, then put each into words."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from whence.cases.case import (
    THRESHOLD,
    Fact,
    Polarity,
    decisive_facts,
    score,
)
from whence.cases.words import Fields, draw_fields, draw_subject

SHORTEST, LONGEST = 40, 160
"""How many words a text may have, counted by ``text.split()``. Chosen by hand; not calibrated."""

VOWELS = tuple("aeiou")
JOINERS = (", and ", "; ", ", but ", ", while ", ", and also ")
PHENOMENA: Mapping[str, tuple[Polarity, ...]] = {
    "negation": ("negated",),
    "other_person": ("other_person",),
    "hedge": ("hedged",),
    "threshold": ("within_limit",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something a domain's rule knows, and every way to say it.

    ``frames`` holds clauses for each polarity; square brackets mark the span, ``{x}`` is one of
    ``phrases``, ``{v}`` an amount. ``beyond`` and ``within`` are the inclusive ranges of amounts
    on either side of the limit; ``margin`` is how near the limit half of the amounts lie.
    ``reason`` states the asserted finding in a rationale, ``reason_within`` the harmless amount.
    """

    name: str
    sign: Literal[-1, 1]
    reason: str
    frames: Mapping[Polarity, tuple[str, ...]]
    phrases: tuple[str, ...] = ("",)
    beyond: tuple[int, int] | None = None
    within: tuple[int, int] | None = None
    margin: int = 5
    step: int = 1
    reason_within: str = ""

    @property
    def has_limit(self) -> bool:
        """Whether the finding is an amount against a limit."""
        return self.beyond is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """A domain's rule and its language; ``labels`` are (negative, positive)."""

    name: str
    labels: tuple[str, str]
    findings: tuple[Finding, ...]
    openings: tuple[str, ...]
    distractors: tuple[str, ...]
    closings: tuple[str, ...]
    numbered: bool = False
    always: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def decide(self, facts: tuple[Fact, ...]) -> str:
        """The label by the rule: positive when the score reaches the threshold."""
        return self.labels[score(facts) >= THRESHOLD]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """One planned clause: a finding at a polarity."""

    finding: Finding
    polarity: Polarity

    def as_fact(self) -> Fact:
        """The fact this clause will state, before it has a place in the text."""
        finding = self.finding
        return Fact(start=0, end=0, name=finding.name, sign=finding.sign, polarity=self.polarity)


def draw_plan(domain: Domain, rng: random.Random) -> tuple[Slot, ...]:
    """Findings and polarities whose label is a fair coin's and whose decisive facts exist."""
    label = domain.labels[rng.random() < 0.5]
    # Whole plans are drawn until one has the label: to turn one clause of an unfit plan would
    # tie the label to that clause.
    while True:
        # Numbers of findings and all chances below were chosen by hand and are not calibrated.
        findings = rng.sample(domain.findings, rng.randint(3, 5))
        slots = [Slot(finding=f, polarity=rng.choice(tuple(f.frames))) for f in findings]
        # The same finding of two people: the words alone do not give the label.
        if rng.random() < 0.4:
            echo = rng.choice([s for s in slots if s.polarity != "other_person"] or slots)
            if echo.polarity != "other_person" and "other_person" in echo.finding.frames:
                slots.append(replace(echo, polarity="other_person"))
        rng.shuffle(slots)
        facts = tuple(slot.as_fact() for slot in slots)
        if domain.decide(facts) == label and decisive_facts(facts):
            return tuple(slots)


def _amount(finding: Finding, polarity: Polarity, rng: random.Random) -> str:
    inside = polarity == "within_limit"
    # Whether the limit is at the lower or the upper end of a range depends on the finding: a pulse
    # is bad above it, an oxygen saturation below.
    limits, other = (finding.within, finding.beyond) if inside else (finding.beyond, finding.within)
    if limits is None or other is None:
        return ""
    low, high = limits
    if rng.random() < 0.5:
        # Near the limit, where an amount is hard to judge.
        width = finding.margin * finding.step
        low, high = (
            (low, min(high, low + width)) if low > other[0] else (max(low, high - width), high)
        )
    return f"{low + finding.step * rng.randint(0, (high - low) // finding.step):,}"


def _capital(marked: str) -> str:
    at = 1 if marked.startswith("[") else 0
    return marked[:at] + marked[at : at + 1].upper() + marked[at + 1 :]


class _Writer:
    """Collects sentences and turns bracketed spans into facts with offsets."""

    def __init__(self) -> None:
        self.text = ""
        self.facts: list[Fact] = []

    def add(self, marked: str, fact: Fact | None) -> None:
        before, _, rest = marked.partition("[")
        span, _, after = rest.partition("]")
        if fact is not None and span:
            # Offsets are counted while the text is written: the words of a fact may stand in it
            # twice, so they could not be looked up later.
            start = len(self.text) + len(before)
            self.facts.append(replace(fact, start=start, end=start + len(span)))
        self.text += before + span + after


def write(
    domain: Domain, plan: tuple[Slot, ...], *, key: str, extra: Mapping[str, str] | None = None
) -> tuple[str, tuple[Fact, ...]]:
    """Put a plan into words.

    Every clause draws from a generator of its own, named by ``key`` and its place, so a plan that
    differs in one slot differs in one clause. ``extra`` fixes fields (a postcode).
    """
    # A text as seed is hashed by SHA-512 in random.seed, and so gives the same draws in every
    # process, unlike hash().
    outline = random.Random(f"{key}:outline")
    subject = draw_subject(outline)
    noise = Fact(start=0, end=0, name="distractor", sign=0, polarity="distractor")

    def fields(rng: random.Random) -> Fields:
        return draw_fields(rng, subject) | dict(extra or {})

    clauses: list[tuple[str, Fact, bool]] = []
    for index, slot in enumerate(plan):
        rng = random.Random(f"{key}:slot:{index}")
        filled = fields(rng)
        amount = _amount(slot.finding, slot.polarity, rng)
        filled["x"] = rng.choice(slot.finding.phrases)
        # The article of the drawn phrase, for frames that need one.
        filled["ax"] = ("an " if filled["x"][:1] in VOWELS else "a ") + filled["x"]
        filled["v"] = amount
        frame = rng.choice(slot.finding.frames[slot.polarity])
        clauses.append((frame.format_map(filled), slot.as_fact(), False))
    count = outline.randint(1, 4)
    for index, frame in enumerate(outline.sample(domain.distractors, count)):
        filled = fields(random.Random(f"{key}:noise:{index}"))
        place = outline.randint(0, len(clauses))
        clauses.insert(place, (f"[{frame.format_map(filled)}]", noise, True))
    for name, options in domain.always:
        place = outline.randint(0, len(clauses))
        filled = fields(random.Random(f"{key}:always:{name}"))
        text = outline.choice(options).format_map(filled)
        clauses.insert(place, (text, replace(noise, name=name), True))

    writer = _Writer()
    writer.add(_capital(outline.choice(domain.openings).format_map(fields(outline))) + " ", None)
    number = outline.randint(2, 14)
    joined = False
    for index, (clause, fact, alone) in enumerate(clauses):
        head = clause if joined else _capital(clause)
        if domain.numbered and not joined:
            head = f"{number}.{index + 1} {head}"
        # Distractors stand alone: joined to a finding they would qualify it.
        follows = index + 1 < len(clauses) and not alone and not clauses[index + 1][2]
        # Two clauses a sentence at most; the draw comes first, so that it is made for every clause
        # and plans that differ in one slot keep the same joints.
        joined = outline.random() < 0.3 and follows and not joined
        writer.add(head + (outline.choice(JOINERS) if joined else ". "), fact)
    if outline.random() < 0.6:
        closing = outline.choice(domain.closings).format_map(fields(outline))
        writer.add(_capital(closing), None)
    return writer.text.rstrip(), tuple(writer.facts)
