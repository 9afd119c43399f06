import numpy as np
import pytest
from scipy import sparse
from tests.students import worlds

import whence
from whence.core.errors import InputError, OptionError
from whence.core.statistics.proportions import proportion
from whence.students.certificate.distribution_shift import Shift, other_corpora, other_topics
from whence.students.certificate.topics import topical_words, topics
from whence.students.data.run import Run, Terms
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.vectorizer import ReadableFeatures
from whence.students.fitting.clustering import kmeans, rarity_weighted, reduced
from whence.students.teacher.backends import Replies
from whence.students.teacher.teacher import Teacher

LABELS = ("accept", "reject")
SUBJECTS = {"bank": "debt", "film": "dull", "sport": "lost"}


def subjects(each=100, seed=0):
    """Texts of three subjects; each has its own words and its own word that rejects."""
    rng = np.random.default_rng(seed)
    texts, answers, subject = [], [], []
    for row in range(3 * each):
        name = list(SUBJECTS)[row % 3]
        found = [f"{name}{i}" for i in rng.integers(0, 25, 10)]
        found += [f"common{i}" for i in rng.integers(0, 25, 3)]
        bad = bool(rng.random() < 0.4)
        if bad:
            found.append(SUBJECTS[name])
        rng.shuffle(found)
        texts.append(" ".join(found))
        answers.append("reject" if bad else "accept")
        subject.append(row % 3)
    return texts, answers, np.array(subject)


def prepared(each=100, seed=0):
    texts, answers, subject = subjects(each, seed)
    features = ReadableFeatures(longest=1).learn(texts)
    return features.table(texts), worlds.one_hot(answers, LABELS), features, subject


def run(world, student=None, **options):
    table, targets, features, _ = world
    own = SparseLinear(features=6) if student is None else student
    clusters = options.pop("clusters", 3)
    training = worlds.training(table, targets, features, LABELS, **options)
    return other_topics(own, training, Terms(), clusters=clusters)


def corpora_of(student, teacher, corpora, **options):
    return other_corpora(student, corpora, Run(teacher=teacher), **options)


