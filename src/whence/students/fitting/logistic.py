"""Logistic regression on soft targets: smooth by L-BFGS, sparse by coordinate descent.

The loss is the mean cross-entropy ``-sum_l t_l log p_l`` to the targets ``t``, whose minimum over
all models is the teacher itself. With two labels one logit is learnt, else one a label.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, sparse, special

from whence.students.fitting.sparse import dense, size

__all__ = ["Linear", "all_logits", "lasso_path", "ridge", "softmax"]

SWEEPS, ROUNDS = 100, 50
"""Sweeps of coordinate descent in a Newton step, and Newton steps, at most. Chosen by hand: both end
earlier where they move the loss too little."""

CLOSE = 1e-10
"""Nats by which the last step of the last solution may still move the loss: far below what any
printed number shows."""

EXPLAINED, RISE = 0.999, 1e-5
"""The path ends where the solution explains this share of the divergence from the teacher that
the mean answer leaves, or where a step adds less than this share of what is explained: the values
at which glmnet ends a path of deviances."""

ON_THE_WAY = 1e-7
"""Steps that move the loss by less than this share of that divergence end a solution, as in
glmnet; the last one of a path is then solved to ``CLOSE``."""

WRITTEN_OUT = 200_000
"""Numbers of a design up to which its zeros are written out: 600 texts of 300 columns. Above, adding
zeros takes longer than making sparse arrays. The sums are the same to the last bit. Chosen by hand."""

NOTHING = 1e-8
"""Nats of divergence from the teacher that are not worth a feature: rounding errors of a teacher
that always answers the same. Chosen by hand."""


class Linear(NamedTuple):
    """Weights of some columns on each output, and the intercepts."""

    columns: Int[np.ndarray, " columns"]
    weights: Float[np.ndarray, "columns outputs"]
    intercept: Float[np.ndarray, " outputs"]


def softmax(logits: Float[np.ndarray, "texts labels"]) -> Float[np.ndarray, "texts labels"]:
    """Probabilities of logits, row by row."""
    # As in scipy.special.softmax, whose checks take longer than its numbers for a few hundred texts.
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def all_logits(outputs: Float[np.ndarray, "texts outputs"]) -> Float[np.ndarray, "texts labels"]:
    """Logits of all labels, centred: of one output ``z`` they are ``-z/2`` and ``z/2``."""
    if outputs.shape[1] == 1:
        # Halves, so that two labels are centred as more are; their difference is the log-odds.
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
    """Minimum of the loss plus ``strength / (2 n) * sum of squared weights``, by L-BFGS.

    Args:
        table: one row a text, one column a feature.
        targets: probabilities of the teacher.
        weights: weight of each text.
        strength: strength of the penalty, in texts.
        rounds: iterations at most.
    """
    n, d = size(table)
    aims = targets[:, 1:] if targets.shape[1] == 2 else targets
    k = aims.shape[1]
    across = sparse.csr_array(table.T)

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W, b = flat[: d * k].reshape(d, k), flat[d * k :]
        outputs = table @ W + b
        logs = np.asarray(special.log_softmax(all_logits(outputs), axis=1))
        loss = -float((weights[:, None] * targets * logs).sum()) / n
        chances = np.exp(logs)
        # The slope of the cross-entropy is p - t on each logit; with two labels that of the one
        # output is p - t of the second, for its halves have slopes of opposite sign.
        error = (weights / n)[:, None] * ((chances[:, 1:] if k == 1 else chances) - aims)
        slope = across @ error + strength / n * W
        penalty = 0.5 * strength / n * float((W * W).sum())
        return loss + penalty, np.concatenate([slope.ravel(), error.sum(axis=0)])

    # From 0 on, the outputs of a text move by errors that add up to 0 over labels: the direction
    # which all labels share, and which moves no probability, is never entered.
    start = np.zeros(d * k + k)
    # A line search may ask for the loss more than once a step: calls may be twice the steps. The
    # tolerances are chosen by hand; not calibrated.
    result = optimize.minimize(
        value, start, jac=True, method="L-BFGS-B",
        options={"maxiter": rounds, "maxfun": 2 * rounds, "gtol": 1e-8, "ftol": 1e-12},
    )  # fmt: skip
    return Linear(np.arange(d), result.x[: d * k].reshape(d, k), result.x[d * k :])


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

    Args:
        table: one row a text, one column a feature.
        targets: probabilities of the teacher.
        weights: weight of each text.
        most: columns at which the path ends.
        mixing: share of the lasso in the penalty, above 0; 1 is the lasso alone.
        ratio: factor of the penalty from one solution to the next.
        shortest: penalty at which the path ends, as a share of the first.
    """
    # The ratio makes 57 penalties from the first to 1e-4 of it, which is where glmnet ends where
    # texts outnumber columns; the ratio is chosen by hand.
    solver = _Solver(table, targets, weights, mixing)
    path: list[tuple[float, Linear]] = []
    whole, explained = solver.divergence(), 0.0
    top = solver.highest_penalty()
    if whole <= NOTHING or top == 0:
        return path
    penalty = top
    while penalty > shortest * top:
        penalty *= ratio
        # Sequential strong rule, 2 s - s_before, with s_before = s / ratio (Tibshirani et al. 2012,
        # doi:10.1111/j.1467-9868.2011.01004.x): a column of a smaller slope is rarely in the next
        # solution. It can be, so solve() looks at all columns again.
        solver.admit(mixing * penalty * (2 - 1 / ratio))
        solution = solver.solve(penalty, ON_THE_WAY * whole)
        path.append((penalty, solution))
        before, explained = explained, 1 - solver.divergence() / whole
        enough = len(solution.columns) >= most or explained >= EXPLAINED
        if enough or (len(path) > 1 and explained - before < RISE * explained):
            break
    if path:
        # Only the last solution is used for its columns; the ones before it lead there, each the
        # start of the next.
        path[-1] = (penalty, solver.solve(penalty, CLOSE))
    return path


