"""``whence.subsets``: features that alone give a decision, and features it cannot do without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from whence.core.arrays import frozen_array
from whence.core.errors import BudgetError, OptionError, unknown
from whence.core.explanations import Outcome
from whence.core.other_explanations import Rule
from whence.core.progress import Progress
from whence.core.provenance import MethodSpec, Provenance
from whence.core.targets import Target
from whence.decisions.decision_rule import DecisionRule, decision_rule
from whence.decisions.minimal_subset import minimal_subset
from whence.decisions.origin import origin_of
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache, call_cache
from whence.games.game import Game
from whence.games.maskers import Masker
from whence.games.question import Question, ask
from whence.games.segmenters import Segmenter
from whence.models.public_call import public_call

__all__ = ["SubsetKind", "subsets"]

SubsetKind = Literal["sufficient", "necessary"]

Works = Callable[[Sequence[tuple[int, ...]]], list[bool | None]]


@public_call
def subsets(
    model: Any,
    source: Any,
    *,
    kind: str = "sufficient",
    least: float | None = None,
    target: Target | str | int | None = None,
    threshold: float | None = None,
    link: str | None = None,
    unit: str | Segmenter = "word",
    masker: str | Masker = "auto",
    count: int = 3,
    budget: int = 5000,
    cache: Cache | None = None,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
) -> tuple[Rule, ...]:
    """Sets of features that suffice for a decision, or that it needs; several without a common one.

    Sufficient: with these features alone, all else absent, the model decides as it does, and its
    output is ``least`` or more. Found by backward selection (Carter et al. 2019, arXiv:1810.03805):
    the feature whose absence costs least is taken out, again and again; from the last one left on,
    features come back until the set suffices. Necessary, the dual: without them, all else present,
    the model decides otherwise; the feature whose absence costs most is taken out until it does.

    Either set is then made minimal: no proper subset does the same, which is asked for all of them up
    to 8 features; above that no single one can be spared, and ``minimal`` is ``None``. A minimal set
    is not always a smallest.

    Cost: n (n + 1) / 2 evaluations for a sufficient set of ``n`` features, less where the budget
    makes several leave at once, which is noted; about n times its size for a necessary one.

    When it misleads: absent features are what the masker makes of them, and a text of five words
    among masks is none that the model was trained on.

    Args:
        model: model from :func:`whence.load`.
        source: text, a pair of texts, or messages.
        kind: ``"sufficient"`` or ``"necessary"``.
        least: value that the decision's output must reach with a sufficient set, on the scale of
            ``link``; none: it must only decide.
        target: output to compare with the threshold, where no label decides by itself.
        threshold: edge of that output.
        link: scale of the outputs; none: log-odds for labels.
        unit: kind of feature.
        masker: masker, by name or instance, or ``"auto"``.
        count: number of sets at most.
        budget: most evaluations.
        cache: store of evaluations.
        token_budget: tokens in a batch to begin with.
        progress: callable of (what, done, total).

    Raises:
        OptionError: an unknown option, a ``least`` above the output of the whole text, or no
            threshold where one is needed.
        BudgetError: fewer evaluations than features and 2.

    Example:
        >>> import whence
        >>> rule = lambda texts: [[0.0, 1.0] if "a" in t and "b" in t else [1.0, 0.0] for t in texts]
        >>> model = whence.load(rule, labels=["no", "yes"])
        >>> [r.texts for r in whence.subsets(model, "a one b two")]
        [('a', 'b')]
        >>> [r.texts for r in whence.subsets(model, "a one b two", kind="necessary")]
        [('a',), ('b',)]
    """
    if kind not in get_args(SubsetKind):
        raise unknown("kind of subset", kind, get_args(SubsetKind))
    if count < 1:
        raise OptionError(f"expected a count of 1 or more, got count={count}")
    if least is not None and kind == "necessary":
        raise OptionError("least= goes with a sufficient subset, not with a necessary one")
    question = ask(model, source, target=target, link=link, unit=unit, masker=masker)
    needed = len(question.segmentation) + 2
    if budget < needed:
        raise BudgetError(
            f"subsets of {needed - 2} features need {needed} evaluations or more, got budget={budget}",
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
    search = _Search(game, rule, least)
    chosen: SubsetKind = "sufficient" if kind == "sufficient" else "necessary"
    find = search.sufficient if kind == "sufficient" else search.necessary
    results: list[tuple[tuple[int, ...], bool | None]] = []
    free = tuple(range(game.n))
    while len(results) < count and free:
        result = find(free)
        if result is None:
            break
        results.append(result)
        free = tuple(index for index in free if index not in result[0])
        # That nothing suffices, or that nothing is needed, is one answer and not several.
        if not result[0]:
            break
    origin = origin_of(
        question,
        MethodSpec(
            name="SufficientSubset" if kind == "sufficient" else "NecessarySubset",
            options={"least": least, "count": count, "budget": budget},
        ),
        seed=0,
        cost=game.cost,
        masker=question.masker,
    )
    records = _Records(question, rule, search, chosen, origin)
    if not results:
        return (records.none(),)
    return tuple(records.of(features, minimal) for features, minimal in results)


class _Search:
    """Backward and forward selection over coalitions, within the game's budget."""

    def __init__(self, game: Game, rule: DecisionRule, least: float | None) -> None:
        self.game, self._rule, self._least = game, rule, least
        self.exhausted = False
        self.dropped = 1
        full = game.full()
        self._column = rule.held if rule.threshold is None else 0
        if least is not None and full[self._column] < least:
            raise OptionError(
                f"expected least= of {full[self._column]:.4g} or less, which is what the whole text "
                f"reaches, got least={least}"
            )

    def sufficient(self, free: tuple[int, ...]) -> tuple[tuple[int, ...], bool | None] | None:
        """A minimal set of the free features that suffices alone; ``None`` where all do not."""
        if not self._suffices([free])[0]:
            return None
        left, removed = list(free), list[int]()
        while left:
            sets = [tuple(i for i in left if i != index) for index in left]
            values = self._values([self._only(s) for s in sets])
            if values is None:
                return None
            order = np.argsort(-self._score(values), kind="stable")
            gone = [left[int(place)] for place in order[: self._step(len(left))]]
            removed += gone
            left = [index for index in left if index not in gone]
        # The last one taken out matters most: the set grows from it.
        ends = [tuple(sorted(removed[place:])) for place in range(len(removed), -1, -1)]
        answers = self._suffices(ends)
        first = next((s for s, answer in zip(ends, answers, strict=True) if answer), None)
        return None if first is None else minimal_subset(first, self._suffices)

    def necessary(self, free: tuple[int, ...]) -> tuple[tuple[int, ...], bool | None] | None:
        """A minimal set of the free features without which the decision is another."""
        gone: tuple[int, ...] = ()
        while len(gone) < len(free):
            sets = [(*gone, index) for index in free if index not in gone]
            values = self._values([~self._only(s) for s in sets])
            if values is None:
                return None
            flipped = self._rule.flips(values)
            lead = self._rule.lead(values)
            gone = sets[int(np.argmin(np.where(flipped, -np.inf, lead)))]
            if flipped.any():
                return minimal_subset(tuple(sorted(gone)), self._turns)
        return None

    def _step(self, size: int) -> int:
        """How many features leave at once, so that the rest of the selection fits the budget."""
        room = self.game.remaining or 0
        if size * (size + 1) // 2 <= room:
            return 1
        # A share f of what is left costs size / f evaluations in all.
        step = max(1, ceil(size * size / max(1, room)))
        self.dropped = max(self.dropped, step)
        return min(step, size)

    def _suffices(self, sets: Sequence[tuple[int, ...]]) -> list[bool | None]:
        return self._answers([self._only(s) for s in sets], self._holds)

    def _turns(self, sets: Sequence[tuple[int, ...]]) -> list[bool | None]:
        return self._answers([~self._only(s) for s in sets], self._rule.flips)

    def _answers(
        self, coalitions: list[Bool[np.ndarray, " n"]], test: Callable[[np.ndarray], Any]
    ) -> list[bool | None]:
        values = self._values(coalitions)
        return [None] * len(coalitions) if values is None else test(values).tolist()

    def _holds(self, values: Float[np.ndarray, "m k"]) -> Any:
        held = self._rule.of(values) == self._rule.held
        return held if self._least is None else held & (values[:, self._column] >= self._least)

    def _score(self, values: Float[np.ndarray, "m k"]) -> Float[np.ndarray, " m"]:
        # With a value to be reached that value counts, else how far the decision leads.
        return self._rule.lead(values) if self._least is None else values[:, self._column]

    def _only(self, features: Sequence[int]) -> Bool[np.ndarray, " n"]:
        coalition = np.zeros(self.game.n, dtype=bool)
        coalition[list(features)] = True
        return coalition

    def _values(self, coalitions: list[Bool[np.ndarray, " n"]]) -> Float[np.ndarray, "m k"] | None:
        try:
            return self.game(np.stack(coalitions))
        except BudgetError:
            self.exhausted = True
            return None

    def value(self, features: Sequence[int], kind: SubsetKind) -> Float[np.ndarray, " k"] | None:
        """The outputs with a set alone, or without it."""
        coalition = self._only(features)
        values = self._values([coalition if kind == "sufficient" else ~coalition])
        return None if values is None else values[0]


