import json

import numpy as np
import pytest
from scipy import optimize, sparse
from tests.students import worlds

from whence.core.errors import OptionError
from whence.students.families.decision_tree import DecisionTree
from whence.students.families.tree_sum import FittedTreeSum, TreeSum, onto_simplex
from whence.students.fitting.sparse import dense

LABELS = ("no", "yes")


def fitted(table, features, targets, weights=None, **settings):
    labels = LABELS if targets.shape[1] == 2 else tuple("abcdef"[: targets.shape[1]])
    student = TreeSum(**{"least_texts": 5, **settings})
    return student.fit(table, targets, features=features, labels=labels, weights=weights)


def own(student, table, features):
    """The columns of the student in a table of all."""
    return sparse.csr_array(table[:, student.features.columns_in(features)])


def two_trees(has):
    """A tree of features 0 and 1 and a tree of features 2 and 3, as a probability of "yes"."""
    first = np.where(has[:, 0], np.where(has[:, 1], 0.3, 0.1), -0.2)
    second = np.where(has[:, 2], -0.2, np.where(has[:, 3], 0.25, 0.1))
    return 0.42 + first + second


class TestPlantedTruth:
    def test_a_sum_of_two_small_trees_is_recovered(self):
        table, features = worlds.table(4000, 30, density=0.4)
        yes = two_trees(dense(table) > 0)
        targets = np.column_stack([1 - yes, yes])
        student = fitted(table, features, targets, splits=4)
        assert {f.words for f in student.features.kept} == {f"f000{i}" for i in range(4)}
        asked = [{b.column for b in branches if b.column is not None} for branches in student.trees]
        assert sorted(map(sorted, asked)) == [[0, 1], [2, 3]]
        fresh, _ = worlds.table(500, 30, density=0.4, seed=5)
        found = student.sums(own(student, fresh, features))[:, 1]
        assert found == pytest.approx(two_trees(dense(fresh) > 0), abs=1e-9)
        # One tree must repeat the second in every branch of the first.
        tree = DecisionTree(leaves=5, least_texts=5).fit(
            table, targets, features=features, labels=LABELS
        )
        answers = tree.probabilities(own(tree, fresh, features))[:, 1]
        assert np.abs(answers - two_trees(dense(fresh) > 0)).max() > 0.05

    def test_nothing_is_asked_where_nothing_is_left(self):
        table, features = worlds.table(2000, 30, density=0.4)
        yes = two_trees(dense(table) > 0)
        student = fitted(table, features, np.column_stack([1 - yes, yes]), splits=50)
        assert sum(len(branches) // 2 for branches in student.trees) == 4

    def test_three_labels(self):
        table, features = worlds.table(3000, 20, density=0.4)
        has = dense(table)
        targets = np.full((3000, 3), 1 / 3)
        targets += has[:, [4]] * [0.2, -0.1, -0.1] + has[:, [9]] * [-0.1, 0.3, -0.2]
        student = fitted(table, features, targets, splits=2)
        assert [f.words for f in student.features.kept] == ["f0004", "f0009"]
        assert student.probabilities(own(student, table, features)) == pytest.approx(targets)


class TestTheFit:
    @pytest.mark.parametrize("labels", [2, 3])
    def test_every_step_is_the_best_of_all_and_leaves_are_least_squares(self, labels):
        """Against a naive search that tries every leaf and column, refitting nothing."""
        table, features = worlds.table(300, 8, density=0.4)
        has = dense(table) > 0
        rng = np.random.default_rng(0)
        targets = rng.dirichlet([1.0] * labels, size=300)
        weights = rng.uniform(0.5, 2.0, size=300)
        weights *= 300 / weights.sum()
        trees: list[list[np.ndarray]] = []
        for splits in range(1, 7):
            answer = naive_answer(trees, targets, weights)
            left = targets - answer

            def gain(inside, column, left=left):
                parts = inside & has[:, column], inside & ~has[:, column]
                if min(weights[p].sum() for p in parts) < 5:
                    return -np.inf

                def error(rows):
                    middle = np.average(left[rows], axis=0, weights=weights[rows])
                    return (weights[rows, None] * (left[rows] - middle) ** 2).sum()

                return error(inside) - sum(error(p) for p in parts)

            places = [(len(trees), np.ones(300, dtype=bool))]
            places += [(t, leaf) for t, leaves in enumerate(trees) for leaf in leaves]
            tried = [
                (gain(leaf, column), tree, leaf, column)
                for tree, leaf in places
                for column in range(8)
            ]
            _, tree, leaf, column = max(tried, key=lambda entry: entry[0])
            if tree == len(trees):
                trees.append([])
            trees[tree] = [other for other in trees[tree] if other is not leaf]
            trees[tree] += [leaf & has[:, column], leaf & ~has[:, column]]
            student = fitted(table, features, targets, weights, splits=splits, least_gain=0.0)
            found = student.sums(own(student, table, features))
            assert found == pytest.approx(naive_answer(trees, targets, weights), abs=1e-6)

    def test_every_tree_is_centred_and_every_question_too(self):
        table, features = worlds.table(400, 20, density=0.3)
        targets = np.random.default_rng(1).dirichlet([1, 1, 1], size=400)
        student = fitted(table, features, targets, splits=9, least_gain=0.0)
        assert sum(len(branches) // 2 for branches in student.trees) == 9
        assert student.base.sum() == pytest.approx(1.0)
        for branches in student.trees:
            assert branches[0].adds == pytest.approx(np.zeros(3), abs=1e-12)
            assert branches[0].texts == 400
            for branch in branches:
                assert branch.adds.sum() == pytest.approx(0.0, abs=1e-9)
                if branch.column is not None:
                    pair = branches[branch.there], branches[branch.absent]
                    assert branch.texts == sum(b.texts for b in pair)
                    middle = sum(b.texts * b.adds for b in pair) / branch.texts
                    assert branch.adds == pytest.approx(middle)

    def test_leaves_hold_enough(self):
        table, features = worlds.table(500, 30, density=0.2)
        targets = np.random.default_rng(1).dirichlet([1, 1], size=500)
        student = fitted(table, features, targets, splits=30, least_texts=40, least_gain=0.0)
        assert min(branch.texts for tree in student.trees for branch in tree) >= 40

    @pytest.mark.parametrize("settings", [{"splits": 0}, {"least_texts": 0}, {"least_gain": -1.0}])
    def test_settings_out_of_range(self, settings):
        table, features = worlds.table(20, 5)
        with pytest.raises(OptionError, match="1 or more"):
            fitted(table, features, np.full((20, 2), 0.5), **settings)


def naive_answer(trees, targets, weights):
    """Least squares over the indicators of all leaves."""
    columns = [np.ones(len(targets)), *(leaf for leaves in trees for leaf in leaves)]
    design = np.column_stack(columns).astype(float)
    root = np.sqrt(weights)[:, None]
    return design @ np.linalg.lstsq(root * design, root * targets, rcond=None)[0]


class TestProbabilities:
    @pytest.mark.parametrize("labels", [2, 3, 5])
    def test_the_nearest_probabilities(self, labels):
        rng = np.random.default_rng(0)
        sums = rng.normal(size=(20, labels))
        sums += (1 - sums.sum(axis=1, keepdims=True)) / labels
        found = onto_simplex(sums)
        assert found.min() >= 0
        assert found.sum(axis=1) == pytest.approx(np.ones(20))
        assert found.argmax(axis=1).tolist() == sums.argmax(axis=1).tolist()
        for row, near in zip(sums, found, strict=True):
            best = optimize.minimize(
                lambda p, row=row: ((p - row) ** 2).sum(), np.full(labels, 1 / labels),
                bounds=[(0, 1)] * labels, constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
                tol=1e-12,
            ).x  # fmt: skip
            assert near == pytest.approx(best, abs=1e-4)

    def test_probabilities_stay_as_they_are(self):
        chances = np.random.default_rng(0).dirichlet([1, 1, 1], size=50)
        assert onto_simplex(chances) == pytest.approx(chances)

    def test_what_is_cut_off_is_said_and_all_adds_up(self):
        """Three features add 0.4 each where it ends at 1: the sum of all three is beyond."""
        table, features = worlds.table(3000, 6, density=0.3)
        yes = np.minimum(0.1 + 0.4 * dense(table)[:, :3].sum(axis=1), 1.0)
        student = fitted(table, features, np.column_stack([1 - yes, yes]), splits=3)
        beyond = student.explain("f0000 f0001 f0002")
        assert beyond.total == pytest.approx([0.0, 1.0])
        assert beyond.total == pytest.approx(beyond.probabilities)
        pieces = {piece.says: piece for piece in beyond.evidence}
        cut = pieces.pop("the sum brought back between 0 and 1")
        assert cut.spans == ()
        raw = beyond.base + sum(piece.shares for piece in pieces.values())
        assert raw == pytest.approx(student.sums(sparse.csr_array(np.ones((1, 3))))[0])
        assert raw[1] > 1.05
        assert cut.shares == pytest.approx([0.0, 1.0] - raw)
        assert [pieces[f"'f000{i}'"].spans for i in range(3)] == [
            ((0, 5),), ((6, 11),), ((12, 17),),
        ]  # fmt: skip
        inside = student.explain("f0000")
        assert {piece.says for piece in inside.evidence} == {"'f0000'", "no 'f0001'", "no 'f0002'"}
        assert inside.total == pytest.approx(inside.probabilities)


def test_a_hostile_order_of_branches_reads_the_same():
    """Leaves are found by their places, so what is stored may only point forward."""
    table, features = worlds.table(400, 10, density=0.4)
    targets = np.random.default_rng(1).dirichlet([1, 1], size=400)
    student = fitted(table, features, targets, splits=6, least_gain=0.0)
    for branches in student.trees:
        for place, branch in enumerate(branches):
            if branch.column is not None:
                assert min(branch.there, branch.absent) > place
    tree = json.loads(json.dumps(student.to_json()))
    again = FittedTreeSum.from_json(tree)
    assert again.to_json() == student.to_json()
    assert again.to_text() == student.to_text()


def test_what_is_read_is_counted():
    table, features = worlds.table(400, 10, density=0.4)
    targets = np.random.default_rng(1).dirichlet([1, 1, 1], size=400)
    student = fitted(table, features, targets, splits=6, least_gain=0.0)
    cost = student.reading_cost
    leaves = sum((len(branches) + 1) // 2 for branches in student.trees)
    assert (cost.words, cost.numbers) == (6, 2 * (leaves + 1))
    assert student.to_text().count("?") == 6
    assert student.to_text().count(" texts)") == leaves
