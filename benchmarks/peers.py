"""Fits one student of another package to a stored table; runs without whence, in that package's Python.

    PYTHON -m benchmarks.peers FOLDER NAME --queries

``benchmarks.student_peers`` writes the folder and says how to install that Python. The script prints
one line of JSON; the decisions are stored beside the tables.
"""

import argparse
import contextlib
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
from scipy import sparse

COLUMNS = 500
"""Columns for peers that take dense tables or one shape a column."""


def peak_gib():
    """Most memory this program held; unlike ru_maxrss, not that of the program that started it."""
    held = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(held.group(1)) / 2**20


def stored(folder, queries):
    """Table and probabilities to learn from, and the rows to be decided."""
    parts = ["fit", "beside"] if queries else ["fit"]
    tables = [sparse.load_npz(folder / f"{part}.npz") for part in parts]
    targets = np.concatenate([np.load(folder / f"{part}.npy") for part in parts])
    return sparse.csr_matrix(sparse.vstack(tables)), targets, sparse.load_npz(folder / "asked.npz")


def most_correlated(table, aims, count):
    """The columns that correlate most with the teacher's probability: the best case for the peer."""
    rate = np.asarray(table.mean(axis=0)).ravel()
    joint = np.asarray(table.T @ (aims - aims.mean())).ravel() / len(aims)
    strength = np.abs(joint) / np.sqrt(np.maximum(rate * (1 - rate), 1e-9))
    return np.sort(np.argsort(-strength, kind="stable")[:count])


class Trees:
    """Sizes of trees: the words of every question, and one number a leaf."""

    def __init__(self, words):
        self.words = words

    def sklearn(self, tree):
        asked = tree.tree_.feature[tree.tree_.children_left >= 0]
        return int(self.words[asked].sum()), int(tree.get_n_leaves())

    def figs(self, node):
        if node.left is None and node.right is None:
            return 0, 1
        left, right = self.figs(node.left), self.figs(node.right)
        return left[0] + right[0] + int(self.words[node.feature]), left[1] + right[1]


def tree(x, p, words, leaves, kind):
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    made = {"soft": DecisionTreeRegressor, "hard": DecisionTreeClassifier}[kind]
    aims = p if kind == "soft" else (p > 0.5).astype(int)
    result = made(max_leaf_nodes=leaves, min_samples_leaf=5, random_state=0).fit(x, aims)
    said = (lambda t: result.predict(t) > 0.5) if kind == "soft" else (lambda t: result.predict(t))
    return said, Trees(words).sklearn(result)


def logistic(x, p, words, most, soft):
    from sklearn.linear_model import LogisticRegression

    aims = (p > 0.5).astype(int)
    if most is None:
        result = LogisticRegression(C=1.0, max_iter=2000)
        if soft:
            # It takes no probabilities: each row twice, weighted.
            stack = sparse.vstack if sparse.issparse(x) else np.vstack
            twice, both = stack([x, x]), np.repeat([1, 0], len(p))
            result.fit(twice, both, sample_weight=np.concatenate([p, 1 - p]))
        else:
            result.fit(x, aims)
    else:
        result = None
        for strength in np.geomspace(0.01, 10, 31):
            tried = LogisticRegression(
                C=strength, l1_ratio=1.0, solver="liblinear", max_iter=500, random_state=0
            ).fit(x, aims)
            if np.count_nonzero(tried.coef_) > most:
                break
            result = tried
    used = np.flatnonzero(result.coef_[0])
    return result.predict, (int(words[used].sum()), len(used) + 1)


def ridge(x, p, words):
    from sklearn.linear_model import Ridge

    odds = np.log(np.clip(p, 1e-3, None) / np.clip(1 - p, 1e-3, None))
    result = Ridge(alpha=3.0).fit(x, odds)
    used = np.flatnonzero(result.coef_)
    return (lambda t: result.predict(t) > 0), (int(words[used].sum()), len(used) + 1)


def figs(x, p, words, rules, kind):
    from imodels import FIGSClassifier, FIGSRegressor

    made = {"soft": FIGSRegressor, "hard": FIGSClassifier}[kind]
    result = made(max_rules=rules, random_state=0)
    result.fit(x, p if kind == "soft" else (p > 0.5).astype(int))
    sizes = [Trees(words).figs(root) for root in result.trees_]
    said = (lambda t: result.predict(t) > 0.5) if kind == "soft" else result.predict
    return said, (sum(s[0] for s in sizes), sum(s[1] for s in sizes))


