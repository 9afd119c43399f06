from itertools import combinations

import numpy as np
import pytest
from tests.students import worlds

import whence
from whence.core.errors import OptionError
from whence.core.statistics.proportions import proportion
from whence.students.certificate.minimal_disagreement import search_disagreements
from whence.students.data.run import Run, Terms
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.teacher.teacher import Teacher

LABELS = ("accept", "reject")


def of_words(worth, base=-0.5):
    """A linear student of unigrams with these weights on the logit of ``reject``."""
    from whence.students.families.sparse_linear import FittedSparseLinear
    from whence.students.features.vectorizer import Features
    from whence.students.fitting.logistic import Linear

    spec = ReadableFeatures(longest=1, least_texts=1)
    known = spec.learn([" ".join(worth)])
    weights = np.array([[worth[f.words]] for f in known.kept])
    found = Linear(np.arange(len(known)), weights, np.array([base]))
    return FittedSparseLinear(LABELS, Features(spec, known.kept), found)


def soft(rule):
    def chances(texts):
        return [[0.1, 0.9] if rule(t.split()) else [0.9, 0.1] for t in texts]

    return Teacher.of(whence.load(chances, labels=LABELS), gives="probability")


def searched(student, teacher, texts, seed=0, **options):
    run = Run(teacher=teacher, terms=Terms(seed=seed))
    return search_disagreements(student, texts, run, **options)


class TestSearch:
    def test_one_word_is_enough_and_is_found(self):
        teacher = soft(lambda words: "late" in words and "debt" in words)
        found = searched(of_words({"late": 1.0}), teacher, ["he was late with a debt"])
        assert found.found.hits == 1
        assert (found.deleted, found.length) == (1.0, 6.0)
        (example,) = found.examples
        assert example.deleted == ("debt",)
        assert example.edited == "he was late with a"
        assert (example.agreed, example.teacher, example.student) == ("reject", "accept", "reject")
        assert (found.teacher_left, found.student_left) == (1, 0)

    def test_the_student_may_be_the_one_that_moves(self):
        teacher = soft(lambda words: "debt" in words)
        found = searched(of_words({"late": 1.0}), teacher, ["he was late with a debt"])
        assert found.examples[0].deleted in (("late",), ("debt",))
        assert found.teacher_left + found.student_left == 1

    def test_two_words_where_one_does_not_do(self):
        """The teacher asks for any of two, the student for a word that is never deleted alone."""
        teacher = soft(lambda words: "late" in words or "debt" in words)
        student = of_words({"he": 1.0})
        found = searched(student, teacher, ["late he debt"], budget=60)
        assert found.found.hits == 1
        assert len(found.examples[0].deleted) == 1
        both = searched(of_words({"zzz": 0.0}, base=0.5), teacher, ["late and debt"], budget=60)
        assert both.examples[0].deleted == ("late", "debt")

    def test_on_every_example_they_disagree_and_no_word_can_be_put_back(self):
        texts = worlds.texts(80, length=6)
        teacher = soft(lambda words: worlds.rule(" ".join(words)) == "reject")
        student = of_words({"late": 2.0, "waived": -2.0}, base=-1.0)
        found = searched(student, teacher, texts, most=20, budget=200)
        assert found.found.n == 20
        assert found.found.hits > 0
        for example in found.examples:
            assert teacher.labels[teacher.ask([example.edited]).top[0]] == example.teacher
            assert student.predict([example.edited]) == [example.student]
            assert example.teacher != example.student
            assert len(example.text.split()) == len(example.edited.split()) + len(example.deleted)

    def test_the_shortest_by_brute_force(self):
        """Where a single word suffices, no more are deleted, whatever the order."""
        texts = worlds.texts(40, length=5, seed=3)
        teacher = soft(lambda words: worlds.rule(" ".join(words)) == "reject")
        student = of_words({"late": 2.0, "waived": -2.0}, base=-1.0)
        single = 0
        for text in texts:
            words = text.split()
            if student.predict([text])[0] != LABELS[teacher.ask([text]).top[0]] or len(words) < 2:
                continue
            shorter = [" ".join(own) for own in combinations(words, len(words) - 1)]
            apart = [
                student.predict([own])[0] != LABELS[teacher.ask([own]).top[0]] for own in shorter
            ]
            found = searched(student, teacher, [text], budget=100)
            if any(apart):
                single += 1
                assert found.deleted == 1.0
        assert single > 0


class TestBudget:
    def test_never_more_than_said(self):
        rng = np.random.default_rng(0)
        texts = [" ".join(rng.permutation(worlds.FILLER)[:20]) for _ in range(30)]
        asked = []
        for budget in (1, 5, 16, 17):
            teacher = soft(lambda words: len(words) > 3)
            always = of_words({"zzz": 0.0}, base=0.5)
            found = searched(always, teacher, texts, most=4, budget=budget)
            assert found.asked == teacher.asked == 4 * (budget + 1)
            assert found.found == proportion(0, 4)
            assert np.isnan(found.deleted)
            asked.append(found.asked)
        assert asked == [8, 24, 68, 72]

    def test_the_same_everywhere_never_disagree(self):
        student = of_words({"late": 1.0})
        teacher = soft(lambda words: "late" in words)
        found = searched(student, teacher, worlds.texts(40), most=10, budget=50)
        assert found.found.hits == 0
        assert found.found.upper == pytest.approx(1 - 0.05 ** (1 / 10))
        assert found.examples == ()
        assert "made to disagree within 50 questions: 0.000" in str(found)

    def test_texts_in_disagreement_are_passed_over(self):
        teacher = soft(lambda words: "debt" in words)
        found = searched(of_words({"late": 1.0}), teacher, ["late he", "he is", "one"], budget=3)
        assert (found.found.n, found.disagreed) == (1, 1)

    def test_same_seed_same_result(self):
        texts = worlds.texts(40, length=8)
        teacher = soft(lambda words: worlds.rule(" ".join(words)) == "reject")
        student = of_words({"late": 2.0, "waived": -2.0}, base=-1.0)
        first = searched(student, teacher, texts, most=8, seed=1)
        again = searched(student, teacher, texts, most=8, seed=1)
        assert (first.found, first.examples) == (again.found, again.examples)

    def test_bare_labels(self):
        rule = lambda texts: ["reject" if "late" in t and "debt" in t else "accept" for t in texts]  # noqa: E731
        teacher = Teacher.of_labels(rule, labels=LABELS)
        found = searched(of_words({"late": 1.0}), teacher, ["a late debt of him"])
        assert found.examples[0].deleted == ("debt",)

    def test_refusals(self):
        with pytest.raises(OptionError):
            searched(of_words({"late": 1.0}), soft(bool), ["a b"], budget=0)