class _Penalty(NamedTuple):
    """Lasso and ridge of each weight; the intercept has neither."""

    lasso: Float[np.ndarray, " _"]
    ridge: Float[np.ndarray, " _"]


class _Design:
    """Some columns of a table and one of ones, which is the intercept's.

    Args:
        across: whole table, transposed.
        active: columns that are taken.
    """

    def __init__(self, across: sparse.csr_array, active: Int[np.ndarray, " active"]) -> None:
        whole = cast("Any", across)
        n = size(across)[1]
        # By their places in the table's arrays: indexing, stacking and transposing sparse arrays takes
        # longer than the descent over them.
        counts = np.append(np.diff(whole.indptr)[active], n)
        ends = np.cumsum(counts)
        places = np.arange(ends[-1] - n) + np.repeat(
            whole.indptr[active] - (ends - counts)[:-1], counts[:-1]
        )
        numbers = np.append(whole.data[places], np.ones(n))
        rows = np.append(whole.indices[places], np.arange(n))
        parts = (numbers, rows, np.append(0, ends))
        self.across = sparse.csr_array(parts, shape=(len(counts), n))
        self.columns = sparse.csc_array(parts, shape=(n, len(counts)))
        self._small = len(counts) * n <= WRITTEN_OUT
        self._rows: Any = sparse.csr_array(self.columns)
        if self._small:
            self._rows = dense(self._rows)

    def products(self, curve: Float[np.ndarray, " texts"]) -> Float[np.ndarray, "all all"]:
        """Sums over texts of a weight times the product of each two columns."""
        if self._small:
            return np.asarray(self.across @ (self._rows * curve[:, None]))
        return dense(self.across @ sparse.csr_array(self._rows * curve[:, None]))


