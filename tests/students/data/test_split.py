import itertools

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


def naive_similarity(texts):
    """Every pair's weight of what both have over that of what either has, word by word."""

    def weights(sets):
        counts = {x: sum(x in one for one in sets) for x in set().union(*sets)}
        return {x: min(1, np.log10((len(sets) + 20) / count)) for x, count in counts.items()}

    lists = [text.split() for text in texts]
    common = weights({tuple(words) for words in lists})
    sets = [
        set(words)
        | {f"{a} {b}" for a, b in zip(["", *words], words, strict=False) if common[b] < 1}
        for words in lists
    ]
    weight = weights(list(dict.fromkeys(map(frozenset, sets))))
    size = lambda elements: sum(weight[x] for x in elements)  # noqa: E731
    return np.array([[size(a & b) / size(a | b) for b in sets] for a in sets])


def letters(count, forms, seed=0):
    """Letters that a table filled, no two alike."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "name": rng.choice(["Smith", "Jones", "Miller", "Brown", "Gray"]),
            "age": rng.integers(18, 80),
            "amount": f"{rng.integers(500, 50_000):,}",
            "since": rng.integers(1990, 2024),
            "purpose": rng.choice(["car", "boat", "kitchen"]),
            "married": rng.choice(["yes", "no"]),
            "owner": rng.choice(["yes", "no"]),
        }
        for _ in range(count)
    ]
    return [forms[rng.integers(len(forms))].format(**row) for row in rows]


FORMS = (
    "Dear bank, my name is {name}, I am {age} years old and have been employed since {since}. I "
    "ask for a loan of {amount} EUR for a {purpose}. Married: {married}. Owner: {owner}. Yours.",
    "Application of {name}, age {age}. Employed since {since}. Purpose: {purpose}. Amount asked for: "
    "{amount}. Is the applicant married? {married}. Does the applicant own a house? {owner}. Checked.",
    "To whom it may concern: we, the undersigned branch, hand on what {name} ({age}) asks of us, "
    "namely {amount} EUR to buy a {purpose}; at work since {since}; {married} and {owner} were said.",
)


class TestDuplicates:
    @pytest.mark.parametrize("forms", [FORMS[:1], FORMS[:2], FORMS])
    def test_letters_of_a_table_are_no_duplicates_of_each_other(self, forms):
        texts = letters(600, forms)
        assert len(set(near_duplicates(texts).tolist())) >= 590
        # A letter sent again with one more word is what its first copy was.
        again = near_duplicates([*texts, *(f"{text} Thanks" for text in texts[:50])])
        assert again[600:].tolist() == again[:50].tolist()

    def test_the_same_words_in_another_place_are_another_row(self):
        """Words alone would make these sixteen rows two: yes and no, or one of them."""
        rows = list(itertools.product(["yes", "no"], repeat=4))
        texts = [f"house {a} married {b} debts {c} employed {d}" for a, b, c, d in rows]
        assert len(set(near_duplicates(texts, threshold=1.0).tolist())) == 16

    def test_groups_are_those_of_all_pairs_compared(self):
        base = sentences(60, length=25)
        rng = np.random.default_rng(1)
        texts = list(base)
        for text in base[:20]:
            words = text.split()
            words[int(rng.integers(25))] = "changed"
            texts.append(" ".join(words))

        groups = near_duplicates(texts, threshold=0.7)
        alike = naive_similarity(texts) >= 0.7
        assert all(groups[a] == groups[b] for a, b in np.argwhere(alike).tolist())
        assert alike.sum() > len(texts)
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
            duplicates, "_similarity", lambda *pair: compared.append(1) or exact(*pair)
        )
        base = sentences(1, length=30)[0]
        # Among texts that do not share its words: of nothing but one form, letters are rows.
        texts = [f"{base} {i}" for i in range(500)] + [f"other{i}" for i in range(4500)]
        groups = near_duplicates(texts)
        assert set(groups[:500].tolist()) == {0}
        # One comparison joins a text to its group; all pairs would be 124,750.
        assert len(compared) <= 1_000

    def test_letters_of_one_form_do_not_take_the_square_of_their_number(self, monkeypatch):
        """Thirty shared words, which weigh next to nothing, and ten of each letter alone."""
        compared = []
        exact = duplicates._similarity
        monkeypatch.setattr(
            duplicates, "_similarity", lambda a, b, w: compared.append((a, b)) or exact(a, b, w)
        )
        form = " ".join(f"form{i}" for i in range(30))
        own = [[f"own{i}x{k}" for k in range(10)] for i in range(1000)]
        own += [[*words[:9], f"other{i}"] for i, words in enumerate(own[:20])]
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
