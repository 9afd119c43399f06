"""The generator: offsets, labels, phenomena, and the same bytes from the same seed."""

from __future__ import annotations

from collections import Counter
from importlib import import_module

import pytest

from whence.cases import build, contrast, decide, decisive_facts, generate, labels, rule, score
from whence.cases.case import THRESHOLD
from whence.cases.generate import DOMAINS, rationale
from whence.cases.shared import PHENOMENA
from whence.cases.showcase import showcase
from whence.cases.words import AREAS_POSITIVE
from whence.core import OptionError

ALL = sorted(DOMAINS)


@pytest.fixture(scope="module", params=ALL)
def cases(request):
    return generate(request.param, 500, seed=77)


def test_texts_are_of_the_stated_length(cases):
    assert all(40 <= len(case.text.split()) <= 160 for case in cases)
    assert len({case.text for case in cases}) == len(cases)


def test_spans_stand_in_the_text_in_order(cases):
    for case in cases:
        end = 0
        for fact in case.facts:
            assert end <= fact.start < fact.end <= len(case.text)
            assert case.span(fact).strip() == case.span(fact)
            end = fact.end
        assert set(case.decisive) <= set(case.facts)


def test_the_label_follows_from_the_facts(cases):
    for case in cases:
        negative, positive = labels(case.domain)
        assert case.label == decide(case.domain, case.facts)
        assert case.label == (positive if score(case.facts) >= THRESHOLD else negative)
        assert case.decisive == decisive_facts(case.facts)
        assert case.decisive
        assert case.rationale == rationale(case.domain, case.decisive)


def test_decisive_facts_decide(cases):
    """Without its positive facts a positive case is negative; a negative one hangs on each."""
    for case in cases:
        negative, positive = labels(case.domain)
        if case.label == positive:
            rest = tuple(f for f in case.facts if f not in case.decisive)
            assert decide(case.domain, rest) == negative


def test_both_labels_and_every_phenomenon_are_common(cases):
    counts = Counter(case.label for case in cases)
    assert all(0.4 <= n / len(cases) <= 0.6 for n in counts.values())
    seen = Counter(p for case in cases for p in case.phenomena)
    for phenomenon, polarities in PHENOMENA.items():
        assert seen[phenomenon] / len(cases) > 0.1
        for case in cases:
            has = any(f.polarity in polarities for f in case.facts)
            assert has <= (phenomenon in case.phenomena)


def test_same_seed_same_bytes():
    for domain in ALL:
        assert generate(domain, 5, seed=1) == generate(domain, 5, seed=1)
        assert generate(domain, 5, seed=1) != generate(domain, 5, seed=2)
        case = generate(domain, 5, seed=1)[3]
        assert build(domain, case.seed) == case


@pytest.mark.parametrize("phenomenon", sorted(PHENOMENA))
@pytest.mark.parametrize("domain", ALL)
def test_minimal_pairs_differ_in_one_fact_and_the_label(domain, phenomenon):
    for first, second in contrast(domain, phenomenon, 10, seed=5):
        assert [first.label, second.label] == list(labels(domain))
        assert len(first.facts) == len(second.facts)
        changed = [
            (a, b)
            for a, b in zip(first.facts, second.facts, strict=True)
            if (a.name, a.polarity) != (b.name, b.polarity)
        ]
        assert len(changed) == 1
        assert changed[0][1].polarity == "asserted"


def test_the_shortcut_leaks_the_label_and_the_clean_data_do_not():
    def agreement(shortcut):
        cases = generate("credit", 600, seed=3, shortcut=shortcut)
        hits = 0
        for case in cases:
            fact = next(f for f in case.facts if f.name == "postcode")
            area = case.span(fact).split()[0].rstrip("0123456789")
            hits += (area in AREAS_POSITIVE) == (case.label == "reject")
        return hits / len(cases)

    assert agreement(shortcut=True) > 0.94
    assert 0.42 < agreement(shortcut=False) < 0.58


@pytest.mark.parametrize("domain", ALL)
def test_rules_are_in_words(domain):
    text = rule(domain)
    assert all(label in text for label in labels(domain))


def test_texts_out_of_range_are_drawn_anew(monkeypatch):
    # The package names a function like this file, so that an import from it gives the function.
    building = import_module("whence.cases.generate")

    free = generate("law", 20, seed=9)
    longest = sorted(len(case.text.split()) for case in free)[10]
    monkeypatch.setattr(building, "LONGEST", longest)
    held = generate("law", 20, seed=9)
    assert max(len(case.text.split()) for case in held) <= longest
    assert sum(a == b for a, b in zip(free, held, strict=True)) >= 10


def test_errors():
    with pytest.raises(OptionError, match="no domain"):
        generate("sport", 1, seed=0)
    with pytest.raises(OptionError, match="0 or more"):
        generate("law", -1, seed=0)
    with pytest.raises(OptionError, match="shortcut"):
        generate("law", 1, seed=0, shortcut=True)
    with pytest.raises(OptionError, match="no phenomenon"):
        contrast("law", "irony", 1, seed=0)


def test_the_showcase_has_what_it_says():
    found = showcase()
    for domain in ALL:
        assert {case.label for case in found[domain]} == set(labels(domain))
        for case in found[domain]:
            assert {"negation", "other_person", "threshold"} <= set(case.phenomena)
    case = found["shortcut"][0]
    fact = next(f for f in case.facts if f.name == "postcode")
    assert case.label == "approve"
    assert case.span(fact).split()[0].rstrip("0123456789") in AREAS_POSITIVE
