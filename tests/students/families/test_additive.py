import numpy as np
import pytest
from scipy import sparse
from tests.students import worlds

from whence.core.errors import OptionError
from whence.students.families.additive import Additive
from whence.students.families.sparse_linear import SparseLinear
from whence.students.fitting.logistic import all_logits, softmax
from whence.students.fitting.sparse import dense

LABELS = ("no", "yes")


def fitted(table, features, targets, weights=None, **settings):
    labels = LABELS if targets.shape[1] == 2 else tuple("abcdef"[: targets.shape[1]])
    student = Additive(**settings)
    return student.fit(table, targets, features=features, labels=labels, weights=weights)


def own(student, table, features):
    return sparse.csr_array(table[:, student.features.columns_in(features)])


def pairs_of(student):
    kept = student.features.kept
    return {(kept[first].words, kept[second].words) for first, second in student.pairs}


class TestPlantedTruth:
    @pytest.mark.parametrize("labels", [2, 3])
    def test_a_pair_is_recovered_with_its_number(self, labels):
        """Three features count, two of them more together than alone, and 37 do not."""
        table, features = worlds.table(4000, 40, density=0.3)
        has = dense(table)
        rng = np.random.default_rng(labels)
        truth = all_logits(rng.normal(size=(5, labels)) * 1.5)
        design = np.column_stack(
            [np.ones(4000), has[:, 4], has[:, 11], has[:, 30], has[:, 4] * has[:, 30]]
        )
        targets = softmax(design @ truth)
        student = fitted(table, features, targets, columns=20, pairs=3, strength=1e-4)
        assert ("f0004", "f0030") in pairs_of(student)
        place = student.pairs[0]
        assert tuple(student.features.kept[c].words for c in place) == ("f0004", "f0030")
        count = len(student.features)
        assert student.adds[count] == pytest.approx(truth[4], abs=0.01)
        assert student.base == pytest.approx(truth[0], abs=0.01)
        for word, row in (("f0004", 1), ("f0011", 2), ("f0030", 3)):
            column = [f.words for f in student.features.kept].index(word)
            assert student.adds[column] == pytest.approx(truth[row], abs=0.01)
        assert student.probabilities(own(student, table, features)) == pytest.approx(
            targets, abs=0.005
        )

    def test_hard_answers_of_a_pair(self):
        """What no sum over single features follows."""
        table, features = worlds.table(3000, 25, density=0.4)
        has = dense(table) > 0
        yes = (has[:, 2] & ~has[:, 9]) | (has[:, 9] & ~has[:, 2] & has[:, 17])
        targets = np.column_stack([~yes, yes]).astype(float)
        found = {}
        for student in (Additive(columns=25), SparseLinear(features=25)):
            learnt = student.fit(table, targets, features=features, labels=LABELS)
            answers = learnt.probabilities(own(learnt, table, features))
            found[student.name] = (answers.argmax(axis=1) == yes).mean()
        assert found["additive-25"] > 0.97 > 0.9 > found["sparse-linear-25"]


