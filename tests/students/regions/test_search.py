import functools
import hashlib

import numpy as np
import pytest
from tests.students import worlds

from whence.core.errors import InputError, OptionError, RecordError
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.features.word_features import Feature, Looking, WordFeatures
from whence.students.regions.region import (
    Has,
    Region,
    RegionFeatures,
    Words,
    first_region,
    in_regions,
)
from whence.students.regions.search import Judged, regions
from whence.students.regions.subgroup_scan import Scan, log_ratio
from whence.students.teacher.teacher import Answers

LABELS = ("accept", "reject")


def interacting(text):
    """Late rejects and waived rejects, both together do not: no sum of words says so."""
    words = set(text.split())
    return "reject" if "fraud" in words or ("late" in words) != ("waived" in words) else "accept"


def by_hash(text):
    return LABELS[hashlib.sha256(text.encode()).digest()[0] % 2]


def answers(texts, rule):
    values = 0.9 * worlds.one_hot([rule(text) for text in texts], LABELS) + 0.05
    return Answers(
        labels=LABELS, gives="probability", values=values,
        read_to=np.array([len(text) for text in texts]),
    )  # fmt: skip


@functools.cache
def world(rule, fit, held_out, seed=0):
    """A linear student of a rule, judged on two parts that it has not seen."""
    texts = worlds.texts(fit + 2 * held_out, seed=seed)
    features = ReadableFeatures(longest=1).learn(texts[:fit])
    student = SparseLinear(features=10).fit(
        features.table(texts[:fit]), answers(texts[:fit], rule).probabilities,
        features=features, labels=LABELS,
    )  # fmt: skip
    parts = texts[fit : fit + held_out], texts[fit + held_out :]
    select, report = (
        Judged(part, features.table(part), answers(part, rule), student.predict_proba(part))
        for part in parts
    )
    return select, report, features


def noise(seed, held_out=200):
    """A student that always says the same of a teacher that hashes."""
    texts = worlds.texts(2 * held_out, seed=seed)
    features = ReadableFeatures(longest=1).learn(texts)
    select, report = (
        Judged(part, features.table(part), answers(part, by_hash), np.full((held_out, 2), 0.5))
        for part in (texts[:held_out], texts[held_out:])
    )
    return select, report, features


def found_in(rule, fit, held_out, seed=0, **options):
    select, report, features = world(rule, fit, held_out, seed)
    return regions(select, report, features=features, seed=seed, **options)


def says(part, wrong, features):
    """A part whose student decides as the teacher but where it is told to be wrong."""
    values = part.teacher.values.copy()
    values[wrong] = values[wrong][:, ::-1]
    return Judged(part.texts, part.table, part.teacher, values)


@pytest.fixture(scope="module")
def found():
    return found_in(interacting, 2400, 800)


class TestTheMissingInteraction:
    def test_is_the_first_region_in_words(self, found):
        assert found[0].where == "contains 'waived' and 'late', has no 'fraud'"
        assert found[0].veto
        assert found[0].confirmed

    def test_is_counted_on_report(self, found):
        _, report, _ = world(interacting, 2400, 800)
        inside = np.array(
            [{"late", "waived"} <= set(t.split()) and "fraud" not in t for t in report.texts]
        )
        agreement = found[0].agreement
        assert (agreement.n, agreement.hits) == (inside.sum(), report.same[inside].sum())
        assert agreement.value < 0.1
        assert agreement.level == pytest.approx(1 - 0.05 / len(found))
        outside = ~in_regions(found, report.texts)
        elsewhere = found[0].elsewhere
        assert (elsewhere.n, elsewhere.hits) == (outside.sum(), report.same[outside].sum())
        assert found[0].says == (
            f"{found[0].where}: agrees {agreement.value:.2f} [at least {agreement.lower:.2f}, at "
            f"most {agreement.upper:.2f}] (n={agreement.n}), elsewhere {elsewhere.value:.2f}"
        ).replace("0.", ".")

    def test_shows_the_worst_of_its_texts_side_by_side(self, found):
        select, _, _ = world(interacting, 2400, 800)
        worst = found[0].worst
        assert len(worst) == 3
        for example in worst:
            row = select.texts.index(example.text)
            assert found[0].holds(example.text)
            assert (example.teacher, example.student) == ("accept", "reject")
            assert example.teacher_chance == pytest.approx(0.95)
            assert example.student_chance == select.student[row].max()
        chances = [example.student_chance for example in worst]
        assert chances == sorted(chances, reverse=True)
        assert f"teacher accept (0.95), student reject ({chances[0]:.2f})" in str(found[0])

    def test_holds_on_characters_as_written(self, found):
        assert found[0].holds("Waived! It was LATE.")
        assert not found[0].holds("Waived, and lately")
        assert not found[0].holds("late, waived, fraud")

    def test_written_and_read_back(self, found):
        for region in found:
            again = Region.from_json(region.to_json())
            assert again == region
            assert again.says == region.says
            for text in worlds.texts(100, seed=5):
                assert again.holds(text) == region.holds(text)

    def test_asking_there_leaves_what_agrees(self, found):
        _, report, _ = world(interacting, 2400, 800)
        vetoes = [region for region in found if region.veto]
        asked = in_regions(vetoes, report.texts)
        assert report.same[~asked].mean() > report.same.mean() + 0.05

    def test_same_seed_same_regions(self, found):
        again = found_in(interacting, 2400, 800)
        assert again == found


