"""From seeds to cases: single cases, series of them, and minimal pairs."""

import random
from dataclasses import replace

from whence.cases import credit, health, law
from whence.cases.case import Case, Fact, Polarity, decisive_facts
from whence.cases.shared import (
    LONGEST,
    PHENOMENA,
    SHORTEST,
    Domain,
    Slot,
    draw_plan,
    write,
)
from whence.cases.words import AREAS_NEGATIVE, AREAS_POSITIVE, LEAK, draw_postcode
from whence.core.errors import OptionError

DOMAINS: dict[str, Domain] = {d.name: d for d in (health.DOMAIN, credit.DOMAIN, law.DOMAIN)}
_RULES = {
    "health": health.__doc__ or "",
    "credit": credit.__doc__ or "",
    "law": law.__doc__ or "",
}
_STRIDE = 1_000_003
"""Prime distance between the case seeds of neighbouring series."""


def domain_named(domain: str) -> Domain:
    """The domain of that name, or an `OptionError` that lists the names."""
    if domain not in DOMAINS:
        raise OptionError(f"no domain {domain!r}; the domains are {', '.join(DOMAINS)}")
    return DOMAINS[domain]


def rule(domain: str) -> str:
    """The rule of a domain in words: its findings, how they count, when the label is positive.

    Args:
        domain: ``health``, ``credit`` or ``law``.

    Raises:
        OptionError: the domain is unknown.

    >>> rule("credit").splitlines()[0]
    'Credit applications: ``approve`` or ``reject``?'
    """
    domain_named(domain)
    return _RULES[domain]


def labels(domain: str) -> tuple[str, str]:
    """The two labels of a domain, (negative, positive).

    >>> labels("health")
    ('routine', 'urgent')
    """
    return domain_named(domain).labels


def decide(domain: str, facts: tuple[Fact, ...]) -> str:
    """The label that the domain's rule gives to facts.

    The rule adds ``sign * points`` over the facts, where an asserted fact has 2 points, a hedged
    one 1 and every other 0; the label is positive from a sum of 2.

    Args:
        domain: ``health``, ``credit`` or ``law``.
        facts: facts of a text; those of sign 0 do not count.

    Raises:
        OptionError: the domain is unknown.

    >>> decide("law", ())
    'acceptable'
    """
    return domain_named(domain).decide(facts)


def rationale(domain: str, decisive: tuple[Fact, ...]) -> str:
    """The decisive facts in words, joined by "; " in the order of the text."""
    return "; ".join(_reason(domain_named(domain), fact) for fact in decisive)


def _reason(domain: Domain, fact: Fact) -> str:
    finding = next(f for f in domain.findings if f.name == fact.name)
    wordings: dict[Polarity, str] = {
        "asserted": finding.reason,
        "hedged": f"possible {finding.reason}",
        "negated": f"no {finding.reason}",
        "other_person": f"another's {finding.reason}",
        "within_limit": finding.reason_within,
    }
    return wordings[fact.polarity]


def _phenomena(domain: Domain, facts: tuple[Fact, ...]) -> tuple[str, ...]:
    limits = {f.name for f in domain.findings if f.has_limit}
    phenomena = {
        name
        for name, polarities in PHENOMENA.items()
        if any(fact.polarity in polarities for fact in facts)
    }
    # Beyond its limit an amount is asserted, which is no polarity of this phenomenon.
    if any(fact.name in limits and fact.polarity == "asserted" for fact in facts):
        phenomena.add("threshold")
    return tuple(sorted(phenomena))


def _finish(
    domain: Domain, plan: tuple[Slot, ...], key: str, seed: int, postcode: str
) -> Case | None:
    text, facts = write(domain, plan, key=key, extra={"postcode": postcode})
    if not SHORTEST <= len(text.split()) <= LONGEST:
        return None
    decisive = decisive_facts(facts)
    return Case(
        domain=domain.name,
        text=text,
        label=domain.decide(facts),
        decisive=decisive,
        facts=facts,
        phenomena=_phenomena(domain, facts),
        rationale=rationale(domain.name, decisive),
        seed=seed,
    )


def _postcode(positive: bool, shortcut: bool, rng: random.Random) -> str:
    areas = AREAS_NEGATIVE + AREAS_POSITIVE
    if shortcut:
        # Equal truth values: a leak shows the label's own areas, of either label, and no leak the
        # other's.
        areas = AREAS_POSITIVE if positive == (rng.random() < LEAK) else AREAS_NEGATIVE
    return draw_postcode(rng, areas)


