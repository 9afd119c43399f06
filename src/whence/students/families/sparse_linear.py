"""A sum of a few weights, chosen along the path of the elastic net and fitted again without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import optimize, sparse, special

from whence.core.errors import CapabilityError, OptionError
from whence.students.families.base import (
    Evidence,
    Fitted,
    ReadingCost,
    Reasons,
    Student,
    feature_subset,
    training_weights,
)
from whence.students.families.views import WeightsView
from whence.students.features.vectorizer import Features
from whence.students.fitting.logistic import Linear, all_logits, lasso_path, ridge, softmax
from whence.students.fitting.sparse import size
from whence.students.formats.onnx_graph import Graph
from whence.students.formats.sql_query import SqlQuery

__all__ = ["FittedSparseLinear", "SparseLinear", "chosen_columns"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SparseLinear(Student):
    """Logits that are sums of the weights of the features a text has.

    The features are those of the densest solution of the elastic net's path with at most
    ``features`` of them; the weights are then fitted again with a small ridge only, because the
    penalty that chooses also shrinks. ``features=None`` keeps all of them, by ridge alone: what
    nobody reads, and so a measure of what brevity costs.

    Correlated features stand in for each other: which of them is chosen varies between samples
    far more than what is predicted. A weight is the teacher's habit, not a cause.
    Zou and Hastie (2005), doi:10.1111/j.1467-9868.2005.00503.x; Meinshausen (2007),
    doi:10.1016/j.csda.2006.12.019, for the second fit.

    ``signs`` keep weights from speaking against what is known: ``{"'fraud' denied": -1}`` says that
    a denial of fraud may not raise the second label. The choice does not know of them; a feature
    that would have to have the other sign gets no weight and is left out, so fewer may be used.

    Args:
        features: most features used; ``None`` for all.
        mixing: share of the absolute penalty in the choice; 1 is the lasso.
        strength: strength of the ridge in the last fit, in texts.
        signs: features to +1, a weight for the second of two labels that is 0 or more, or -1, one
            that is 0 or less. A feature is named as it is shown, an n-gram also by its words.
    """

    size_field = "features"
    aliases = ("linear",)
    # Each some three times the last: even steps of a frontier drawn over the logarithm of words.
    default_sizes = (10, 30, 100, 300)
    rank = 1

    features: int | None = 30
    mixing: float = 1.0
    # Measured on 1,500 held-out sentences (decision 9): at 0.1 the sum over all features agreed
    # .737 against .749 with the teacher, and diverged more (KL .375 against .331).
    strength: float = 1.0
    signs: Mapping[str, int] | None = None

    @classmethod
    def of_size(cls, size: str) -> Student:
        """The student of a size; of ``"all"``, the one that uses every feature."""
        # slots=True makes the class anew, so super() without arguments would mean the class that
        # was before it and raise a TypeError.
        return cls(features=None) if size == "all" else super(SparseLinear, cls).of_size(size)

    @property
    def name(self) -> str:
        """``sparse-linear-30`` or ``sparse-linear-all``; with ``-signed`` where signs are given."""
        size = "all" if self.features is None else self.features
        return f"{self.family()}-{size}{'-signed' if self.signs else ''}"

    def check(self, labels: Sequence[str]) -> None:
        """Refuse settings that cannot be fitted; see :meth:`Student.check`."""
        if not 0 < self.strength < np.inf or not 0 < self.mixing <= 1:
            raise OptionError(
                f"strength={self.strength}, mixing={self.mixing}: both above 0, and mixing at most 1"
            )
        if self.features is not None and self.features < 1:
            raise OptionError(
                f"expected features of at least 1, or None for all, got features={self.features}"
            )
        if not self.signs:
            return
        if len(labels) != 2:
            raise CapabilityError(
                f"signs were given for {len(labels)} labels; a sign says which of two labels a "
                "feature may speak for. Leave signs out, or distil one label against the rest."
            )
        for name, sign in self.signs.items():
            if sign not in (1, -1):
                raise OptionError(f"expected 1 or -1 for signs[{name!r}], got {sign!r}")

    def fit(
        self,
        table: sparse.csr_array,
        targets: Float[np.ndarray, "texts labels"],
        *,
        features: Features,
        labels: Sequence[str],
        weights: Float[np.ndarray, " texts"] | None = None,
    ) -> FittedSparseLinear:
        """Learn; seconds for 20,000 texts of 50,000 features."""
        self.check(labels)
        share = training_weights(table, targets, features, labels, weights)
        known = _signs(self.signs, features) if self.signs else None
        if self.features is not None:
            columns = chosen_columns(table, targets, share, most=self.features, mixing=self.mixing)
            part, subset = sparse.csr_array(table[:, columns]), feature_subset(features, columns)
        else:
            columns, part, subset = np.arange(len(features)), table, features
        if known is None:
            result = ridge(part, targets, share, strength=self.strength)
            return FittedSparseLinear(labels, subset, result)
        result = _signed(part, targets[:, 1], share, known[columns], strength=self.strength)
        # The solver projects onto the bounds, so a weight that one of them stops is exactly 0.
        allowed = np.flatnonzero((known[columns] == 0) | (result.weights[:, 0] != 0))
        result = Linear(allowed, result.weights[allowed], result.intercept)
        return FittedSparseLinear(labels, feature_subset(subset, allowed), result)


def _signs(signs: Mapping[str, int], features: Features) -> np.ndarray:
    """The sign of each column, 0 where none is given."""
    place = {feature.words: j for j, feature in enumerate(features.kept) if feature.kind == "ngram"}
    place |= {features.describe(column): column for column in range(len(features))}
    result = np.zeros(len(features), dtype=np.int64)
    for name, sign in signs.items():
        if name not in place:
            raise OptionError(
                f"signs name {name!r}, which is none of the {len(features)} features; name one as "
                f"it is shown, such as {features.describe(0)!r}"
            )
        result[place[name]] = sign
    return result


def _signed(
    table: sparse.csr_array,
    chance: Float[np.ndarray, " texts"],
    weights: Float[np.ndarray, " texts"],
    signs: np.ndarray,
    *,
    strength: float,
) -> Linear:
    """What :func:`~whence.students.fitting.logistic.ridge` finds for two labels, within the signs."""
    n, d = size(table)
    across = sparse.csr_array(table.T)

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w, outputs = flat[:d], table @ flat[:d] + flat[d]
        # The cross-entropy of one logit z: log(1 + e^z) - t z, written so that no e^z overflows.
        loss = float((weights * (np.logaddexp(0.0, outputs) - chance * outputs)).sum()) / n
        error = weights / n * (special.expit(outputs) - chance)
        slope = np.append(across @ error + strength / n * w, error.sum())
        return loss + 0.5 * strength / n * float(w @ w), slope

    bounds: list[tuple[float | None, float | None]] = [
        (0.0 if sign > 0 else None, 0.0 if sign < 0 else None) for sign in [*signs.tolist(), 0]
    ]
    result = optimize.minimize(
        value, np.zeros(d + 1), jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": 500, "maxfun": 1000, "gtol": 1e-8, "ftol": 1e-12},
    )  # fmt: skip
    return Linear(np.arange(d), result.x[:d, None], result.x[d:])


def chosen_columns(
    table: sparse.csr_array,
    targets: Float[np.ndarray, "texts labels"],
    weights: Float[np.ndarray, " texts"],
    *,
    most: int,
    mixing: float = 1.0,
) -> np.ndarray:
    """Columns of the densest solution on the path with at most ``most`` of them, ascending.

    Where one step of the path jumps over ``most``, the columns of greatest effect (weight times
    the spread of the column) of the next solution are taken.
    """
    path = lasso_path(table, targets, weights, most=most, mixing=mixing)
    if not path:
        return np.zeros(0, dtype=np.int64)
    last = path[-1][1]
    if len(last.columns) <= most:
        return last.columns
    rate = np.asarray(table.sum(axis=0))[last.columns] / size(table)[0]
    # sqrt(p (1 - p)) is the spread of a binary column: a large weight that few texts meet moves
    # little of what is predicted.
    effect = np.abs(last.weights).max(axis=1) * np.sqrt(rate * (1 - rate))
    return np.sort(last.columns[np.argsort(-effect, kind="stable")[:most]])


class FittedSparseLinear(Fitted):
    """Weights and intercepts; ``weights[j, l]`` is what feature ``j`` adds to the logit of ``l``.

    Logits are centred: those of a text add up to 0, so weights of one feature do too.
    """

    def __init__(self, labels: Sequence[str], features: Features, linear: Linear) -> None:
        super().__init__(labels, features)
        self.weights = all_logits(linear.weights)
        self.intercept = all_logits(linear.intercept[None])[0]

    def probabilities(self, table: sparse.csr_array) -> Float[np.ndarray, "texts labels"]:
        """Softmax of the sums."""
        return softmax(table @ self.weights + self.intercept)

    @property
    def reading_cost(self) -> ReadingCost:
        """Each feature and its weights; one number a feature where there are two labels."""
        each = 1 if len(self.labels) == 2 else len(self.labels)
        words = self.features.cost(range(len(self.features)))
        return ReadingCost(words, each * (len(self.features) + 1))

    def explain(self, text: str) -> Reasons:
        """The weights of the features the text has."""
        evidence = [
            Evidence(self.features.describe(j), tuple(places), self.weights[j])
            for j, places in self.features.spans(text).items()
        ]
        return self._reasons(text, self.intercept, evidence, "logit")

    def to_text(self) -> str:
        """One line a feature, the weightiest first."""
        order = np.argsort(-np.abs(self.weights).max(axis=1), kind="stable").tolist()
        # Of two labels, what speaks for one speaks as much against the other.
        two = len(self.labels) == 2
        head = f"feature: log-odds of {self.labels[1]}" if two else "feature: logits of "
        head += "" if two else ", ".join(self.labels)
        rows = [("(always)", self.intercept)]
        rows += [(self.features.describe(j), self.weights[j]) for j in order]
        lines = [
            f"{name}: " + ", ".join(f"{w:+.2f}" for w in ([row[1] - row[0]] if two else row))
            for name, row in rows
        ]
        return "\n".join([head, *lines])

    def view(self) -> WeightsView:
        """The weights, the largest first."""
        weights = self.weights
        if len(self.labels) == 2:
            weights = weights[:, 1:] - weights[:, :1]
        order = np.argsort(-np.abs(weights).max(axis=1, initial=0.0), kind="stable").tolist()
        rows = [(self.features.describe(j), self.weights[j]) for j in order]
        return WeightsView(self.intercept, tuple(rows))

    def weights_by_feature(self) -> Float[np.ndarray, "features labels"]:
        """The weights."""
        return self.weights

    def to_sql(self, query: SqlQuery) -> str:
        """A weighted sum."""
        return query.weighted_sum(self.weights, self.intercept)

    def to_onnx(self, graph: Graph, presence: str) -> str:
        """A weighted sum."""
        return graph.softmax(presence, self.weights, self.intercept)

    def to_json(self) -> dict[str, Any]:
        """Features, weights and intercepts."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "features": self.features.to_json(),
            "weights": self.weights.tolist(),
            "intercept": self.intercept.tolist(),
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> FittedSparseLinear:
        """What :meth:`to_json` wrote."""
        labels = tree["labels"]
        weights = np.array(tree["weights"], dtype=np.float64).reshape(-1, len(labels))
        intercept = np.array(tree["intercept"], dtype=np.float64)
        # Past __init__, which centres: what is stored is centred already, and to subtract its
        # rounding error once more would change the last bits.
        fitted = cls.__new__(cls)
        Fitted.__init__(fitted, labels, Features.from_json(tree["features"]))
        fitted.weights = weights
        fitted.intercept = intercept
        return fitted