def rulefit(x, p, words, rules, kind):
    from imodels import RuleFitClassifier, RuleFitRegressor

    made = {"soft": RuleFitRegressor, "hard": RuleFitClassifier}[kind]
    result = made(max_rules=rules, random_state=0)
    result.fit(x, p if kind == "soft" else (p > 0.5).astype(int))
    width = x.shape[1]
    weights = np.asarray(result.coef)
    linear = np.flatnonzero(weights[:width])
    said = [
        r for r, w in zip(result.rules_without_feature_names_, weights[width:], strict=True) if w
    ]
    size = int(words[linear].sum())
    for rule in said:
        # "X_3 <= 0.5": the feature is absent, one word more to read.
        for column, sign in re.findall(r"(\d+) (<=|>)", str(rule.rule)):
            size += int(words[int(column)]) + (sign == "<=")
    decide = (lambda t: result.predict(t) > 0.5) if kind == "soft" else result.predict
    return decide, (size, len(linear) + len(said) + 1)


def ebm(x, p, words, kind, pairs):
    from interpret.glassbox import ExplainableBoostingClassifier, ExplainableBoostingRegressor

    made = ExplainableBoostingRegressor if kind == "soft" else ExplainableBoostingClassifier
    result = made(interactions=pairs, n_jobs=1, random_state=0)
    odds = np.log(np.clip(p, 1e-3, None) / np.clip(1 - p, 1e-3, None))
    result.fit(x, odds if kind == "soft" else (p > 0.5).astype(int))
    # A binary column has two bins and one difference; a pair of them four and three.
    size, numbers = 0, 1
    for columns in result.term_features_:
        size += int(words[list(columns)].sum())
        numbers += 2 ** len(columns) - 1
    return (lambda t: result.predict(t) > 0) if kind == "soft" else result.predict, (size, numbers)


def trustee(x, p, words, pruned):
    import pandas as pd
    from trustee import ClassificationTrustee

    class Expert:
        """Texts are rows here: the teacher's answer to a row is looked up by its index."""

        def predict(self, rows):
            return (p > 0.5).astype(int)[rows.index]

    # It draws from the global state alone.
    np.random.seed(0)  # noqa: NPY002
    result = ClassificationTrustee(expert=Expert())
    result.fit(pd.DataFrame(x), (p > 0.5).astype(int))
    whole, cut, _, reward = result.explain()
    chosen = cut if pruned else whole
    size = Trees(words).sklearn(chosen)
    return chosen.predict, size, {"own report (macro-F1)": float(reward)}


# name: function, options, whether it gets COLUMNS columns, dense
PEERS = {
    "scikit-learn CART-16, probabilities": (tree, {"leaves": 16, "kind": "soft"}, False),
    "scikit-learn CART-64, probabilities": (tree, {"leaves": 64, "kind": "soft"}, False),
    "scikit-learn CART-256, probabilities": (tree, {"leaves": 256, "kind": "soft"}, False),
    "scikit-learn CART-64, labels": (tree, {"leaves": 64, "kind": "hard"}, False),
    "scikit-learn L1 logistic, 30": (logistic, {"most": 30, "soft": False}, False),
    "scikit-learn L1 logistic, 100": (logistic, {"most": 100, "soft": False}, False),
    "scikit-learn L1 logistic, 300": (logistic, {"most": 300, "soft": False}, False),
    "scikit-learn logistic, all": (logistic, {"most": None, "soft": False}, False),
    "scikit-learn logistic, all, probabilities": (logistic, {"most": None, "soft": True}, False),
    "scikit-learn logistic, 500 columns": (logistic, {"most": None, "soft": True}, True),
    "scikit-learn ridge on logits, all": (ridge, {}, False),
    "imodels FIGS-12, probabilities": (figs, {"rules": 12, "kind": "soft"}, True),
    "imodels FIGS-40, probabilities": (figs, {"rules": 40, "kind": "soft"}, True),
    "imodels RuleFit-30, probabilities": (rulefit, {"rules": 30, "kind": "soft"}, True),
    "imodels RuleFit-30, labels": (rulefit, {"rules": 30, "kind": "hard"}, True),
    "interpret EBM, logits": (ebm, {"kind": "soft", "pairs": 0}, True),
    "interpret EBM, labels, 10 pairs": (ebm, {"kind": "hard", "pairs": 10}, True),
    "Trustee, pruned": (trustee, {"pruned": True}, True),
    "Trustee, whole": (trustee, {"pruned": False}, True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", choices=list(PEERS))
    parser.add_argument("--queries", action="store_true")
    options = parser.parse_args()
    table, targets, asked = stored(options.folder, options.queries)
    words = np.array(json.loads((options.folder / "words.json").read_text()))
    function, more, few = PEERS[options.name]
    aims = targets[:, 1]
    if few:
        columns = most_correlated(table, aims, COLUMNS)
        words = words[columns]
        table, asked = table[:, columns].toarray(), asked[:, columns].toarray()
    start = time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        said, (read, numbers), *noted = function(table, aims, words, **more)
    seconds = time.process_time() - start
    np.save(options.folder / "said.npy", np.asarray(said(asked)).astype(np.int64))
    result = {
        "columns": table.shape[1], "words": read, "numbers": numbers, "fit_s": seconds,
        "peak_gib": peak_gib(), "noted": noted[0] if noted else {},
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