class TestNothingToFind:
    @pytest.mark.parametrize(
        "seeds", [pytest.param(200, marks=pytest.mark.slow), 15], ids=["slow", "quick"]
    )
    def test_of_a_hash_nothing_is_claimed(self, seeds):
        claimed = vetoed = 0
        for seed in range(seeds):
            select, report, features = noise(seed)
            found = regions(select, report, features=features, permutations=39, seed=seed)
            claimed += any(region.confirmed for region in found)
            vetoed += any(region.veto for region in found)
        # Three standard errors above one in twenty.
        most = seeds * (0.05 + 3 * np.sqrt(0.05 * 0.95 / seeds))
        assert claimed <= most
        assert vetoed <= most

    def test_without_the_second_part_the_first_would_claim_too_much(self):
        """The test above can fail: counted where it was searched, noise looks like a region."""
        claimed = 0
        for seed in range(10):
            select, _, features = noise(seed)
            found = regions(select, select, features=features, permutations=1, worth=1.0)
            claimed += any(region.confirmed for region in found)
        assert claimed >= 8

    def test_a_perfect_student_has_no_region(self):
        select, report, features = noise(0)
        right = says(select, np.zeros(200, dtype=bool), features)
        assert regions(right, report, features=features) == ()

    def test_a_student_that_is_always_wrong_has_none_either(self):
        select, report, features = noise(0)
        wrong = says(select, np.ones(200, dtype=bool), features)
        assert regions(wrong, report, features=features) == ()


class TestKindsOfRegion:
    def parts(self, wrong, sizes=(12, 13), held_out=300):
        """Two parts of texts whose student is wrong where it is told to be."""
        rng = np.random.default_rng(0)
        made = []
        for _ in range(2):
            texts = []
            for _ in range(held_out):
                length = int(rng.integers(*sizes))
                texts.append(" ".join(rng.choice(worlds.FILLER + worlds.SIGNALS, size=length)))
            made.append(texts)
        features = ReadableFeatures(longest=1).learn(made[0])
        return [
            says(
                Judged(t, features.table(t), answers(t, by_hash), np.zeros((len(t), 2))),
                np.array([wrong(text) for text in t]), features,
            )
            for t in made
        ], features  # fmt: skip

    def test_a_length(self):
        (select, report), features = self.parts(lambda t: len(t.split()) > 20, sizes=(5, 26))
        found = regions(select, report, features=features)
        assert len(found) == 1
        (condition,) = found[0].conditions
        # The steps are quantiles: the nearest to 20 is found, a little off it.
        assert condition.over
        assert 19 <= condition.limit <= 21
        assert found[0].where == f"over {condition.limit} words"
        assert found[0].holds("a " * 25)
        assert not found[0].holds("a " * 15)

    def test_an_absence(self):
        """Wrong without a word that most texts have."""
        (select, report), features = self.parts(lambda t: True)
        common = [
            Judged([("the " if i % 4 else "") + t for i, t in enumerate(p.texts)], p.table,
                   p.teacher, p.student)
            for p in (select, report)
        ]  # fmt: skip
        features = ReadableFeatures(longest=1).learn(common[0].texts)
        judged = [
            says(
                Judged(p.texts, features.table(p.texts), p.teacher, p.student),
                np.array([not t.startswith("the ") for t in p.texts]), features,
            )
            for p in common
        ]  # fmt: skip
        found = regions(*judged, features=features)
        assert [region.where for region in found] == ["has no 'the'"]
        assert found[0].agreement.hits == 0
        assert found[0].elsewhere.value == 1.0

    def test_too_few_texts_get_no_number(self):
        (select, report), features = self.parts(lambda t: "late" in t.split())
        few = Judged(
            report.texts[:60], report.table[:60], report.teacher.part(np.arange(60)),
            report.student[:60],
        )  # fmt: skip
        found = regions(select, few, features=features)
        assert found[0].where == "contains 'late'"
        assert (found[0].agreement, found[0].chance, found[0].confirmed) == (None, None, False)
        assert found[0].veto
        assert found[0].on_select.hits == 0
        assert found[0].says == (
            "contains 'late': too few texts to bound it; where it was found .00 of "
            f"{found[0].on_select.n} agree"
        )
        assert Region.from_json(found[0].to_json()).agreement is None

    def test_what_report_contradicts_is_no_veto(self):
        (select, report), features = self.parts(lambda t: "late" in t.split())
        right = says(report, np.zeros(300, dtype=bool), features)
        found = regions(select, right, features=features)
        assert found[0].where == "contains 'late'"
        assert (found[0].agreement.value, found[0].confirmed, found[0].veto) == (1.0, False, False)

    def test_two_regions_share_no_text_twice(self):
        (select, report), features = self.parts(
            lambda t: "late" in t.split() or "fraud" in t.split()
        )
        found = regions(select, report, features=features)
        assert len(found) == 2
        both = [np.array([r.holds(t) for t in select.texts]) for r in found]
        assert not (both[0] & both[1]).any()
        assert {r.agreement.level for r in found} == {0.975}
        first = first_region(found, found[1].worst[0].text)
        assert first is found[1]
        assert first_region(found, "steady") is None