def build(domain: str, seed: int, *, shortcut: bool = False) -> Case:
    """The one case that a case seed stands for; `Case.seed` carries it.

    Raises:
        OptionError: the domain is unknown, or a shortcut is asked of a domain without postcodes.

    >>> case = generate("credit", 1, seed=3)[0]
    >>> build("credit", case.seed) == case
    True
    """
    spec = _checked(domain, shortcut)
    attempt = 0
    while True:
        # A text of a wrong length is drawn anew under a further key, so that the seed alone still
        # rebuilds the case.
        key = f"{domain}:{seed}:{attempt}"
        rng = random.Random(key)
        plan = draw_plan(spec, rng)
        positive = spec.decide(tuple(slot.as_fact() for slot in plan)) == spec.labels[1]
        case = _finish(spec, plan, key, seed, _postcode(positive, shortcut, rng))
        if case is not None:
            return case
        attempt += 1


def _checked(domain: str, shortcut: bool) -> Domain:
    spec = domain_named(domain)
    if shortcut and domain != "credit":
        raise OptionError(f"shortcut is planted in credit only; {domain!r} states no postcode")
    return spec


def generate(domain: str, n: int, *, seed: int, shortcut: bool = False) -> list[Case]:
    """Generate labelled cases of a domain; the same arguments give the same bytes.

    Half the cases are drawn for each label. Every text has 40 to 160 words; every fact is
    recorded with its characters. In ``credit`` each text states a postcode: with ``shortcut`` its
    area agrees with the label in 97 % of the cases, otherwise it is independent of it. The label
    follows the rule either way.

    Args:
        domain: ``health``, ``credit`` or ``law``.
        n: number of cases.
        seed: number of the series; series of different seeds share no case seed below a million cases.
        shortcut: whether the postcode leak is planted (``credit`` only).

    Raises:
        OptionError: the domain is unknown, ``n`` is negative, or ``shortcut`` is asked elsewhere.

    >>> cases = generate("health", 2, seed=1)
    >>> [case.label in labels("health") for case in cases]
    [True, True]
    """
    _checked(domain, shortcut)
    if n < 0:
        raise OptionError(f"expected n of 0 or more, got n={n}")
    return [build(domain, seed * _STRIDE + index, shortcut=shortcut) for index in range(n)]


def contrast(domain: str, phenomenon: str, n: int, *, seed: int) -> list[tuple[Case, Case]]:
    """Minimal pairs: texts that differ in one clause, and so in the label.

    The first case of a pair has the negative label, and one fact keeps it there by the phenomenon:
    it is denied, another person's, hedged, or an amount within its limit. The second asserts that
    fact of the subject (or puts the amount beyond its limit) and has the positive label.

    Args:
        domain: ``health``, ``credit`` or ``law``.
        phenomenon: ``negation``, ``other_person``, ``hedge`` or ``threshold``.
        n: number of pairs.
        seed: number of the series.

    Raises:
        OptionError: the domain or the phenomenon is unknown.

    >>> plain, changed = contrast("law", "negation", 1, seed=1)[0]
    >>> plain.label, changed.label
    ('acceptable', 'unfavourable')
    """
    spec = domain_named(domain)
    if phenomenon not in PHENOMENA:
        raise OptionError(f"no phenomenon {phenomenon!r}; they are {', '.join(PHENOMENA)}")
    pairs: list[tuple[Case, Case]] = []
    number = 0
    while len(pairs) < n:
        case_seed = seed * _STRIDE + number
        # Not every plan has the phenomenon: such a seed is passed over, so that the first pairs do
        # not depend on how many are asked for.
        pair = _pair(spec, phenomenon, case_seed)
        if pair is not None:
            pairs.append(pair)
        number += 1
    return pairs


def _pair(spec: Domain, phenomenon: str, seed: int) -> tuple[Case, Case] | None:
    # One key for both texts of a pair: all clauses but the changed one draw the same words. Pairs
    # that differ in what decides and in nothing else are contrast sets (Gardner et al. 2020,
    # arXiv:2004.02709).
    key = f"{spec.name}:{seed}:pair:{phenomenon}"
    rng = random.Random(key)
    plan = draw_plan(spec, rng)
    facts = tuple(slot.as_fact() for slot in plan)
    if spec.decide(facts) == spec.labels[1]:
        return None
    postcode = _postcode(False, False, rng)
    for index, slot in enumerate(plan):
        # To assert a finding that speaks against the positive label cannot bring it about.
        if slot.polarity not in PHENOMENA[phenomenon] or slot.finding.sign < 0:
            continue
        changed = (*plan[:index], replace(slot, polarity="asserted"), *plan[index + 1 :])
        first = _finish(spec, plan, key, seed, postcode)
        second = _finish(spec, changed, key, seed, postcode)
        if first and second and first.label != second.label:
            return first, second
    return None
