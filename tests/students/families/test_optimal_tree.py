import itertools

import numpy as np
import pytest
from scipy import sparse
from tests.students import worlds

from whence.core.errors import OptionError
from whence.students.families.decision_tree import DecisionTree
from whence.students.families.optimal_tree import OptimalTree
from whence.students.fitting.sparse import dense

LABELS = ("no", "yes")


def fitted(table, features, targets, weights=None, **settings):
    labels = LABELS if targets.shape[1] == 2 else tuple("abcdef"[: targets.shape[1]])
    student = OptimalTree(**{"least_texts": 5, **settings})
    return student.fit(table, targets, features=features, labels=labels, weights=weights)


def answers(student, table, features):
    return student.probabilities(sparse.csr_array(table[:, student.features.columns_in(features)]))


def questions(student):
    return sum(node.column is not None for node in student.nodes)


def objective(student, table, features, targets, weights, price):
    error = weights[:, None] * (targets - answers(student, table, features)) ** 2
    return error.sum() + price * questions(student)


def naive_best(has, targets, weights, depth, least, price):
    """The least objective of any tree, by trying each column at each place."""
    middle = np.average(targets, axis=0, weights=weights)
    best = (weights[:, None] * (targets - middle) ** 2).sum()
    if depth == 0:
        return best
    for column in range(has.shape[1]):
        parts = has[:, column], ~has[:, column]
        if min(weights[part].sum() for part in parts) < least:
            continue
        below = [
            naive_best(has[part], targets[part], weights[part], depth - 1, least, price)
            for part in parts
        ]
        best = min(best, price + sum(below))
    return best


class TestTheBestOfAll:
    @pytest.mark.parametrize(
        ("depth", "columns", "labels"), [(1, 8, 2), (2, 8, 3), (3, 6, 2), (4, 4, 2), (4, 4, 3)]
    )
    def test_no_tree_has_a_smaller_objective(self, depth, columns, labels):
        table, features = worlds.table(150, columns, density=0.4, seed=depth)
        rng = np.random.default_rng(depth)
        targets = rng.dirichlet([0.5] * labels, size=150)
        weights = rng.uniform(0.2, 2.0, size=150)
        weights *= 150 / weights.sum()
        middle = np.average(targets, axis=0, weights=weights)
        whole = (weights[:, None] * (targets - middle) ** 2).sum()
        for share in (0.0, 0.01):
            # Rounding alone is a price that no question is worth.
            price = max(share * whole, 1e-9 * 150)
            student = fitted(
                table, features, targets, weights, depth=depth, least_gain=share, least_texts=5
            )
            found = objective(student, table, features, targets, weights, price)
            best = naive_best(dense(table) > 0, targets, weights, depth, 5.0, price)
            assert found == pytest.approx(best)
            assert min(node.texts for node in student.nodes) >= 5

    def test_never_worse_than_greed(self):
        table, features = worlds.table(600, 25, density=0.3)
        targets = np.random.default_rng(0).dirichlet([0.5, 0.5], size=600)
        greedy = DecisionTree(leaves=4, least_texts=5, least_gain=0.0).fit(
            table, targets, features=features, labels=LABELS
        )
        best = fitted(table, features, targets, depth=3, least_gain=0.0)
        errors = [((answers(s, table, features) - targets) ** 2).sum() for s in (best, greedy)]
        assert errors[0] < errors[1]


class TestPlantedTruth:
    def exclusive_or(self, rows=2000):
        """Balanced, so that either feature alone tells exactly nothing."""
        noise, features = worlds.table(rows, 30, density=0.4)
        has = dense(noise)
        cells = np.array(list(itertools.product((0.0, 1.0), repeat=2)))
        has[:, [7, 21]] = np.tile(cells, (rows // 4, 1))
        yes = (has[:, 7] != has[:, 21]).astype(float)
        return sparse.csr_array(has), features, np.column_stack([1 - yes, yes])

    def test_an_exclusive_or_that_greed_misses(self):
        table, features, targets = self.exclusive_or()
        student = fitted(table, features, targets, depth=2, least_gain=0.01)
        assert [f.words for f in student.features.kept] == ["f0007", "f0021"]
        assert answers(student, table, features) == pytest.approx(targets)
        greedy = DecisionTree(leaves=4, least_gain=0.0).fit(
            table, targets, features=features, labels=LABELS
        )
        wrong = answers(greedy, table, features).argmax(axis=1) != targets.argmax(axis=1)
        assert wrong.mean() > 0.4

    def test_one_below_another_feature(self):
        table, features, targets = self.exclusive_or()
        asked = dense(table)[:, 3] > 0
        targets = np.where(asked[:, None], targets, [0.9, 0.1])
        student = fitted(table, features, targets, depth=3, least_gain=0.01)
        assert answers(student, table, features) == pytest.approx(targets)
        assert questions(student) == 4

    def test_a_price_keeps_it_small(self):
        table, features, targets = self.exclusive_or()
        assert questions(fitted(table, features, targets, depth=4, columns=30)) == 3
        assert questions(fitted(table, features, targets, depth=2, least_gain=0.4)) == 0


class TestTheColumns:
    def test_more_than_asked_are_chosen_by_what_they_tell(self):
        table, features = worlds.table(1500, 200, density=0.1)
        has = dense(table) > 0
        yes = 0.1 + 0.4 * has[:, 150] + 0.4 * (has[:, 40] & ~has[:, 150])
        student = fitted(
            table, features, np.column_stack([1 - yes, yes]), depth=2, columns=12, least_gain=0.01
        )
        assert {f.words for f in student.features.kept} == {"f0040", "f0150"}

    def test_room_that_is_left_goes_to_the_most_even(self):
        """The path ends at the one feature that tells; the others are looked at all the same."""
        table, features = worlds.table(1000, 40, density=0.05)
        has = dense(table)
        has[:, [5, 6]] = np.tile(np.array(list(itertools.product((0.0, 1.0), repeat=2))), (250, 1))
        yes = 0.5 + 0.4 * np.where(has[:, 5] == has[:, 6], 1, -1)
        student = fitted(
            sparse.csr_array(has), features, np.column_stack([1 - yes, yes]), depth=2, columns=39,
            least_gain=0.01,
        )  # fmt: skip
        assert [f.words for f in student.features.kept] == ["f0005", "f0006"]

    @pytest.mark.parametrize(
        "settings", [{"depth": 0}, {"depth": 5}, {"columns": 61}, {"columns": 0}]
    )
    def test_beyond_reach_is_refused(self, settings):
        table, features = worlds.table(20, 5)
        with pytest.raises(OptionError, match="1 to 4 and columns 1 to 60"):
            fitted(table, features, np.full((20, 2), 0.5), **settings)

    @pytest.mark.parametrize("settings", [{"least_texts": 0}, {"least_gain": -0.1}])
    def test_settings_out_of_range(self, settings):
        table, features = worlds.table(20, 5)
        with pytest.raises(OptionError, match="at least 1 text"):
            fitted(table, features, np.full((20, 2), 0.5), **settings)
