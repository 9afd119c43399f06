"""``whence.counterfactuals``: the smallest edits found that change a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whence.attribution.run import answer, plan_for
from whence.core.arrays import frozen_array
from whence.core.errors import BudgetError, ModelOutputError, OptionError, unknown
from whence.core.explanations import Decision, Outcome
from whence.core.other_explanations import Counterfactual
from whence.core.progress import Progress
from whence.core.provenance import Cost, MethodSpec, Provenance
from whence.core.targets import Target
from whence.decisions.candidate_edits import Candidates
from whence.decisions.decision_rule import decision_rule
from whence.decisions.edit_search import EditSearch, Flip, Limits, State
from whence.decisions.edited_texts import EditedTexts, composed
from whence.decisions.origin import origin_of, settings_of
from whence.decisions.plausibility import check_language_model, mean_log_probability
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.question import Question, ask
from whence.games.segmenters import Segmenter
from whence.models.public_call import public_call

__all__ = ["KINDS", "EditOptions", "counterfactuals"]

KINDS = ("number", "negation", "substitution", "deletion", "own-word")
"""Kinds of edits. Of flips as short and as plausible, those of a kind further to the front are taken:
they leave a sentence that can be read. Chosen by hand."""
LEAST = 3
"""Evaluations of the smallest search: the text as it is, one edit, and the edited text once more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EditOptions:
    """How edits are searched for.

    Args:
        kinds: kinds of edits, by commas: number (another value), negation, substitution (a shipped
            table of opposites, and words of a masked language model), deletion, own-word (another
            word of the text).
        most_edits: number of features that are edited at most.
        beam: number of sets of edits that each depth hands on.
        own_words: number of other words of the text that are tried in a feature's place.
        guide: attribution method whose scores say which features are tried first; empty: what the
            deletion of each does.
    """

    kinds: str = ",".join(KINDS)
    most_edits: int = 4
    beam: int = 8
    own_words: int = 3
    guide: str = ""

    def __post_init__(self) -> None:
        for kind in self.kinds.split(","):
            if kind not in KINDS:
                raise unknown("kind of edit", kind, KINDS)
        for name, least in (("most_edits", 1), ("beam", 1), ("own_words", 0)):
            if getattr(self, name) < least:
                raise OptionError(
                    f"expected {name} of {least} or more, got {name}={getattr(self, name)}"
                )


@public_call
def counterfactuals(
    model: Any,
    source: Any,
    *,
    wanted: str | None = None,
    target: Target | str | int | None = None,
    threshold: float | None = None,
    unit: str | Segmenter = "word",
    count: int = 3,
    budget: int = 1000,
    language_model: Any = None,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
) -> tuple[Counterfactual, ...]:
    """The smallest edits found that change a model's decision, several that share no feature.

    Each flip is what the model answers on the edited text itself, asked twice. Fewest edits first, of
    as many the most plausible, then those of the first kinds of edits, then the fewest characters; pruned until no proper subset of the
    edits flips. A number goes to the nearest value that flips, with its bracket. Where nothing flips
    within the budget the one record has no edits and says so: that is a finding about the search, not
    a proof that nothing would.

    Cost: at most ``budget`` evaluations of the model, the guide's on top; a pass of the language model
    for each word proposed or text judged. Ribeiro et al. 2020 (arXiv:2005.04118) and Ross et al. 2021
    (arXiv:2012.13985) edit likewise; Wachter et al. 2017 (arXiv:1711.00399) name the question.

    When it misleads: an edit that flips is not the model's reason; a text that nobody would write
    may flip for being odd; and what flips need not be in anybody's power.

    Args:
        model: model from :func:`whence.load`.
        source: text, a pair of texts, or messages.
        wanted: decision that the edits must bring about; none: any other than the model's.
        target: output to compare with the threshold, where no label decides by itself.
        threshold: edge of that output: a decision is to be on one side of it.
        unit: kind of feature that is edited.
        count: number of counterfactuals at most; no two edit the same feature.
        budget: most evaluations of the model.
        language_model: causal or masked language model that says how plausible a text is; a masked
            one proposes words too.
        options: settings of :class:`EditOptions`.
        seed: seed of a guide's random generator; the search itself draws nothing.
        token_budget: tokens in a batch to begin with.
        progress: callable of (what, done, total).

    Raises:
        InputError: nothing to explain, or more tokens than the model reads.
        OptionError: an unknown option or label, or no threshold where one is needed.
        BudgetError: fewer than 3 evaluations.
        ModelOutputError: the model answers one text in two ways.

    Example:
        >>> import whence
        >>> rule = lambda texts: [[1.0, 0.0] if "late" in t else [0.0, 1.0] for t in texts]
        >>> model = whence.load(rule, labels=["reject", "approve"])
        >>> [first, *_] = whence.counterfactuals(model, "Paid late twice")
        >>> first.edited_text, first.edited_decision.text, first.minimal
        ('Paid early twice', 'approve', True)
    """
    settings = settings_of(EditOptions, options)
    if count < 1:
        raise OptionError(f"expected a count of 1 or more, got count={count}")
    if budget < LEAST:
        raise BudgetError(
            f"a search for edits needs {LEAST} evaluations or more, got budget={budget}",
            needed=LEAST,
            budget=budget,
        )
    if language_model is not None:
        check_language_model(language_model)
    question = ask(model, source, target=target, unit=unit)
    rule = decision_rule(question, threshold=threshold, wanted=wanted)
    # One is set aside for each flip, which is asked once more.
    texts = EditedTexts(
        question,
        rule,
        budget=budget - min(count, budget - 2),
        token_budget=token_budget,
        progress=progress,
    )
    order, guided = _order(question, settings, seed, token_budget)
    texts([()])
    judge = _Judge(question, texts, language_model)
    candidates = Candidates(question.segmentation, language_model, settings.own_words)
    search = EditSearch(
        texts,
        candidates,
        kinds=frozenset(settings.kinds.split(",")),
        limits=Limits(settings.beam, settings.most_edits),
        order=order,
        prefer=judge.cost,
    )
    flips: list[Flip] = []
    banned: frozenset[int] = frozenset()
    while len(flips) < count:
        flip = search.smallest(banned)
        if flip is None:
            break
        flips.append(flip)
        banned |= flip.features
    answers = [judge.confirmed(flip) for flip in flips]
    origin = origin_of(
        question,
        MethodSpec(
            name="EditSearch", options={**MethodSpec.of(settings).options, "budget": budget}
        ),
        seed=seed,
        cost=Cost.total([texts.cost, guided]),
    )
    if not flips:
        return (judge.record(Flip((), None, None), question.decision, origin),)
    return tuple(
        judge.record(flip, said, origin) for flip, said in zip(flips, answers, strict=True)
    )


