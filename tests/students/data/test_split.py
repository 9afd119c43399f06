import numpy as np
import pytest
from scipy import stats

import whence
from whence.core.errors import InputError, OptionError
from whence.core.statistics.proportions import bootstrap, least_certified, proportion
from whence.students.data import near_duplicates as duplicates
from whence.students.data.near_duplicates import near_duplicates
from whence.students.data.run import Run
from whence.students.data.split import PARTS, noise_ceiling, split
from whence.students.teacher.teacher import Teacher


def sentences(count, seed=0, length=12):
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(400)]
    return [" ".join(rng.choice(words, size=length)) for _ in range(count)]


class TestDuplicates:
    def test_groups_are_those_of_all_pairs_compared(self):
        base = sentences(60, length=25)
        rng = np.random.default_rng(1)
        texts = list(base)
        for text in base[:20]:
            words = text.split()
            words[int(rng.integers(25))] = "changed"
            texts.append(" ".join(words))

        groups = near_duplicates(texts, threshold=0.7)
        for a in range(len(texts)):
            for b in range(a):
                one, two = set(texts[a].split()), set(texts[b].split())
                if len(one & two) / len(one | two) >= 0.7:
                    assert groups[a] == groups[b]
        assert len(set(groups[:60].tolist())) == 60

    def test_a_template_with_one_word_filled_in_is_one_text(self):
        rng = np.random.default_rng(0)
        base = [sentence.split() for sentence in sentences(60)]
        texts = [
            " ".join([*words[:6], f"name{filled}", *words[7:]])
            for words in base
            for filled in rng.integers(10**6, size=10)
        ]
        groups = near_duplicates(texts)
        assert groups.tolist() == np.repeat(np.arange(60), 10).tolist()

    def test_a_large_group_does_not_take_the_square_of_its_texts(self, monkeypatch):
        compared = []
        exact = duplicates._similarity
        monkeypatch.setattr(
            duplicates, "_similarity", lambda a, b: compared.append(1) or exact(a, b)
        )
        base = sentences(1, length=30)[0]
        groups = near_duplicates([f"{base} {i}" for i in range(500)])
        assert set(groups.tolist()) == {0}
        # One comparison joins a text to its group; all pairs would be 124,750.
        assert len(compared) <= 1_000

    def test_letters_of_one_form_do_not_take_the_square_of_their_number(self, monkeypatch):
        """Thirty shared words and five of each: a similarity of .75, which joins none."""
        compared = []
        exact = duplicates._similarity
        monkeypatch.setattr(
            duplicates, "_similarity", lambda a, b: compared.append((a, b)) or exact(a, b)
        )
        form = " ".join(f"form{i}" for i in range(30))
        own = [[f"own{i}x{k}" for k in range(5)] for i in range(1000)]
        own += [[*words[:4], f"other{i}"] for i, words in enumerate(own[:20])]
        groups = near_duplicates([f"{form} {' '.join(words)}" for words in own])
        assert groups.tolist() == [*range(1000), *range(20)]
        # All pairs would be 520,000.
        assert len(compared) < 250_000
        assert len(set(compared)) == len(compared)

    def test_hashes_that_once_collided(self):
        assert near_duplicates(["plumless", "buckeroo"]).tolist() == [0, 1]

    def test_case_and_marks_do_not_tell_texts_apart(self):
        assert near_duplicates(["One two, three!", "one TWO three"]).tolist() == [0, 0]

    def test_order_of_threshold(self):
        with pytest.raises(OptionError):
            near_duplicates(["a"], threshold=0.0)


