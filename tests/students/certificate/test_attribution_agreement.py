import numpy as np
import pytest
from scipy.stats import spearmanr
from tests.students import worlds

import whence
from whence.core.errors import OptionError
from whence.students.certificate.attribution_agreement import attribution_agreement, without
from whence.students.data.run import Run, Terms
from whence.students.families.base import Evidence, Fitted, ReadingCost
from whence.students.families.rule_list import RuleList
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.teacher.teacher import Teacher

WORTH = {word: float(w) for word, w in zip(worlds.FILLER, np.linspace(-2, 2.3, 60), strict=True)}
LABELS = ("accept", "reject")


def distinct(count, length, seed=0):
    """Texts of words that each stand once, so that no two effects are equal."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.permutation(worlds.FILLER)[:length]) for _ in range(count)]


def scores(texts):
    return [[0.0, sum(WORTH.get(word, 0.0) for word in text.split())] for text in texts]


def additive(gives="logit"):
    def chances(texts):
        z = np.array(scores(texts))[:, 1]
        p = 1 / (1 + np.exp(-z))
        return np.stack([1 - p, p], 1)

    function = scores if gives == "logit" else chances
    return Teacher.of(whence.load(function, labels=LABELS), gives=gives)


class Says(Fitted):
    """Decides for ``reject`` and names every word with a share of the caller's."""

    kind = "says"

    def __init__(self, share):
        super().__init__(LABELS, ReadableFeatures(least_texts=1).learn(["a"]))
        self.share = share

    def predict_proba(self, texts, read_to=None):
        return np.tile([0.2, 0.8], (len(texts), 1))

    def probabilities(self, table):
        return np.tile([0.2, 0.8], (table.shape[0], 1))

    def explain(self, text):
        evidence, at = [], 0
        for word in text.split():
            start = text.index(word, at)
            at = start + len(word)
            share = self.share(word)
            evidence.append(Evidence(word, ((start, at),), np.array([-share, share])))
        evidence.append(Evidence("no fraud", (), np.array([-9.0, 9.0])))
        return self._reasons(text, np.zeros(2), evidence, "logit")

    reading_cost = ReadingCost(0, 0)

    def to_json(self):
        return {}

    def to_text(self):
        return ""


def agreement(student, teacher, texts, seed=0, **options):
    run = Run(teacher=teacher, terms=Terms(seed=seed))
    return attribution_agreement(student, texts, run, **options)


class TestWithout:
    def test_all_spans_and_spaces(self):
        assert without(" a  late, b late\nc", [(4, 8), (12, 16)]) == "a , b c"
        assert without("abcdef", [(1, 4), (2, 3)]) == "aef"
        assert without("abc", []) == "abc"


