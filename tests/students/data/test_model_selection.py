import numpy as np
import pytest
from tests.students import worlds

from whence.students.certificate.frontier import Answered, Entry, frontier
from whence.students.data.model_selection import (
    choose_features,
    choose_ngram_weight,
    choose_student,
    losses,
)
from whence.students.data.run import Terms
from whence.students.data.split import split
from whence.students.data.training_set import AnsweredTexts, HoldOut, TrainingSet, TrainingTable
from whence.students.families.registry import FAMILIES, tie_key
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.teacher.teacher import Answers

LABELS = ("accept", "reject")


def answered(texts, rule):
    values = np.array([[0.05, 0.95] if rule(text) else [0.95, 0.05] for text in texts])
    ends = np.array([len(text) for text in texts])
    return Answers(labels=LABELS, gives="probability", values=values, read_to=ends)


def asked(kind, texts, rule):
    return AnsweredTexts(kind, texts, answered(texts, rule), range(len(texts)))


def choices_of(training, select, features=None, groups=None):
    trial, choices = choose_ngram_weight(training, select, features or ReadableFeatures())
    if features is not None:
        return trial.table, choices
    table, more = choose_features(trial, select, groups)
    return table, [*choices, *more]


def chosen(rule, texts, ngrams=(), ngram_rule=None, **options):
    pairs = [asked("text", texts[:400], rule)]
    if ngrams:
        pairs.append(asked("ngram", list(ngrams), ngram_rule or rule))
    select = texts[400:]
    return choices_of(TrainingSet.of(*pairs), asked("text", select, rule), **options)


def late(text):
    return "late" in text.split()


def denied(text):
    """'late' says nothing where something up to three words before denies it."""
    words = text.split()
    return any(
        word == "late" and "never" not in words[max(0, at - 4) : at]
        for at, word in enumerate(words)
    )


def spread(count, seed=0):
    """Texts in which 'never' stands at some distance before 'late', or after it."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        words = list(rng.choice(worlds.FILLER[:20], size=8))
        words.insert(5, "late")
        words.insert(int(rng.integers(2, 8)), "never")
        found.append(" ".join(words))
    return found


def test_denial_is_taken_where_it_tells_something():
    table, choices = chosen(denied, spread(700))
    assert [c.taken for c in choices if "negation" in c.what] == [True]
    assert table.features.spec.negation
    table, choices = chosen(late, worlds.texts(700))
    assert [c.taken for c in choices if "negation" in c.what] == [False]
    assert not table.features.spec.negation


def test_features_that_are_given_are_taken_as_they_are():
    spec = ReadableFeatures(longest=1)
    table, choices = chosen(denied, spread(700), features=spec)
    assert table.features.spec == spec
    assert choices == []


def test_ngrams_of_which_the_teacher_says_strange_things_weigh_nothing():
    words = [*worlds.FILLER, *worlds.SIGNALS]
    texts = worlds.texts(700)
    table, choices = chosen(late, texts, ngrams=words, ngram_rule=lambda text: len(text) % 2 == 0)
    assert [c.taken for c in choices[:2]] == [True, True]
    assert set(table.examples.kinds.tolist()) == {0}
    assert table.table.shape[0] == len(table.examples.texts) == 400
    table, choices = chosen(late, texts, ngrams=words)
    assert not choices[1].taken
    assert set(table.examples.kinds.tolist()) == {0, 2}


def test_groups_of_words_are_taken_where_a_short_student_gains():
    groups = {"fifth": [f"word{i}" for i in range(0, 60, 5)]}

    def by_group(text):
        return sum(word in groups["fifth"] for word in text.split()) >= 3

    table, choices = chosen(by_group, worlds.texts(900), groups=groups)
    assert choices[-1].what == "groups of words"
    assert choices[-1].taken
    assert "taken" in str(choices[-1])
    assert table.features.spec.lexicons == {name: tuple(own) for name, own in groups.items()}


def test_losses_are_the_cross_entropy():
    answers = answered(["late"], late)
    said = np.array([[0.2, 0.8]])
    assert losses(answers, said)[0] == -(0.05 * np.log(0.2) + 0.95 * np.log(0.8))
    assert np.isfinite(losses(answers, np.array([[1.0, 0.0]]))).all()


class TestTies:
    """Between students that are equal in all else their family's first name decides, whatever it is called now."""

    ORDER = ("additive-2", "prototypes-2", "sparse-linear-2", "optimal-tree-2", "rule-list-2",
             "scorecard-2", "decision-tree-2", "tree-sum-2")  # fmt: skip

    @pytest.mark.parametrize("place", range(8))
    def test_the_chosen_student_is_the_first_of_the_old_names(self, place):
        texts = spread(600)
        answers = answered(texts, late)
        training = TrainingTable.learn(
            TrainingSet.of(asked("text", texts, late)), ReadableFeatures(longest=1)
        )
        student = training.fit(SparseLinear(features=1))
        holdout = HoldOut(texts, answers, split(texts), training.features)
        names = self.ORDER[place:]
        assert choose_student(dict.fromkeys(reversed(names), student), holdout)[0] == names[0]

    def test_the_frontier_has_them_in_the_order_of_the_old_names(self):
        chances = np.tile([0.9, 0.1], (5, 1))
        entry = Entry(probabilities=chances, reading=3, control=False)
        answers = Answered(top=np.zeros(5, dtype=np.int64))
        found = frontier(
            dict.fromkeys(reversed(self.ORDER), entry), "rule-list-2", answers, Terms()
        )
        assert tuple(rung.name for rung in found.rungs) == self.ORDER

    def test_every_family_has_a_key_and_sizes_and_signs_stay(self):
        assert {family for family, cls in FAMILIES.items() if cls.readable} == {
            name.removesuffix("-2") for name in self.ORDER
        }
        assert tie_key("sparse-linear-all-signed") == "linear-all-signed"
        assert tie_key("transformer-2x128") == "transformer-2x128"
