"""Soft stability: how often the answer of the marked words survives when others are revealed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int

from whence.core.errors import CapabilityError, OptionError
from whence.core.measurements import Interval, Measurement
from whence.core.provenance import Cost
from whence.core.statistics.clopper_pearson import lower_bound
from whence.core.targets import Label, Target, TokenLabel
from whence.evaluation.instance import Instance
from whence.evaluation.robustness.rank_agreement import top_size
from whence.games.question import Question
from whence.models.protocols import TextModel, TokenModel

__all__ = ["Decide", "SoftStability", "decide_by_labels", "revealed"]

Decide = Callable[[Bool[np.ndarray, "m n"]], Int[np.ndarray, " m"]]
"""Which label the model gives with only some features present."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftStability:
    """The share of ways to reveal up to r more features that keep the answer of the top alone.

    Formula: tau_r = P(label(x_A') = label(x_A)), A the kept features, A' uniform over all sets that
    contain A and at most r features more (A itself among them). Sign: higher is better; 1: no
    further word changes the answer. Unit: probability. Exact where there are no more such sets than
    ``draws``; else the interval is Clopper and Pearson's, one-sided: with confidence ``level`` the
    share is at least ``low``. Twenty-nine draws without a change give 0.90 at 95 %. Cost: ``draws``
    + 1 evaluations at most.

    When it misleads: it says that the top holds its own label, not that this is the label of the
    whole text; read it with sufficiency.

    Args:
        radius: r, the most features revealed.
        draws: sets tried.
        level: confidence of the bound.

    Source: Jin et al. (2025), arXiv:2504.13787.
    """

    radius: int = 3
    draws: int = 150
    level: float = 0.95

    def measure(
        self,
        instance: Instance,
        shown: Bool[np.ndarray, " n"] | None,
        decide: Decide,
        *,
        scores: Float[np.ndarray, " n"] | None = None,
    ) -> Measurement:
        """Reveal further features, and count how often the label stays.

        Args:
            instance: input.
            shown: mask of the features that are kept; none: the top fifth of ``scores``.
            decide: function that gives the label of the model; from :func:`decide_by_labels`.
            scores: scores of the features, where ``shown`` is not given.

        Raises:
            OptionError: options out of range, or nothing said of what is kept.
        """
        if self.radius < 1 or self.draws < 1 or not 0 < self.level < 1:
            raise OptionError(
                "expected radius and draws of 1 or more and a level above 0 and below 1, got "
                f"radius={self.radius}, draws={self.draws}, level={self.level}"
            )
        if shown is None:
            if scores is None:
                raise OptionError("give the kept features, or scores to take the top of")
            shown = np.zeros(instance.n, dtype=bool)
            shown[np.argsort(-scores, kind="stable")[: top_size(instance.n)]] = True
        sets, exact = revealed(shown, self.radius, self.draws, instance.seed)
        labels = decide(np.concatenate([shown[None], sets]))
        # The first row is the kept features alone, the answer that is to stay.
        same = int(np.count_nonzero(labels[1:] == labels[0]))
        interval = None
        if not exact:
            low = lower_bound(same, len(sets), self.level)
            how = "Clopper-Pearson, one-sided"
            interval = Interval(low=low, high=1.0, level=self.level, how=how)
        return Measurement(
            name="soft-stability",
            value=same / len(sets),
            unit="probability",
            n=len(sets),
            direction="higher",
            interval=interval,
            specification=instance.specification(
                type(self).__name__,
                radius=self.radius,
                draws=self.draws,
                kept=",".join(map(str, np.flatnonzero(shown).tolist())),
                exact=exact,
            ),
            best=1.0,
        )


def revealed(
    shown: Bool[np.ndarray, " n"], radius: int, draws: int, seed: int
) -> tuple[Bool[np.ndarray, "m n"], bool]:
    """Sets with at most ``radius`` features more: all of them if no more than ``draws``, else drawn.

    Drawn uniformly over sets, so the number revealed is j in proportion to C(free, j).
    """
    free = np.flatnonzero(~shown)
    most = min(radius, len(free))
    counts = [comb(len(free), j) for j in range(most + 1)]
    total = sum(counts)
    if total <= draws:
        chosen = [list(c) for j in range(most + 1) for c in combinations(free.tolist(), j)]
    else:
        rng = np.random.default_rng([seed, 41])
        # Python's whole numbers divide exactly, however large; as floats C(n, r) may overflow.
        shares = np.array([count / total for count in counts])
        sizes = rng.choice(most + 1, size=draws, p=shares / shares.sum())
        chosen = [rng.permutation(free)[:size].tolist() for size in sizes]
    sets = np.repeat(shown[None], len(chosen), axis=0)
    for row, more in zip(sets, chosen, strict=True):
        row[more] = True
    return sets, total <= draws


def decide_by_labels(question: Question, spent: list[Cost] | None = None) -> Decide:
    """Which of the model's labels is highest, by the question's own masker.

    Args:
        question: question about the text.
        spent: list that the cost of each call is added to.

    Raises:
        CapabilityError: a model without two labels to choose between.
    """
    model, labels = question.model, question.model.labels
    number = getattr(model, "regression", False)
    if len(labels) < 2 or number:
        raise CapabilityError(
            f"soft stability needs labels to choose between; {model.identity.ref} has "
            f"{'numbers' if number else len(labels)}. Give decide=... of your own."
        )
    explained = question.readout.outputs[0].target
    if isinstance(explained, TokenLabel):
        # Of the words whose label is explained, not of the text.
        targets: list[Target] = [replace(explained, label=i) for i in range(len(labels))]
    elif model.task == "token_classification":
        raise CapabilityError(
            "soft stability follows the label of words; expected a TokenLabel, got "
            f"{type(explained).__name__}"
        )
    else:
        targets = [Label(label=index) for index in range(len(labels))]
    if isinstance(model, TokenModel):
        assert question.encoding is not None
        # A softmax keeps the order of its logits, so the highest of them is the label.
        readout = model.readout(question.encoding, targets, link="logit")
    else:
        assert isinstance(model, TextModel)
        readout = model.readout_text(question.segmentation.document, targets)

    def decide(coalitions: Bool[np.ndarray, "m n"]) -> Int[np.ndarray, " m"]:
        game = question.game(readout=readout)
        labels = np.argmax(game(coalitions), axis=1)
        if spent is not None:
            spent.append(game.cost)
        return labels

    return decide
