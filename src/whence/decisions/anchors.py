"""``whence.anchor``: features whose presence fixes a decision whatever else is taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from whence.core.errors import BudgetError, OptionError
from whence.core.explanations import Outcome
from whence.core.measurements import Interval
from whence.core.other_explanations import Rule
from whence.core.progress import Progress
from whence.core.provenance import MethodSpec
from whence.core.statistics.clopper_pearson import lower_bound, share_interval
from whence.core.targets import Target
from whence.decisions.decision_rule import DecisionRule, decision_rule
from whence.decisions.kl_lucb import Arm, best_arms, lower, upper
from whence.decisions.origin import origin_of, settings_of
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache, call_cache
from whence.games.game import Game
from whence.games.maskers import Masker
from whence.games.question import Question, ask
from whence.games.segmenters import Segmenter
from whence.models.public_call import public_call

__all__ = ["AnchorOptions", "anchor"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorOptions:
    """How an anchor is searched for.

    Args:
        beam: number of sets that each size hands on.
        most_features: number of features of an anchor at most.
        absent: probability with which each feature that is not in the anchor is absent.
        tolerance: difference of precisions that does not matter to the search.
        failure: probability of an error of the search.
        draws: number of texts drawn at once.
        fresh: number of texts drawn anew for the precision that is stated; with 59 or more a
            precision of 0.95 can be shown.
    """

    beam: int = 4
    most_features: int = 6
    absent: float = 0.5
    tolerance: float = 0.1
    failure: float = 0.05
    draws: int = 32
    fresh: int = 300

    def __post_init__(self) -> None:
        for name in ("beam", "most_features", "draws", "fresh"):
            if getattr(self, name) < 1:
                raise OptionError(f"expected {name} of 1 or more, got {name}={getattr(self, name)}")
        for name in ("absent", "tolerance", "failure"):
            if not 0 < getattr(self, name) < 1:
                raise OptionError(
                    f"expected {name} between 0 and 1, got {name}={getattr(self, name)}"
                )


@public_call
def anchor(
    model: Any,
    source: Any,
    *,
    precision: float = 0.95,
    target: Target | str | int | None = None,
    threshold: float | None = None,
    unit: str | Segmenter = "word",
    masker: str | Masker = "auto",
    texts: Sequence[str] | None = None,
    budget: int = 5000,
    seed: int = 0,
    options: dict[str, Any] | None = None,
    cache: Cache | None = None,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
) -> Rule:
    """The fewest features whose presence keeps a decision, with the precision of that rule.

    Texts are drawn by the masker: features of the anchor are present, each other one is absent with
    probability ``absent``. The precision is the share of such texts with the model's decision. Sets
    grow by one feature at a time in a beam, and KL-LUCB says how often each is drawn from (Ribeiro et
    al. 2018, doi:10.1609/aaai.v32i1.11491). The precision that is stated is of ``fresh`` texts drawn
    anew, with the exact one-sided 95 % bound of Clopper and Pearson; the search chose by other draws, so
    it is not the winner's luck. Where that bound misses the precision asked for, the record says so.

    Coverage: the share of texts drawn without an anchor that hold its features, (1 - absent)^size,
    exactly; with ``texts`` the share of those that have all its words, with its interval.

    Cost: the budget at most; the fresh texts are set aside first. Equal draws count once.

    When it misleads: the rule speaks of texts with words taken out, not of other people's texts; a
    decision that hardly ever changes is anchored by anything.

    Args:
        model: model from :func:`whence.load`.
        source: text, a pair of texts, or messages.
        precision: share of texts that the anchor must keep, in (0, 1).
        target: output to compare with the threshold, where no label decides by itself.
        threshold: edge of that output.
        unit: kind of feature.
        masker: masker, by name or instance, or ``"auto"``.
        texts: texts of whatever the model reads, by which coverage is measured.
        budget: most evaluations.
        seed: seed of the draws.
        options: settings of :class:`AnchorOptions`.
        cache: store of evaluations.
        token_budget: tokens in a batch to begin with.
        progress: callable of (what, done, total).

    Raises:
        OptionError: an unknown option, or a precision that is no share.
        BudgetError: fewer evaluations than the fresh texts and a draw for each feature need.

    Example:
        >>> import whence
        >>> rule = lambda texts: [[0.0, 1.0] if "a" in t and "b" in t else [1.0, 0.0] for t in texts]
        >>> model = whence.load(rule, labels=["no", "yes"])
        >>> r = whence.anchor(model, "a one b two")
        >>> r.texts, r.precision, r.coverage, round(r.precision_interval.low, 2)
        (('a', 'b'), 1.0, 0.25, 0.99)
    """
    settings = settings_of(AnchorOptions, options)
    if not 0 < precision < 1:
        raise OptionError(f"expected a precision between 0 and 1, got precision={precision}")
    if seed < 0:
        raise OptionError(f"expected a seed of 0 or more, got seed={seed}")
    if texts is not None and (isinstance(texts, str) or not texts):
        raise OptionError("expected texts= to be a list of one text or more")
    question = ask(model, source, target=target, unit=unit, masker=masker)
    n = len(question.segmentation)
    needed = min(1 << n, settings.fresh + n * min(settings.draws, 1 << (n - 1)) + 1)
    if budget < needed:
        raise BudgetError(
            f"an anchor among {n} features needs {needed:,} evaluations or more ({settings.fresh} fresh "
            f"texts, {settings.draws} for each feature), got budget={budget:,}",
            needed=needed,
            budget=budget,
        )
    rule = decision_rule(question, threshold=threshold)
    game = question.game(
        budget=budget,
        cache=call_cache(cache),
        token_budget=token_budget,
        progress=progress,
        readout=rule.readout,
    )
    full = game.full()
    search = _Search(game, rule, settings, precision, seed)
    features, proven = search.find()
    hits = search.fresh(features)
    low = lower_bound(hits, settings.fresh)
    outcome, advice = _ending(features, low, precision, search)
    coverage, coverage_interval, how = _coverage(question, features, settings.absent, texts)
    absence = f"absence: {question.masker.describes} ({question.why})"
    drawn = f"texts drawn: each feature outside is absent with probability {settings.absent:g}"
    notes = [absence, drawn, how, *question.notes(absent=True)]
    if not proven and outcome == "converged":
        notes.append("the search ended before it was sure; the fresh texts are")
    return Rule(
        segmentation=question.segmentation,
        features=features,
        decision=rule.decision(full, question.decision),
        precision=hits / settings.fresh,
        precision_interval=Interval(
            low=low, high=1.0, level=0.95, how="Clopper-Pearson, one-sided, of texts drawn anew"
        ),
        coverage=coverage,
        n=settings.fresh,
        threshold=precision,
        outcome=outcome,
        advice=advice,
        notes=tuple(notes),
        provenance=origin_of(
            question,
            MethodSpec(
                name="Anchors",
                options={
                    **MethodSpec.of(settings).options,
                    "precision": precision,
                    "budget": budget,
                },
            ),
            seed=seed,
            cost=game.cost,
            masker=question.masker,
        ),
        coverage_interval=coverage_interval,
        rule="anchor",
        outputs=rule.readout.outputs,
        values=None,
    )


def _ending(
    features: tuple[int, ...], low: float, precision: float, search: _Search
) -> tuple[Outcome, tuple[str, ...]]:
    if low < precision:
        what: Outcome = "budget_exhausted" if search.exhausted else "not_converged"
        return what, (
            f"no anchor of up to {search.settings.most_features} features was shown to have a precision "
            f"of {precision:g}; the best one has {low:.3g} or more. Allow more features, a larger "
            "budget, or more fresh texts",
        )
    if not features:
        return "degenerate", (
            f"the decision is the same in {low:.3g} of the texts drawn or more: no feature anchors it",
        )
    return "converged", ()


def _coverage(
    question: Question, features: tuple[int, ...], absent: float, texts: Sequence[str] | None
) -> tuple[float, Interval | None, str]:
    if texts is None:
        share = (1 - absent) ** len(features)
        return share, None, "coverage: of the texts drawn, by the law of the draws and so exact"
    words = {question.segmentation.features[index].text.casefold() for index in features}
    hits = sum(words <= _words(question, text) for text in texts)
    interval = share_interval(hits, len(texts), "of the texts given")
    return hits / len(texts), interval, f"coverage: of {len(texts):,} texts given, by their words"


def _words(question: Question, text: str) -> set[str]:
    from whence.core.features import Document

    document = Document.plain(text)
    return {f.text.casefold() for f in question.segmenter.segment(document, None).features}


class _Search:
    """The beam of sets of features, and the draws behind their precisions."""

    def __init__(
        self, game: Game, rule: DecisionRule, settings: AnchorOptions, precision: float, seed: int
    ) -> None:
        self._game, self._rule, self.settings, self._precision = game, rule, settings, precision
        self._rng = np.random.default_rng([seed, 0])
        # Of another stream than the search, so that what is stated owes nothing to what was chosen.
        self._fresh = np.random.default_rng([seed, 1])
        self.exhausted = False
        # Evaluations that are left for later.
        self._stop = 0

    @property
    def _room(self) -> int:
        """Evaluations left beside the fresh texts, which at worst are all new."""
        return (self._game.remaining or 0) - self.settings.fresh

    def find(self) -> tuple[tuple[int, ...], bool]:
        """The fewest features that reach the precision, else the best; and whether that is sure."""
        empty = Arm(())
        best, beam = empty, [empty]
        if self._draw(empty) and self._proves(empty):
            return (), True
        sizes = min(self.settings.most_features, self._game.n)
        for size in range(sizes):
            # An equal part of what is left for each size: where many sets are alike, telling the best
            # apart would else take everything before a larger set was tried.
            room = self._room // (sizes - size)
            self._stop = self._room - room
            grown = {
                tuple(sorted((*arm.features, index)))
                for arm in beam
                for index in range(self._game.n)
                if index not in arm.features
            }
            arms = [Arm(features) for features in sorted(grown)]
            beam = best_arms(
                arms,
                min(self.settings.beam, len(arms)),
                self._draw,
                tolerance=self.settings.tolerance,
                failure=self.settings.failure,
            )
            self._stop = 0
            valid = [arm for arm in beam if self._proves(arm)]
            if valid:
                return max(valid, key=lambda arm: arm.mean).features, True
            # Equally precise sets: the smaller one, which was there before, covers more.
            best = max([best, *beam], key=lambda arm: arm.mean)
            if self.exhausted:
                break
        return best.features, False

    def fresh(self, features: tuple[int, ...]) -> int:
        """Of ``fresh`` texts drawn anew, how many have the decision."""
        rows = self._rows(features, self.settings.fresh, self._fresh)
        return int((self._rule.of(self._game(rows)) == self._rule.held).sum())

    def _proves(self, arm: Arm) -> bool:
        """Whether an arm reaches the precision, drawn from until it is clear."""
        rate = log(1 / self.settings.failure)
        while arm.n:
            if lower(arm, rate) >= self._precision:
                return True
            if upper(arm, rate) < self._precision or not self._draw(arm):
                return False
        return False

    def _draw(self, arm: Arm) -> bool:
        rows = self._rows(arm.features, self.settings.draws, self._rng)
        new = len({row.tobytes() for row in rows[~self._game.known(rows)]})
        if new > self._room - self._stop:
            self.exhausted |= new > self._room
            return False
        arm.hits += int((self._rule.of(self._game(rows)) == self._rule.held).sum())
        arm.n += len(rows)
        return True

    def _rows(self, features: tuple[int, ...], count: int, rng: np.random.Generator) -> np.ndarray:
        rows = rng.random((count, self._game.n)) >= self.settings.absent
        rows[:, list(features)] = True
        return rows