class _Solver:
    """Weights, intercepts and outputs of the solution at hand, and the columns that may be in it."""

    def __init__(
        self, table: sparse.csr_array, targets: np.ndarray, weights: np.ndarray, mixing: float
    ) -> None:
        n, d = size(table)
        self._across = sparse.csr_array(table.T)
        self._targets, self._mixing = targets, mixing
        self._aims = targets[:, 1:] if targets.shape[1] == 2 else targets
        self._share = weights / n
        # The start is the mean answer; a label that never comes has no logarithm.
        level = np.log(np.clip((self._share[:, None] * targets).sum(axis=0), 1e-9, None))
        k = self._aims.shape[1]
        self._b = level[1:] - level[:1] if k == 1 else level - level.mean()
        self._W = np.zeros((d, k))
        self._outputs = np.tile(self._b, (n, 1))
        self._active = np.zeros(0, dtype=np.int64)
        self._slope = self._across @ self._errors()

    def highest_penalty(self) -> float:
        """The penalty from which on all weights are 0."""
        # 0 is the minimum while no slope of the loss exceeds the lasso's share of the penalty.
        return float(np.abs(self._slope).max()) / self._mixing

    def divergence(self) -> float:
        """Mean divergence from the teacher, in nats; probabilities below 1e-12 count as that."""
        logs = np.log(np.maximum(self._targets, 1e-12))
        chances = np.log(np.maximum(softmax(all_logits(self._outputs)), 1e-12))
        return float((self._share[:, None] * self._targets * (logs - chances)).sum())

    def admit(self, least: float) -> None:
        """Take columns into the working set whose slope is so steep."""
        likely = np.abs(self._slope).max(axis=1) >= least
        self._active = np.union1d(self._active, np.flatnonzero(likely))

    def solve(self, penalty: float, enough: float) -> Linear:
        """The solution at a penalty, to steps that move the loss by less than ``enough`` nats."""
        # A slope may exceed its bound by so much: the solution itself is no closer.
        bound = self._mixing * penalty * (1 + 1e-4)
        while True:
            self._descend(penalty, enough)
            self._slope = self._across @ self._errors()
            # Optimality of a weight at 0: its slope does not exceed that of the absolute value.
            wrong = (np.abs(self._slope) > bound).any(axis=1)
            wrong[self._active] = False
            if not wrong.any():
                break
            self._active = np.union1d(self._active, np.flatnonzero(wrong))
        self._active = np.flatnonzero((self._W != 0).any(axis=1))
        return Linear(self._active, self._W[self._active].copy(), self._b.copy())

    def _errors(self) -> np.ndarray:
        chances = softmax(all_logits(self._outputs))
        of_output = chances[:, 1:] if self._aims.shape[1] == 1 else chances
        return self._share[:, None] * (of_output - self._aims)

    def _descend(self, penalty: float, enough: float) -> None:
        """Newton steps of the loss, each solved by coordinate descent; outputs in turn."""
        k = self._outputs.shape[1]
        design = _Design(self._across, self._active)
        theta = np.vstack([self._W[self._active], self._b])
        lasso = np.full(len(theta), penalty * self._mixing)
        # The intercept, the last row, is not shrunk: the mean answer must stay free.
        lasso[-1] = 0.0
        ridge_of = np.where(lasso > 0, penalty * (1 - self._mixing), 0.0)
        for _ in range(ROUNDS):
            moved = 0.0
            for c in range(k):
                chances = softmax(all_logits(self._outputs))[:, 1 if k == 1 else c]
                # A curvature near 0 would make the step of a certain answer endless; 1e-5 is the
                # floor of Friedman et al. (2010), section 3.
                curve = self._share * np.maximum(chances * (1 - chances), 1e-5)
                # The curvature of the loss. With it in hand the descent within a step reads no text
                # (the covariance updates of the same paper): its cost is that of columns.
                H = design.products(curve)
                g = design.across @ (self._share * (chances - self._aims[:, c]))
                step = _coordinates(H, g, theta[:, c], _Penalty(lasso, ridge_of), enough / 10)
                theta[:, c] += step
                self._outputs[:, c] += design.columns @ step
                # Half of this is what the step moves the loss by, in nats as enough is, whatever
                # the scale of a column.
                moved = max(moved, float((np.diag(H) * step * step).max()))
            if moved < enough:
                break
        self._W[self._active], self._b = theta[:-1], theta[-1]


def _coordinates(
    H: np.ndarray, g: np.ndarray, start: np.ndarray, penalty: _Penalty, enough: float
) -> np.ndarray:
    """The step that minimises ``g.d + d.H.d/2`` and the penalty at ``start + d``."""
    size = len(g)
    slope, now = g.copy(), start.copy()
    # Lists: this loop reads single numbers, which is slow of arrays.
    curves = (np.diag(H) + penalty.ridge).tolist()
    lassos, ridges = penalty.lasso.tolist(), penalty.ridge.tolist()
    live = range(size)
    for sweep in range(SWEEPS):
        largest = 0.0
        for j in live:
            old = float(now[j])
            curve = curves[j]
            # The minimum in one weight: (H_jj + ridge) w = H_jj old - slope, drawn to 0 by the
            # lasso, which is soft thresholding. The slope is that of the smooth part alone.
            z = (curve - ridges[j]) * old - float(slope[j])
            lasso = lassos[j]
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
            # Weights at 0 mostly stay there: ten sweeps of the others, then all again.
            live = [j for j in range(size) if now[j] != 0 or lassos[j] == 0.0]
        if len(live) == 0:
            live = range(size)
    return now - start
