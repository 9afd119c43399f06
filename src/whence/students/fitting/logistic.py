"""Logistic regression on soft targets: smooth by L-BFGS, sparse by coordinate descent.

The loss is the mean cross-entropy ``-sum_l t_l log p_l`` to the targets ``t``, whose minimum over
all models is the teacher itself. With two labels one logit is learnt, else one a label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, sparse

from whence.students.fitting.sparse import dense, size

__all__ = ["Linear", "all_logits", "lasso_path", "ridge", "softmax"]

SWEEPS, ROUNDS = 100, 50
CLOSE = 1e-10
"""Nats by which the last step of the last solution may still move the loss."""

EXPLAINED, RISE = 0.999, 1e-5
"""The path ends where the solution explains this share of the divergence from the teacher that
the mean answer leaves, or where a step adds less than this share of what is explained."""

ON_THE_WAY = 1e-7
"""Steps that move the loss by less than this share of that divergence end a solution, as in
glmnet; the last one of a path is then solved to ``CLOSE``."""

NOTHING = 1e-8
"""Nats of divergence from the teacher that are not worth a feature."""


class Linear(NamedTuple):
    """Weights of some columns on each output, and the intercepts."""

    columns: Int[np.ndarray, " columns"]
    weights: Float[np.ndarray, "columns outputs"]
    intercept: Float[np.ndarray, " outputs"]


def softmax(logits: Float[np.ndarray, "texts labels"]) -> Float[np.ndarray, "texts labels"]:
    """Probabilities of logits."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def all_logits(outputs: Float[np.ndarray, "texts outputs"]) -> Float[np.ndarray, "texts labels"]:
    """Logits of all labels, centred: of one output ``z`` they are ``-z/2`` and ``z/2``."""
    if outputs.shape[1] == 1:
        return np.hstack([-outputs / 2, outputs / 2])
    return outputs - outputs.mean(axis=1, keepdims=True)


def ridge(
    table: sparse.csr_array,
    targets: Float[np.ndarray, "texts labels"],
    weights: Float[np.ndarray, " texts"],
    *,
    strength: float,
    rounds: int = 500,
) -> Linear:
    """Minimum of the loss plus ``strength / (2 n) * sum of squared weights``, by L-BFGS."""
    n, d = size(table)
    aims = targets[:, 1:] if targets.shape[1] == 2 else targets
    k = aims.shape[1]
    across = sparse.csr_array(table.T)

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W, b = flat[: d * k].reshape(d, k), flat[d * k :]
        outputs = table @ W + b
        logits = all_logits(outputs)
        shifted = logits - logits.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = -float((weights[:, None] * targets * logs).sum()) / n
        chances = np.exp(logs)
        error = (weights / n)[:, None] * ((chances[:, 1:] if k == 1 else chances) - aims)
        slope = across @ error + strength / n * W
        penalty = 0.5 * strength / n * float((W * W).sum())
        return loss + penalty, np.concatenate([slope.ravel(), error.sum(axis=0)])

    start = np.zeros(d * k + k)
    found = optimize.minimize(
        value, start, jac=True, method="L-BFGS-B",
        options={"maxiter": rounds, "maxfun": 2 * rounds, "gtol": 1e-8, "ftol": 1e-12},
    )  # fmt: skip
    return Linear(np.arange(d), found.x[: d * k].reshape(d, k), found.x[d * k :])