class TestTopics:
    def test_subjects_are_found(self):
        table, _, _, subject = prepared()
        found = topics(table, 3)
        for own in range(3):
            assert len(set(found[subject == own].tolist())) == 1
        assert len(set(found.tolist())) == 3
        assert np.array_equal(found, topics(table, 3))

    def test_words_of_many_texts_have_no_topic(self):
        texts = [f"the {'bank' if i % 2 else 'film'} number{i}" for i in range(20)]
        features = ReadableFeatures(longest=2, least_texts=1).learn(texts)
        found = topical_words(features.table(texts), features, 2)
        names = {features.kept[column].words for column in found.tolist()}
        assert names == {"bank", "film", *(f"number{i}" for i in range(20))}
        # One text without it, since a word of nearly all texts is no feature.
        texts[0] = texts[0].removeprefix("the ")
        alone = ReadableFeatures(longest=1, least_texts=19).learn(texts)
        assert topical_words(alone.table(texts), alone, 2).tolist() == [0]

    def test_what_no_other_topic_teaches_is_not_known(self):
        """Each subject has a word of its own, so a student fitted on the others misses it."""
        world = prepared()
        found = run(world)
        assert len(found.topics) == 3
        _, targets, _, subject = world
        by_name = {own: f for own in SUBJECTS for name, f in found.topics.items() if own in name}
        assert set(by_name) == set(SUBJECTS)
        for own, name in enumerate(SUBJECTS):
            accepted = int((targets[subject == own, 0] == 1).sum())
            assert by_name[name].agreement == proportion(accepted, 100, level=1 - 0.05 / 3)
            assert by_name[name].majority == pytest.approx(accepted / 100)
            assert by_name[name].kappa == pytest.approx(0.0)
        assert found.at_random.value > 0.97
        assert found.worst == min(found.topics, key=lambda n: found.topics[n].agreement.value)
        assert "left out of the fit" in str(found)

    def test_documents_are_left_out_whole_and_tested_once(self):
        """Copies in the fit, each under its document, must not give the answer away."""
        table, targets, features, subject = prepared(40)
        twice = sparse.csr_array(sparse.vstack([table, table]))
        rows = np.arange(120)
        world = (twice, np.vstack([targets, targets]), features, subject)
        found = run(world, groups=np.concatenate([rows, rows]))
        alone = run((table, targets, features, subject))
        assert [f.texts for f in found.topics.values()] == [40, 40, 40]
        assert [f.agreement.hits for f in found.topics.values()] == [
            f.agreement.hits for f in alone.topics.values()
        ]
        # The same copies as documents of their own do give it away.
        kinds = np.concatenate([np.zeros(120, dtype=int), np.ones(120, dtype=int)])
        leaked = run(world, kinds=kinds)
        assert min(f.agreement.value for f in leaked.topics.values()) == 1.0

    def test_a_common_rule_holds_everywhere(self):
        table, _, features, _ = prepared()
        column = next(j for j, f in enumerate(features.kept) if f.words == "common3")
        there = table.toarray()[:, column]
        found = run((table, np.stack([1 - there, there], 1), features, None))
        assert all(f.agreement.value == 1.0 for f in found.topics.values())

    def test_few_texts_get_no_number(self):
        found = run(prepared(20))
        assert [f.agreement for f in found.topics.values()] == [None] * 3
        assert found.worst is None
        assert "n too small (n=20)" in str(found)
        assert "worst: not measured" in str(found)

    def test_refusals(self):
        world = prepared(10)
        with pytest.raises(OptionError, match="clusters"):
            run(world, clusters=1)
        with pytest.raises(InputError, match="one target, kind, weight and group a text"):
            run(world, groups=np.zeros(4, dtype=int))

    @pytest.mark.parametrize("rows", [4, 60])
    def test_texts_that_nothing_tells_apart_have_no_topics(self, rows):
        """The same words in every text, and so many or few that they are clustered or not."""
        features = ReadableFeatures(longest=1, least_texts=1).learn([" ".join("abcdefghij" * 4)])
        width = len(features)
        targets = np.tile([[1.0, 0.0]], (rows, 1))
        table = sparse.csr_array(np.ones((rows, width)))
        found = run((table, targets, features, None))
        assert (found.topics, found.at_random, found.one_topic) == ({}, None, True)
        assert "the texts could not be divided into topics" in str(found)
        assert found.worst is None

    def test_fewer_texts_than_topics_have_none(self):
        texts = ["paid late", "paid in time"]
        features = ReadableFeatures(longest=1, least_texts=1).learn(texts)
        found = run((features.table(texts), np.eye(2), features, None))
        assert (found.topics, found.one_topic) == ({}, True)

    def test_a_table_of_zeros_is_reduced_to_zeros(self):
        assert np.array_equal(reduced(sparse.csr_array((50, 40)), 5), np.zeros((50, 5)))


