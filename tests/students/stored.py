"""A student of every kind that is stored, and texts that are hard to split into words."""

import functools

import numpy as np
from tests.students import worlds

from whence.students.families.additive import Additive
from whence.students.families.decision_tree import DecisionTree
from whence.students.families.prototypes import Prototypes
from whence.students.families.rule_list import RuleList
from whence.students.families.scorecard import Scorecard
from whence.students.families.sparse_linear import SparseLinear
from whence.students.families.tree_sum import TreeSum
from whence.students.features.vectorizer import ReadableFeatures

STUDENTS = {
    "sparse-linear": SparseLinear(features=20),
    "scorecard": Scorecard(features=8),
    "rule-list": RuleList(rules=8, least_gain=0.0),
    "decision-tree": DecisionTree(leaves=8, least_gain=0.0),
    "prototypes": Prototypes(cases=12),
    "additive": Additive(columns=12, pairs=3),
    "tree-sum": TreeSum(splits=8, least_gain=0.0),
}

ODD = [
    "",
    " \r\n\t ",
    "a",
    "é",
    "👍🏽",
    "Late, WAIVED\r\nlate\r\nfraud!",
    "Didn’t pay; naïve\u0301 café, İstanbul’s Straße",
    "מאוחר loan ‏מאוד‎ fraud",
    "O'Hara's 100% \\ _late_ late's 'late' \"late\" [late]",
    "日本 e\u0301é 👩‍👩‍👧 late",
    "not late, no fraud -- never steady",
    "late " * 3 + "steady word1 " * 4000 + "waived loan " * 1500,
]

RICH = ReadableFeatures(
    longest=2, negation=True, position=True, lexicons={"debt": ("loan", "fraud", "word3")}
)
PLAIN = ReadableFeatures(longest=2)


def answers(texts, labels):
    """Chances that depend on the words, with a pair that counts together and a little noise."""
    rng = np.random.default_rng(1)
    z = np.zeros((len(texts), len(labels)))
    for row, text in enumerate(texts):
        has = set(text.split())
        z[row, 0] += 2.0 - 1.2 * ("late" in has)
        z[row, 1] += 2.5 * ("fraud" in has) + 3.0 * ("late" in has and "waived" not in has)
        z[row, -1] += 1.5 * ("steady" in has) + ("loan" in has and "word3" in has)
    z += 0.3 * rng.normal(size=z.shape)
    chances = np.exp(z)
    return chances / chances.sum(axis=1, keepdims=True)


@functools.cache
def fitted(kind, labels=2, rich=False):
    texts = [*worlds.texts(500), *ODD[3:]]
    features = (RICH if rich else PLAIN).learn(texts)
    names = ("accept", "reject", "refer", "other")[:labels]
    more = {"texts": texts} if kind == "prototypes" else {}
    return STUDENTS[kind].fit(
        features.table(texts), answers(texts, names), features=features, labels=names, **more
    )