class TestWhichPairs:
    def test_none_where_the_teacher_is_a_sum(self):
        """Of 300 candidates the best is taken by chance in about one world of twenty."""
        taken = 0
        for seed in range(20):
            table, features = worlds.table(800, 25, density=0.3, seed=seed)
            rng = np.random.default_rng(seed)
            weight = np.where(np.arange(25) < 6, rng.normal(size=25), 0.0)
            yes = rng.random(800) < 1 / (1 + np.exp(-dense(table) @ weight))
            targets = np.column_stack([~yes, yes]).astype(float)
            taken += len(fitted(table, features, targets, columns=25).pairs) > 0
        assert taken <= 3

    def test_none_beside_a_rare_word_that_tells(self):
        """Bare labels are far surer without the word than with it; no pair tells anything."""
        taken = 0
        for seed in range(20):
            rng = np.random.default_rng(seed)
            has = rng.random((2000, 12)) < np.array([0.04, *[0.3] * 11])
            yes = rng.random(2000) < np.where(has[:, 0], 0.5, 0.01)
            features = worlds.table(1, 12)[1]
            targets = np.column_stack([~yes, yes]).astype(float)
            table = sparse.csr_array(has.astype(float))
            taken += len(fitted(table, features, targets, columns=12, pairs=1).pairs) > 0
        assert taken <= 4

    def test_the_first_stands_out_most(self):
        """By the contrast of the four means of every pair, over its standard error."""
        table, features = worlds.table(500, 8, density=0.4)
        has = dense(table) > 0
        yes = np.where(has[:, 1] & has[:, 5], 0.9, 0.2) + 0.05 * has[:, 3]
        targets = np.column_stack([1 - yes, yes])
        student = fitted(table, features, targets, columns=8, pairs=1)
        alone = SparseLinear(features=8, strength=1.0).fit(
            table, targets, features=features, labels=LABELS
        )
        left = targets - alone.probabilities(own(alone, table, features))
        columns = student.features.columns_in(features).tolist()

        def stands_out(first, second):
            cell = has[:, columns[first]] * 2 + has[:, columns[second]]
            inside = [left[cell == c, 1] for c in range(4)]
            contrast = sum(s * e.mean() for s, e in zip((1, -1, -1, 1), inside, strict=True))
            return contrast**2 / sum((e**2).sum() / len(e) ** 2 for e in inside)

        count = len(columns)
        best = max(
            ((a, b) for a in range(count) for b in range(a + 1, count)),
            key=lambda pair: stands_out(*pair),
        )
        assert student.pairs == (best,)

    def test_all_four_cells_hold_enough(self):
        table, features = worlds.table(400, 12, density=0.15)
        has = dense(table) > 0
        yes = 0.2 + 0.5 * (has[:, 0] & has[:, 1]) + 0.2 * (has[:, 2] & has[:, 3])
        targets = np.column_stack([1 - yes, yes])
        student = fitted(table, features, targets, columns=12, least_texts=8)
        columns = student.features.columns_in(features)
        assert len(student.pairs) > 0
        for first, second in student.pairs:
            a, b = has[:, columns[first]], has[:, columns[second]]
            assert min((a & b).sum(), (a & ~b).sum(), (~a & b).sum(), (~a & ~b).sum()) >= 8
        assert fitted(table, features, targets, columns=12, least_texts=101).pairs == ()

    def test_no_more_than_asked(self):
        table, features = worlds.table(3000, 12, density=0.4)
        rng = np.random.default_rng(0)
        has = dense(table)
        both = np.column_stack([has[:, :6] * has[:, 6:], has[:, :6] * has[:, [7, 8, 9, 10, 11, 6]]])
        targets = softmax(
            all_logits((has @ rng.normal(size=12) + both @ rng.normal(size=12))[:, None])
        )
        assert len(fitted(table, features, targets, columns=12, pairs=2).pairs) == 2
        assert len(set(fitted(table, features, targets, columns=12, pairs=10).pairs)) == 10


class TestWhatItSays:
    def test_a_pair_is_shown_where_both_are(self):
        table, features = worlds.table(2000, 10, density=0.4)
        has = dense(table) > 0
        yes = np.where(has[:, 1] & has[:, 5], 0.9, 0.2)
        student = fitted(table, features, np.column_stack([1 - yes, yes]), columns=10, pairs=1)
        reasons = student.explain("f0005 then f0001 and f0001")
        says = {piece.says: piece.spans for piece in reasons.evidence}
        assert says["'f0001' with 'f0005'"] == ((0, 5), (11, 16), (21, 26))
        assert says["'f0001'"] == ((11, 16), (21, 26))
        assert softmax(reasons.total[None])[0] == pytest.approx(reasons.probabilities)
        one = student.explain("f0001")
        assert [piece.says for piece in one.evidence] == ["'f0001'"]
        assert student.explain("nothing").total == pytest.approx(student.base)
        lines = student.to_text().splitlines()
        assert lines[lines.index("both, beyond what each adds:") + 1].startswith(
            "'f0001' with 'f0005': "
        )
        count = len(student.features)
        assert (student.reading_cost.words, student.reading_cost.numbers) == (count + 2, count + 2)

    def test_without_pairs_it_is_another_student(self):
        table, features = worlds.table(20, 5)
        with pytest.raises(OptionError, match=r"is a linear model: SparseLinear\(features=30\)"):
            fitted(table, features, np.full((20, 2), 0.5), pairs=0)

    @pytest.mark.parametrize(
        "settings",
        [{"pairs": 11}, {"pairs": -1}, {"columns": 1}, {"columns": 301}, {"strength": 0.0},
         {"least_texts": 0}],
    )  # fmt: skip
    def test_settings_out_of_range(self, settings):
        table, features = worlds.table(20, 5)
        with pytest.raises(OptionError, match=next(iter(settings))):
            fitted(table, features, np.full((20, 2), 0.5), **settings)
