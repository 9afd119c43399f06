"""Each method once more, as slowly and plainly as its paper says it."""

from __future__ import annotations

from itertools import combinations, permutations
from math import comb, factorial

import numpy as np


def shapley(v, n):
    """The mean over all orders of what each feature adds (Shapley 1953)."""
    scores = np.zeros(n)
    for order in permutations(range(n)):
        present = np.zeros(n, dtype=bool)
        for i in order:
            before = v(present[None])[0]
            present[i] = True
            scores[i] += v(present[None])[0] - before
    return scores / factorial(n)


def leave_one_out(v, n):
    scores = []
    for i in range(n):
        without = np.ones(n, dtype=bool)
        without[i] = False
        scores.append(v(np.ones((1, n), dtype=bool))[0] - v(without[None])[0])
    return np.array(scores)


def kernel_shap(v, n):
    """Weighted least squares over all coalitions with the ends held (Lundberg & Lee 2017)."""
    full, empty = v(np.ones((1, n), bool))[0], v(np.zeros((1, n), bool))[0]
    rows, weights, targets = [], [], []
    for size in range(1, n):
        for chosen in combinations(range(n), size):
            z = np.zeros(n)
            z[list(chosen)] = 1
            rows.append(z[:-1] - z[-1])
            targets.append(v(z.astype(bool)[None])[0] - empty - z[-1] * (full - empty))
            weights.append((n - 1) / (comb(n, size) * size * (n - size)))
    if n == 1:
        return np.array([full - empty])
    x, w = np.array(rows), np.array(weights)
    most = np.linalg.solve(x.T @ (w[:, None] * x), x.T @ (w * np.array(targets)))
    return np.append(most, full - empty - most.sum())


def lime(v, n, kernel_width):
    """LIME's weighted regression over all coalitions at once, without a ridge.

    LIME draws the number of words removed uniformly from 1..n, then which; the weight is
    sqrt(exp(-d^2 / width^2)), d the cosine distance from the whole text.
    """
    rows, weights, targets = [], [], []
    for size in range(n):
        for chosen in combinations(range(n), size):
            z = np.zeros(n)
            z[list(chosen)] = 1
            d = 1 - np.sqrt(size / n)
            rows.append(z)
            weights.append(np.sqrt(np.exp(-(d**2) / kernel_width**2)) / n / comb(n, size))
            targets.append(v(z.astype(bool)[None])[0])
    # The whole text is the first sample of as many as there are coalitions.
    w = np.append(np.array(weights) / np.sum(weights) * 2**n, 1.0)
    rows.append(np.ones(n))
    targets.append(v(np.ones((1, n), dtype=bool))[0])
    x = np.column_stack([np.ones(len(rows)), rows])
    return np.linalg.solve(x.T @ (w[:, None] * x), x.T @ (w * np.array(targets)))[1:]


def owen(v, n, tree):
    """The mean over all orders that keep every block of a binary tree together (Winter 1989).

    A tree is a feature's number, or a pair of trees.
    """

    def orders(node):
        if isinstance(node, int):
            return [[node]]
        left, right = map(orders, node)
        return [a + b for x, y in ((left, right), (right, left)) for a in x for b in y]

    scores = np.zeros(n)
    every = orders(tree)
    for order in every:
        present = np.zeros(n, dtype=bool)
        for i in order:
            before = v(present[None])[0]
            present[i] = True
            scores[i] += v(present[None])[0] - before
    return scores / len(every)


def banzhaf(v, n):
    """The mean over all coalitions of the others of what a feature adds (Banzhaf 1965)."""
    rows = (np.arange(1 << n)[:, None] >> np.arange(n)) % 2 == 1
    added = np.zeros(n)
    for i in range(n):
        there = rows[rows[:, i]]
        gone = there.copy()
        gone[:, i] = False
        added[i] = np.mean(v(there) - v(gone))
    return added


def sobol(v, n):
    """First-order and total indices as conditional variances over all coalitions (Sobol 2001)."""
    rows = (np.arange(1 << n)[:, None] >> np.arange(n)) % 2 == 1
    values = v(rows)
    first, total = np.zeros(n), np.zeros(n)
    for i in range(n):
        first[i] = np.var([values[rows[:, i] == side].mean() for side in (False, True)])
        pairs = np.stack([values[~rows[:, i]], values[rows[:, i]]])
        total[i] = np.mean(np.var(pairs, axis=0))
    return first / values.var(), total / values.var()