def _order(
    question: Question, settings: EditOptions, seed: int, token_budget: int
) -> tuple[Sequence[int] | None, Cost]:
    """Features by the scores of the guide, those that raise the decision most first."""
    if not settings.guide:
        return None, Cost()
    plan = plan_for(question, settings.guide)
    result = answer(question, plan, seed=seed, token_budget=token_budget)
    order: list[int] = np.argsort(-result.scores[:, 0], kind="stable").tolist()
    return order, result.provenance.cost


class _Judge:
    """What each flip is worth and how it is written down."""

    def __init__(self, question: Question, texts: EditedTexts, language_model: Any) -> None:
        self._question, self._texts, self._language_model = question, texts, language_model
        self._plausible: dict[str, float | None] = {}
        self._passes = 0

    def cost(self, state: State) -> tuple[float, ...]:
        """Implausibility, where it can be told, then the kinds of edits, then characters."""
        edits = [edit for _, edit in state]
        known = self._plausibility(tuple(edits))
        size = sum(edit.end - edit.start + len(edit.text) for edit in edits)
        kinds = sum(KINDS.index(edit.how) for edit in edits)
        return (0.0 if known is None else -known, float(kinds), float(size))

    def _plausibility(self, edits: tuple[Any, ...]) -> float | None:
        if self._language_model is None:
            return None
        source = self._texts.source(edits)
        # Of a pair or a conversation the whole is no text that a language model was trained on.
        if not isinstance(source, str):
            return None
        if source not in self._plausible:
            value, passes = mean_log_probability(self._language_model, source)
            self._plausible[source] = value
            self._passes += passes
        return self._plausible[source]

    def confirmed(self, flip: Flip) -> Decision:
        """What the model says of the edited text when it is asked once more.

        Raises:
            ModelOutputError: something else than the first time.
        """
        rule = self._texts.rule
        (after,) = self._texts([flip.edits])
        assert after is not None
        said = self._texts.decide(flip.edits)
        if rule.threshold is None and said.text != rule.names[int(rule.of(after[None])[0])]:
            raise ModelOutputError(
                f"{self._question.model.identity.ref} answered the same edited text in two ways; a "
                "flip of its decision would be chance. Expected one answer for one text: fix its seed"
            )
        return said

    def record(self, flip: Flip, said: Decision, origin: Provenance) -> Counterfactual:
        """The record of a flip, or of none."""
        question, rule = self._question, self._texts.rule
        edits = composed(flip.edits)
        before, after = self._texts([(), edits])
        assert before is not None
        assert after is not None
        plausibility = self._plausibility(edits) if edits else None
        original = self._plausibility(()) if edits else None
        return Counterfactual(
            document=question.segmentation.document,
            edits=edits,
            outputs=rule.readout.outputs,
            values=frozen_array(before),
            edited_values=frozen_array(after),
            decision=rule.decision(before, question.decision),
            edited_decision=rule.decision(after, said),
            actionable=None,
            outcome=self._outcome(flip),
            advice=self._advice(flip),
            notes=self._notes(flip, before),
            provenance=origin,
            minimal=flip.minimal,
            plausibility=plausibility,
            original_plausibility=original,
            boundary=flip.boundary,
        )

    def _outcome(self, flip: Flip) -> Outcome:
        if flip.state and flip.minimal:
            return "converged"
        return "budget_exhausted" if self._texts.exhausted else "not_converged"

    def _advice(self, flip: Flip) -> tuple[str, ...]:
        if flip.state:
            return ()
        more = "raise the budget" if self._texts.exhausted else "allow more edits (most_edits)"
        return (f"none found within {self._texts.evaluations:,} evaluations; {more}",)

    def _notes(self, flip: Flip, before: np.ndarray) -> tuple[str, ...]:
        notes: list[str] = []
        if self._texts.rule.lead(before[None])[0] == 0:
            notes.append("the text as it is lies on the edge: the first of equal answers decides")
        if flip.state and flip.minimal is None:
            notes.append("not every subset of the edits was asked, so a smaller one may flip too")
        if flip.state and self._language_model is None:
            notes.append("plausibility is unknown: no language model was given")
        if self._passes:
            notes.append(f"{self._passes:,} passes of the language model, beside the cost shown")
        if self._texts.unread:
            notes.append(
                f"{len(self._texts.unread)} edited text(s) could not be read by the model: "
                f"{self._texts.unread[0]}"
            )
        return tuple(notes)