class TestCorpora:
    def teacher(self):
        rule = lambda texts: [[0.1, 0.9] if "late" in t else [0.9, 0.1] for t in texts]  # noqa: E731
        return Teacher.of(whence.load(rule, labels=LABELS), gives="probability")

    def student(self, texts, teacher):
        features = ReadableFeatures(longest=1).learn(texts)
        return SparseLinear(features=3).fit(
            features.table(texts), teacher.ask(texts).probabilities, features=features,
            labels=LABELS,
        )  # fmt: skip

    def test_each_has_its_bound_and_all_hold_at_once(self):
        teacher = self.teacher()
        student = self.student(worlds.texts(200), teacher)
        same = worlds.texts(60, seed=5)
        odd = [f"belated{i} thing number {i} of {i * 7}" for i in range(50)]
        before = teacher.asked
        found = corpora_of(student, teacher, {"same": same, "odd": odd})
        assert found.asked == teacher.asked - before == 110
        assert found.corpora["same"].agreement == proportion(60, 60, level=0.975)
        # The teacher sees "late" within a word; the student does not.
        assert found.corpora["odd"].agreement.value == 0.0
        assert found.corpora["odd"].majority == 1.0
        assert found.worst == "odd"

    def test_repeats_count_once(self):
        teacher = self.teacher()
        student = self.student(worlds.texts(200), teacher)
        texts = worlds.texts(40, seed=5)
        found = corpora_of(student, teacher, {"letters": texts * 3})
        assert found.corpora["letters"].texts == 40

    def test_texts_learnt_from_are_not_elsewhere(self):
        teacher = self.teacher()
        texts = worlds.texts(200)
        student = self.student(texts, teacher)
        near = [f"{text} {text.split()[0]}" for text in texts[:50]]
        new = worlds.texts(40, seed=5)
        corpus = {"again": [*texts, *near, *new], "only": texts}
        blind = corpora_of(student, teacher, corpus).corpora["again"]
        assert (blind.texts, blind.known) == (240, 0)
        before = teacher.asked
        found = corpora_of(student, teacher, corpus, learnt=texts)
        assert found.asked == teacher.asked - before == 0
        assert (found.corpora["again"].texts, found.corpora["again"].known) == (40, 250)
        assert found.corpora["again"].agreement.n == 40
        assert "; 250 left out that were learnt from" in str(found)
        only = found.corpora["only"]
        assert (only.texts, only.known, only.agreement) == (0, 200, None)
        assert np.isnan(only.kappa)
        assert np.isnan(only.majority)

    def test_what_was_learnt_may_have_been_cut(self):
        """The teacher reads twenty words; what follows makes no other text of it."""

        class Cut:
            gives, labels, ref, fingerprint = "label", LABELS, "cut", "cut 1"

            def answer(self, texts):
                ends = [len(" ".join(text.split(" ")[:20])) for text in texts]
                says = [float("late" in t[:e]) for t, e in zip(texts, ends, strict=True)]
                values = np.stack([1 - np.array(says), says], 1)
                return Replies(values, np.array(ends, dtype=np.int64))

        teacher = Teacher(Cut())
        learnt = worlds.texts(60, length=25)
        student = self.student(learnt, teacher)
        cut = [" ".join(text.split(" ")[:20]) for text in learnt]
        longer = [f"{text} " + " ".join(f"more{i}x{k}" for k in range(30))
                  for i, text in enumerate(learnt)]  # fmt: skip
        found = corpora_of(student, teacher, {"longer": longer}, learnt=cut)
        assert (found.corpora["longer"].texts, found.corpora["longer"].known) == (0, 60)

    def test_an_empty_corpus_is_refused(self):
        teacher = self.teacher()
        with pytest.raises(InputError, match="'none'"):
            corpora_of(self.student(worlds.texts(50), teacher), teacher, {"none": []})

    def test_both_kinds_go_together(self):
        teacher = self.teacher()
        student = self.student(worlds.texts(200), teacher)
        there = corpora_of(student, teacher, {"letters": worlds.texts(40, seed=9)})
        both = run(prepared(40)) | there
        assert len(both.topics) == 3
        assert set(both.corpora) == {"letters"}
        assert both.at_random is not None
        with pytest.raises(OptionError, match="level"):
            both | Shift(topics={}, at_random=None, corpora={}, level=0.9)


class TestClustering:
    def test_kmeans_recovers_clouds_and_reaches_the_least_squares(self):
        rng = np.random.default_rng(0)
        means = rng.normal(0, 10, (4, 3))
        own = rng.integers(0, 4, 200)
        points = means[own] + rng.normal(0, 0.1, (200, 3))
        found = kmeans(points, 4)
        assert len(set(zip(own.tolist(), found.tolist(), strict=True))) == 4
        assert np.bincount(found).tolist() == sorted(np.bincount(own).tolist(), reverse=True)

    def test_equal_points_make_one_cluster(self):
        assert set(kmeans(np.zeros((6, 2)), 3).tolist()) == {0}
        with pytest.raises(OptionError):
            kmeans(np.zeros((2, 2)), 3)

    def test_reduced_keeps_distances_of_a_table_of_that_rank(self):
        rng = np.random.default_rng(0)
        x = rng.random((30, 3)) @ rng.random((3, 40))
        found = reduced(sparse.csr_array(x), 3, seed=1)
        assert found.shape == (30, 3)
        assert np.allclose(found @ found.T, x @ x.T)
        assert np.array_equal(found, reduced(sparse.csr_array(x), 3, seed=1))
        assert np.array_equal(reduced(sparse.csr_array(x), 40), x)

    def test_rarity_by_hand(self):
        x = np.array([[1.0, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]])
        found = rarity_weighted(sparse.csr_array(x)).toarray()
        weights = np.log(4 / np.array([3, 1, 2])) * x
        length = np.linalg.norm(weights, axis=1, keepdims=True)
        assert np.allclose(found, weights / np.where(length > 0, length, 1))

    def test_the_global_random_state_is_left_alone(self):
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        topics(prepared(20)[0], 3)
        assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