class TestScan:
    def test_log_ratio_is_that_of_the_binomials(self):
        from scipy import stats

        d1, n1, d2, n2 = 6, 10, 2, 30
        apart = stats.binom.logpmf(d1, n1, d1 / n1) + stats.binom.logpmf(d2, n2, d2 / n2)
        p = (d1 + d2) / (n1 + n2)
        one = stats.binom.logpmf(d1, n1, p) + stats.binom.logpmf(d2, n2, p)
        args = (np.array([float(x)]) for x in (d1, n1, d2, n2))
        assert log_ratio(*args)[0] == pytest.approx(apart - one)

    def test_the_first_question_is_the_best_of_all(self):
        rng = np.random.default_rng(0)
        has = rng.random((30, 200)) < 0.3
        marked = (rng.random(200) < np.where(has[7], 0.6, 0.1)).astype(float)
        scan = Scan([np.flatnonzero(row) for row in has], 200, depth=1, least=5)
        found = scan.search(marked, most=5)
        by_hand = [
            log_ratio(*(np.array([float(x)]) for x in (
                marked[row].sum(), row.sum(), marked[~row].sum(), (~row).sum())))[0]
            for row in has
        ]  # fmt: skip
        assert found[0].clear == pytest.approx(max(by_hand))
        assert found[0].path[0].place == int(np.argmax(by_hand)) == 7
        assert np.array_equal(scan.mask(found[0].path), has[7])
        assert len(found) == 1

    def test_conditions_that_are_not_needed_are_dropped(self):
        """The tree asks for the larger region first; the smaller is then a leaf of it."""
        a, b = np.arange(60), np.arange(40, 80)
        marked = np.zeros(200)
        marked[40:80] = 1
        scan = Scan([a, b], 200, depth=2, least=10)
        assert scan.search(marked, most=3)[0].path == ((1, True),)

    def test_sides_are_never_smaller_than_asked(self):
        marked = np.zeros(50)
        marked[:4] = 1
        assert Scan([np.arange(4)], 50, depth=1, least=5).search(marked, most=1) == []
        assert len(Scan([np.arange(4)], 50, depth=1, least=4).search(marked, most=1)) == 1


class TestRefusals:
    def test_parts_that_do_not_fit(self):
        select, report, features = noise(0)
        with pytest.raises(InputError, match="for each of one text or more, got 3 texts"):
            regions(select._replace(texts=select.texts[:3]), report, features=features)
        other = ReadableFeatures(longest=1).learn(["a b", "a b"])
        with pytest.raises(InputError, match="columns"):
            regions(select, report, features=other)
        with pytest.raises(OptionError, match="depth=0"):
            regions(select, report, features=features, depth=0)
        with pytest.raises(OptionError, match="level"):
            regions(select, report, features=features, level=0.2)

    @pytest.mark.parametrize(
        "change",
        [
            {"conditions": [{"column": 5, "there": True}]},
            {"conditions": [{"column": 0, "there": 1}]},
            {"conditions": [{"limit": -1, "over": True}]},
            {"conditions": [{"sounds": 0, "there": True}]},
            {"conditions": "has"},
            {"agreement": {"hits": 3}},
            {"features": {}},
        ],
        ids=str,
    )
    def test_a_damaged_region_is_refused(self, change):
        features = WordFeatures(Looking(longest=1), [Feature("ngram", "late")])
        select, report, known = world(interacting, 2400, 800)
        whole = regions(select, report, features=known, permutations=1, worth=1.0, most=1)[0]
        region = Region(
            conditions=(Has(0, True), Words(9, True)), features=RegionFeatures.of(features),
            agreement=whole.agreement, elsewhere=whole.elsewhere, on_select=whole.on_select,
            chance=0.1, searched=0.1, confirmed=False, veto=False, worst=(),
        )  # fmt: skip
        assert Region.from_json(region.to_json()).where == "contains 'late', over 9 words"
        with pytest.raises(RecordError, match="not a valid 'Region'"):
            Region.from_json({**region.to_tree(), **change})