def lasso_path(
    table: sparse.csr_array,
    targets: Float[np.ndarray, "texts labels"],
    weights: Float[np.ndarray, " texts"],
    *,
    most: int,
    mixing: float = 1.0,
    ratio: float = 0.85,
    shortest: float = 1e-4,
) -> list[tuple[float, Linear]]:
    """Solutions of falling penalty until ``most`` columns are used, the penalty with each.

    Minimises the loss plus ``s * (mixing |w|_1 + (1 - mixing)/2 |w|^2)`` for ``s`` falling by
    ``ratio`` from where the first weight appears to ``shortest`` of it. Each is solved by
    quadratic approximation and coordinate descent on a working set, which grows until no other
    column violates the conditions of optimality, so the answer is that of all columns together.
    The last solution may use more columns than asked for. The path ends early where the loss no
    longer falls (see ``EXPLAINED``); it is empty for a teacher that always answers the same.
    Friedman, Hastie, Tibshirani (2010), doi:10.18637/jss.v033.i01.
    """
    n, d = size(table)
    aims = targets[:, 1:] if targets.shape[1] == 2 else targets
    k = aims.shape[1]
    across = sparse.csr_array(table.T)
    share = weights / n
    mean = np.clip((share[:, None] * targets).sum(axis=0), 1e-9, None)
    level = np.log(mean)
    b = level[1:] - level[:1] if k == 1 else level - level.mean()
    W = np.zeros((d, k))
    outputs = np.tile(b, (n, 1))

    def errors() -> np.ndarray:
        chances = softmax(all_logits(outputs))
        return share[:, None] * ((chances[:, 1:] if k == 1 else chances) - aims)

    slope = across @ errors()
    top = float(np.abs(slope).max()) / mixing
    path: list[tuple[float, Linear]] = []
    logs = np.log(np.maximum(targets, 1e-12))

    def divergence() -> float:
        chances = np.log(np.maximum(softmax(all_logits(outputs)), 1e-12))
        return float((share[:, None] * targets * (logs - chances)).sum())

    whole, explained = divergence(), 0.0
    if whole <= NOTHING or top == 0:
        return path
    penalty = top
    active = np.zeros(0, dtype=np.int64)

    def solved(enough: float) -> Linear:
        nonlocal active, b, outputs, slope
        while True:
            part = sparse.csr_array(table[:, active])
            W[active], b, outputs = _descend(
                part, aims, share, W[active], b, outputs,
                penalty * mixing, penalty * (1 - mixing), enough,
            )  # fmt: skip
            slope = across @ errors()
            wrong = (np.abs(slope) > mixing * penalty * (1 + 1e-4)).any(axis=1)
            wrong[active] = False
            if not wrong.any():
                break
            active = np.union1d(active, np.flatnonzero(wrong))
        active = np.flatnonzero((W != 0).any(axis=1))
        return Linear(active, W[active].copy(), b.copy())

    while penalty > shortest * top:
        penalty *= ratio
        # Strong rule: a column this far from the bound before is rarely in the next solution.
        likely = np.abs(slope).max(axis=1) >= mixing * penalty * (2 - 1 / ratio)
        active = np.union1d(active, np.flatnonzero(likely))
        found = solved(ON_THE_WAY * whole)
        path.append((penalty, found))
        before, explained = explained, 1 - divergence() / whole
        enough = len(found.columns) >= most or explained >= EXPLAINED
        if enough or (len(path) > 1 and explained - before < RISE * explained):
            break
    if path:
        path[-1] = (penalty, solved(CLOSE))
    return path


def _descend(
    part: sparse.csr_array,
    aims: np.ndarray,
    share: np.ndarray,
    W: np.ndarray,
    b: np.ndarray,
    outputs: np.ndarray,
    lasso: float,
    square: float,
    enough: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Newton steps of the loss, each solved by coordinate descent; outputs in turn."""
    n, k = outputs.shape
    design = sparse.csr_array(sparse.hstack([part, np.ones((n, 1))]))
    across = sparse.csr_array(design.T)
    theta = np.vstack([W, b])
    bound = np.full(len(theta), lasso)
    bound[-1] = 0.0
    for _ in range(ROUNDS):
        moved = 0.0
        for c in range(k):
            chances = softmax(all_logits(outputs))[:, 1 if k == 1 else c]
            curve = share * np.maximum(chances * (1 - chances), 1e-5)
            # Every column of a weighted table times all columns: the curvature of the loss.
            H = dense(across @ sparse.csr_array(design * curve[:, None]))
            g = across @ (share * (chances - aims[:, c]))
            step = _coordinates(H, g, theta[:, c], bound, square, enough / 10)
            theta[:, c] += step
            outputs[:, c] += design @ step
            moved = max(moved, float((np.diag(H) * step * step).max()))
        if moved < enough:
            break
    return theta[:-1], theta[-1], outputs


def _coordinates(
    H: np.ndarray,
    g: np.ndarray,
    start: np.ndarray,
    bound: np.ndarray,
    square: float,
    enough: float,
) -> np.ndarray:
    """The step that minimises ``g.d + d.H.d/2`` and the penalty at ``start + d``."""
    size = len(g)
    ridge_of = np.where(bound > 0, square, 0.0)
    diagonal = np.diag(H) + ridge_of
    slope = g.copy()
    now = start.copy()
    d_list, l_list, r_list = diagonal.tolist(), bound.tolist(), ridge_of.tolist()
    live = range(size)
    for sweep in range(SWEEPS):
        largest = 0.0
        for j in live:
            old = float(now[j])
            curve = d_list[j]
            z = (curve - r_list[j]) * old - float(slope[j])
            lasso = l_list[j]
            new = (z - lasso if z > lasso else z + lasso if z < -lasso else 0.0) / curve
            if new != old:
                now[j] = new
                slope += H[j] * (new - old)
                largest = max(largest, curve * (new - old) ** 2)
        if largest < enough:
            if len(live) == size:
                break
            live = range(size)
        elif sweep % 10 == 0:
            live = [j for j in range(size) if now[j] != 0 or l_list[j] == 0.0]
        if len(live) == 0:
            live = range(size)
    return now - start