class TestAgreement:
    def test_the_truth_scores_one_and_its_reverse_minus_one(self):
        texts = distinct(12, 8)
        found = agreement(Says(lambda w: WORTH[w]), additive(), texts)
        assert found.correlation.value == pytest.approx(1.0)
        assert found.overlap.value == pytest.approx(1.0)
        assert found.chance < 0.01
        turned = agreement(Says(lambda w: -WORTH[w]), additive(), texts)
        assert turned.correlation.value == pytest.approx(-1.0)
        assert turned.chance == 1.0
        # The weightiest are the same, whatever their sign.
        assert turned.overlap.value == pytest.approx(1.0)

    def test_probabilities_rank_as_logits_do(self):
        texts = distinct(12, 6)
        student = Says(lambda w: WORTH[w] ** 2)
        found = agreement(student, additive(), texts)
        other = agreement(student, additive("probability"), texts)
        assert other.correlation.value == pytest.approx(found.correlation.value)

    def test_by_scipy(self):
        """One text, log-odds worked out apart, ranks by SciPy."""
        text = "word3 word50 word20 word41 word9"
        share = {"word3": 1.0, "word50": 1.0, "word20": -1.0, "word41": 0.5, "word9": 0.0}
        teacher = additive("probability")
        found = agreement(Says(share.get), teacher, [text])
        parts = text.split()

        def log_odds(words):
            p = teacher.ask([" ".join(words)]).probabilities[0, 1]
            return np.log(p / (1 - p))

        effects = [log_odds(parts) - log_odds([w for w in parts if w != out]) for out in parts]
        expected = spearmanr([share[w] for w in parts], effects).statistic
        assert found.correlation.value == pytest.approx(expected)

    def test_random_contributions_give_what_is_said_of_them(self):
        texts = distinct(300, 9)
        rng = np.random.default_rng(0)
        found = agreement(
            Says(lambda w: float(rng.normal())), additive(), texts, most=300, permutations=200
        )
        assert found.correlation.value == pytest.approx(0.0, abs=0.06)
        assert found.overlap.value == pytest.approx(found.overlap_at_random, abs=0.05)
        assert found.chance > 0.01

    def test_equal_contributions_rank_nothing(self):
        texts = distinct(20, 8)
        found = agreement(Says(lambda w: 1.0), additive(), texts)
        assert found.correlation.value == 0.0
        assert found.overlap.value == pytest.approx(found.overlap_at_random)
        assert found.chance == 1.0

    def test_a_student_of_the_teacher_beats_chance(self):
        texts = distinct(400, 8)
        teacher = additive()
        features = ReadableFeatures(longest=1).learn(texts)
        student = SparseLinear(features=40).fit(
            features.table(texts[:350]), teacher.ask(texts[:350]).probabilities,
            features=features, labels=LABELS,
        )  # fmt: skip
        found = agreement(student, teacher, texts[350:])
        assert found.correlation.lower > 0.7
        assert "rank correlation" in str(found)


class TestWhatCounts:
    def test_the_cost_is_pieces_and_whole_texts(self):
        teacher = additive()
        found = agreement(Says(lambda w: WORTH[w]), teacher, ["word1 word2 word3", "word4 word5"])
        # The last piece of two leaves one word, which is a text of its own.
        assert (found.asked, teacher.asked, found.pieces) == (2 + 5, 7, 5)

    def test_texts_of_one_piece_are_counted_and_not_asked(self):
        teacher = additive()
        found = agreement(Says(lambda w: WORTH[w]), teacher, ["word1", "word1  "])
        assert (found.too_few, found.correlation.n, teacher.asked) == (2, 0, 0)
        assert np.isnan(found.correlation.value)
        assert "not measured" in str(found)

    def test_bare_labels_change_or_do_not(self):
        rule = lambda texts: ["reject" if "word1 " in t + " " else "accept" for t in texts]  # noqa: E731
        teacher = Teacher.of_labels(rule, labels=LABELS)
        share = {"word1": 1.0, "word2": 0.0, "word3": 0.0, "word4": 0.0}
        found = agreement(
            Says(share.get), teacher, ["word1 word2 word3 word4", "word2 word3 word4"]
        )
        assert found.unit == "decision"
        assert (found.correlation.n, found.unmoved) == (1, 1)
        assert found.correlation.value == pytest.approx(1.0)
        # Two are compared: word1 and one of three equals, on either side.
        assert found.overlap.value == pytest.approx((1 + 3 * (1 / 3) ** 2) / 2)

    def test_rules_count_by_their_characters_alone(self):
        texts = worlds.texts(200)
        features = ReadableFeatures(longest=1).learn(texts)
        rule = lambda given: [worlds.rule(t) for t in given]  # noqa: E731
        teacher = Teacher.of_labels(rule, labels=LABELS)
        student = RuleList(rules=3).fit(
            features.table(texts), teacher.ask(texts).values, features=features, labels=LABELS
        )
        found = agreement(student, teacher, texts[:50])
        assert (found.too_few, found.pieces) == (50, 0)

    def test_most_and_seed(self):
        texts = distinct(60, 6)
        student = Says(lambda w: WORTH[w] ** 3 - w.count("1"))
        first = agreement(student, additive(), texts, most=10, seed=1)
        assert first.correlation.n == 10
        assert first == agreement(student, additive(), texts, most=10, seed=1)
        assert first != agreement(student, additive(), texts, most=10, seed=2)

    def test_refusals(self):
        with pytest.raises(OptionError):
            agreement(Says(lambda w: 1.0), additive(), ["a b"], most=0)