class _Records:
    """Sets of features as records."""

    def __init__(
        self,
        question: Question,
        rule: DecisionRule,
        search: _Search,
        kind: SubsetKind,
        origin: Provenance,
    ) -> None:
        self._question, self._rule, self._search = question, rule, search
        self._kind: SubsetKind = kind
        self._origin = origin

    def of(self, features: tuple[int, ...], minimal: bool | None) -> Rule:
        """The record of a set that was found."""
        notes: list[str] = []
        outcome: Outcome = "converged" if minimal else "not_converged"
        if minimal is None:
            notes.append("not every subset was asked: one of several features less may do the same")
        if not features:
            outcome = "degenerate"
            notes.append("with every feature absent the model decides alike: no feature is needed")
        return self._record(features, minimal, outcome, (), notes)

    def none(self) -> Rule:
        """The record of a search that found no set."""
        spent = f"{self._search.game.evaluations:,} evaluations"
        if self._search.exhausted:
            return self._record(
                (), None, "budget_exhausted", (f"none found within {spent}; raise the budget",), []
            )
        reason = "no set of features that was taken out changes the decision"
        return self._record((), None, "degenerate", (f"none found within {spent}: {reason}",), [])

    def _record(
        self,
        features: tuple[int, ...],
        minimal: bool | None,
        outcome: Outcome,
        advice: tuple[str, ...],
        notes: list[str],
    ) -> Rule:
        question, rule = self._question, self._rule
        if self._search.dropped > 1:
            notes.append(
                f"up to {self._search.dropped} features left at once, to keep to the budget: a smaller "
                "set may suffice"
            )
        value = self._search.value(features, self._kind)
        full = self._search.game.full()
        absence = f"absence: {question.masker.describes} ({question.why})"
        return Rule(
            segmentation=question.segmentation,
            features=features,
            decision=rule.decision(full, question.decision),
            precision=None,
            precision_interval=None,
            coverage=None,
            n=1,
            threshold=None,
            outcome=outcome,
            advice=advice,
            notes=(absence, *notes, *question.notes(absent=True)),
            provenance=self._origin,
            rule="sufficient subset" if self._kind == "sufficient" else "necessary subset",
            minimal=minimal,
            outputs=rule.readout.outputs,
            values=None if value is None else frozen_array(value),
        )
