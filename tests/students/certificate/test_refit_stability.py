from itertools import combinations

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse import csgraph
from tests.students import worlds

from whence.core.errors import InputError, OptionError
from whence.students.certificate.refit_stability import refits
from whence.students.data.run import Terms
from whence.students.data.training_set import Candidate
from whence.students.families.decision_tree import DecisionTree
from whence.students.families.prototypes import Prototypes
from whence.students.families.rule_list import RuleList
from whence.students.families.scorecard import Scorecard
from whence.students.families.sparse_linear import SparseLinear
from whence.students.features.vectorizer import Feature, Features, ReadableFeatures
from whence.students.fitting import clustering
from whence.students.fitting.clustering import alike

LABELS = ("accept", "reject")


def planted(n=400, seed=0, twins=False):
    """Eight columns, of which the first two decide; with twins each has a copy beside it."""
    rng = np.random.default_rng(seed)
    x = (rng.random((n, 8)) < 0.4).astype(float)
    logit = 2 * x[:, 0] - 2 * x[:, 1] - 1 + rng.normal(0, 0.3, n)
    if twins:
        # Both differ from what decides in few rows: which is chosen is a matter of the sample.
        both = np.hstack([x, x])
        x = np.where(rng.random(both.shape) < 0.03, 1 - both, both)
    chance = 1 / (1 + np.exp(-logit))
    names = [Feature("ngram", f"f{j:02d}") for j in range(x.shape[1])]
    return (
        sparse.csr_array(x),
        np.stack([1 - chance, chance], 1),
        Features(ReadableFeatures(), names),
    )


def run(student, world, **options):
    table, targets, features = world
    held, draws = options.pop("held", table[:100]), options.pop("draws", 8)
    fitted, seed = options.pop("fitted", None), options.pop("seed", 0)
    training = worlds.training(table, targets, features, LABELS, **options)
    own = Candidate(student, training.fit(student) if fitted is None else fitted)
    return refits(own, training, held, Terms(level=0.9, seed=seed), draws=draws)


class TestStability:
    def test_a_plain_rule_is_found_again_in_every_sample(self):
        found = run(SparseLinear(features=2), planted())
        assert found.agreement.value > 0.95
        assert (found.features, found.groups, found.sign_flips) == (1.0, 1.0, 0.0)
        assert [w.feature for w in found.weights] == ["'f01'", "'f00'"] or [
            w.feature for w in found.weights
        ] == ["'f00'", "'f01'"]
        for weight in found.weights:
            assert weight.lower <= weight.value <= weight.upper
            assert weight.used == 1.0
            assert weight.label == "reject"
            # Half of a logit of 2 or -2 each: centred logits.
            assert abs(weight.value) == pytest.approx(1.0, abs=0.15)

    def test_twins_share_a_group_though_not_a_column(self):
        found = run(SparseLinear(features=2), planted(twins=True), draws=20)
        assert found.groups == 1.0
        assert found.features < 0.95

    def test_a_teacher_without_a_rule_leaves_nothing_stable(self):
        table, features = worlds.table(200, 60, density=0.2)
        targets = np.eye(2)[np.random.default_rng(1).integers(0, 2, 200)]
        held = worlds.table(200, 60, density=0.2, seed=2)[0]
        found = run(SparseLinear(features=5), (table, targets, features), held=held, draws=10)
        assert found.features < 0.4
        assert found.agreement.value < 0.9

    def test_signs_flip_where_weights_are_noise(self):
        table, features = worlds.table(300, 20, density=0.3)
        targets = np.eye(2)[np.random.default_rng(1).integers(0, 2, 300)]
        world = (table, targets, features)
        found = run(SparseLinear(features=None), world, held=table, draws=10)
        assert found.sign_flips > 0.4
        assert run(SparseLinear(features=None), planted()).sign_flips < found.sign_flips + 0.5

    def test_pairs_by_hand(self):
        world = planted()
        table, targets, features = world
        found = run(DecisionTree(leaves=6), world, draws=3, seed=5)
        rng = np.random.default_rng(5)
        said, used = [], []
        for _ in range(3):
            rows = np.sort(rng.integers(400, size=400))
            tree = DecisionTree(leaves=6).fit(
                table[rows], targets[rows], features=features, labels=LABELS
            )
            said.append(tree.probabilities(table[:100][:, tree.features.columns_in(features)]))
            used.append(set(tree.features.columns_in(features).tolist()))
        pairs = list(combinations(range(3), 2))
        same = [(said[a].argmax(1) == said[b].argmax(1)).mean() for a, b in pairs]
        assert found.agreement.value == pytest.approx(np.mean(same))
        shared = [len(used[a] & used[b]) / len(used[a] | used[b]) for a, b in pairs]
        assert found.features == pytest.approx(np.mean(shared))