class TestSplit:
    def test_no_group_is_on_two_sides_and_nothing_is_lost(self):
        texts = sentences(400)
        texts += [text + " end" for text in texts[:100]]
        parts = split(texts, threshold=0.6)
        owners: dict[int, set[str]] = {}
        for part in PARTS:
            for row in parts.rows(part).tolist():
                owners.setdefault(int(parts.groups[row]), set()).add(part)
        assert all(len(found) == 1 for found in owners.values())
        assert len(owners) == len(set(parts.groups.tolist()))

    def test_shares_are_met(self):
        parts = split(sentences(1000))
        assert [len(parts.rows(part)) for part in PARTS] == [600, 100, 200, 100]

    def test_same_seed_same_split_and_another_differs(self):
        texts = sentences(400)
        one, two, other = split(texts), split(texts), split(texts, seed=1)
        assert np.array_equal(one.fit, two.fit)
        assert not np.array_equal(one.fit, other.fit)
        assert one.digest(texts, "certify") == two.digest(texts, "certify")
        assert one.digest(texts, "certify") != other.digest(texts, "certify")

    def test_certify_holds_each_duplicate_once(self):
        texts = [text for text in sentences(400) for _ in range(3)]
        parts = split(texts)
        assert len(set(parts.groups[parts.certify].tolist())) == len(parts.certify)
        assert len(parts.fit) > 2 * len(set(parts.groups[parts.fit].tolist()))

    def test_large_groups_do_not_starve_the_parts_that_keep_one_of_each(self):
        texts = [text for text in sentences(30) for _ in range(20)] + sentences(370, seed=9)
        parts = split(texts)
        sizes = [len(set(parts.groups[parts.rows(part)].tolist())) for part in PARTS]
        assert sizes == [240, 40, 80, 40]
        for part in PARTS[1:]:
            assert len(parts.rows(part)) == len(set(parts.groups[parts.rows(part)].tolist()))

    @pytest.mark.parametrize("texts", [["one"] * 1000, sentences(10), []])
    def test_too_few_distinct_texts(self, texts):
        with pytest.raises(InputError, match="expected 300 groups"):
            split(texts)

    def test_shares_that_are_none(self):
        with pytest.raises(OptionError):
            split(sentences(400), shares=(0.5, 0.5, 0.5, 0.5))


class TestBounds:
    def test_clopper_pearson_is_scipys(self):
        for hits, n in [(0, 20), (7, 20), (20, 20), (930, 1000)]:
            ours = proportion(hits, n)
            theirs = stats.binomtest(hits, n).proportion_ci(0.90, method="exact")
            assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high))

    @pytest.mark.parametrize(("n", "p"), [(50, 0.9), (200, 0.95)])
    def test_the_lower_bound_is_above_the_truth_at_most_in_one_of_twenty(self, n, p):
        hits = np.arange(n + 1)
        above = np.array([proportion(int(k), n).lower > p for k in hits])
        assert stats.binom.pmf(hits, n, p)[above].sum() <= 0.05

    def test_least_certified_is_least(self):
        n = least_certified(0.95)
        assert proportion(n, n).lower >= 0.95 > proportion(n - 1, n - 1).lower

    def test_bootstrap_covers_a_mean(self):
        rng = np.random.default_rng(0)
        covered = 0
        for run in range(100):
            x = rng.normal(size=100)
            found = bootstrap(lambda rows, x=x: float(x[rows].mean()), 100, draws=200, seed=run)
            covered += found.lower <= 0.0 <= found.upper
        assert covered >= 88


class TestNoise:
    def test_a_teacher_that_never_wavers_agrees_with_itself(self):
        model = whence.load(lambda t: [[0.1, 0.9]] * len(t), labels=["a", "b"])
        found = noise_ceiling(Run(teacher=Teacher.of(model, gives="probability")), sentences(120))
        assert (found.hits, found.n) == (100, 100)

    def test_a_coin_agrees_with_itself_half_the_time(self):
        rng = np.random.default_rng(0)
        teacher = Teacher.of_labels(
            lambda t: [("a", "b")[int(i)] for i in rng.integers(0, 2, len(t))], labels=["a", "b"]
        )
        found = noise_ceiling(Run(teacher=teacher), sentences(400), most=400)
        assert found.lower < 0.5 < found.upper