class TestWhatIsTaken:
    def test_every_family(self):
        texts = worlds.texts(120)
        features = ReadableFeatures(longest=1).learn(texts)
        table = features.table(texts)
        targets = worlds.one_hot([worlds.rule(t) for t in texts], LABELS)
        options = {"held": table[:40], "draws": 3}
        for student, weighty in (
            (SparseLinear(features=3), True),
            (Scorecard(features=4), True),
            (RuleList(rules=3), False),
            (DecisionTree(leaves=4), False),
            (Prototypes(cases=4), False),
        ):
            found = run(student, (table, targets, features), texts=texts, **options)
            assert 0 <= found.agreement.value <= 1, student.name
            assert (found.sign_flips is not None) == weighty, student.name
            assert bool(found.weights) == weighty, student.name

    def test_points_are_weights_of_the_second_label(self):
        table, targets, features = planted()
        fitted = Scorecard(features=2).fit(table, targets, features=features, labels=LABELS)
        assert np.array_equal(fitted.weights_by_feature()[:, 1], fitted.points)
        assert np.array_equal(fitted.weights_by_feature()[:, 0], -fitted.points)

    def test_documents_are_drawn_whole(self):
        table, targets, features = planted(60)
        groups = np.repeat(np.arange(20), 3)
        seen = []

        class Spy(SparseLinear):
            def fit(self, table, targets, **options):
                seen.append(targets[:, 1].copy())
                return SparseLinear.fit(self, table, targets, **options)

        fitted = SparseLinear(features=2).fit(table, targets, features=features, labels=LABELS)
        run(Spy(features=2), (table, targets, features), groups=groups, draws=4, fitted=fitted,
            held=table)  # fmt: skip
        assert len(seen) == 4
        for drawn in seen:
            counts = [(drawn == own).sum() for own in targets[:, 1]]
            by_document = np.array(counts).reshape(20, 3)
            assert (by_document == by_document[:, :1]).all()
            assert by_document[:, 0].sum() == 20

    def test_same_seed_same_bits(self):
        world = planted()
        first, second = (run(SparseLinear(features=2), world, seed=3) for _ in range(2))
        assert first == second
        assert run(SparseLinear(features=2), world, seed=4).weights != first.weights

    def test_refusals(self):
        world = planted(60)
        with pytest.raises(OptionError, match="2 draws"):
            run(SparseLinear(), world, draws=1)
        with pytest.raises(InputError, match="held-out"):
            run(SparseLinear(), world, held=world[0][:, :3])
        with pytest.raises(InputError, match="one target, kind, weight and group a text"):
            run(SparseLinear(), world, groups=np.zeros(3, dtype=int))


class TestGroups:
    def test_correlations_by_numpy(self):
        table, _ = worlds.table(80, 12, density=0.4)
        x = table.toarray()
        x[:, 5] = x[:, 2]
        x[:, 7] = np.where(np.arange(80) < 6, 1 - x[:, 2], x[:, 2])
        close = np.corrcoef(x.T) >= 0.8
        found = alike(sparse.csr_array(x), 0.8)
        for a in range(12):
            for b in range(12):
                if close[a, b]:
                    assert found[a] == found[b]
        assert found[2] == found[5] == found[7]
        assert len(set(found.tolist())) == 10

    def test_blocks_and_bounds_lose_no_pair(self, monkeypatch):
        """Against all pairs at once, of columns from one text to almost all."""
        monkeypatch.setattr(clustering, "BLOCK", 7)
        for seed in range(20):
            rng = np.random.default_rng(seed)
            x = (rng.random((60, 40)) < rng.random(40) ** 2).astype(float)
            for _ in range(20):
                a, b = rng.integers(0, 40, 2)
                x[:, a] = np.abs(x[:, b] - (rng.random(60) < 0.05))
            x[:, :2] = [1.0, 0.0]
            least = float(rng.choice([0.3, 0.6, 0.9, 1.0]))
            moves = x.std(axis=0) > 0
            close = np.eye(40, dtype=bool)
            close[np.ix_(moves, moves)] |= np.corrcoef(x[:, moves].T) >= least - 1e-9
            expected = csgraph.connected_components(close, directed=False)[1]
            assert alike(sparse.csr_array(x), least).tolist() == expected.tolist()

    def test_equal_columns_are_merged_block_by_block(self, monkeypatch):
        """Of 2,000 equal columns no table of all pairs, four million of them, is held."""
        held = []
        real = clustering._merged
        monkeypatch.setattr(
            clustering, "_merged", lambda own, a, b: held.append(len(a)) or real(own, a, b)
        )
        x = np.zeros((10, 2000))
        x[0] = 1.0
        assert set(alike(sparse.csr_array(x), 0.7).tolist()) == {0}
        assert len(held) == 8
        assert max(held) <= 256 * 2000

    def test_least_out_of_range(self):
        with pytest.raises(OptionError, match="least=0"):
            alike(sparse.csr_array((4, 2)), 0.0)

    def test_no_column(self):
        assert len(alike(sparse.csr_array((4, 0)), 0.7)) == 0
