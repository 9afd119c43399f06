"""A model's outputs on edited texts: each asked once, in batches, within a budget."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from whence.core.errors import InputError, ModelOutputError
from whence.core.explanations import Decision
from whence.core.other_explanations import Edit
from whence.core.progress import Progress
from whence.core.provenance import Cost
from whence.core.targets import TokenLabel
from whence.decisions.decision_rule import DecisionRule
from whence.evaluation.robustness.text_perturbations import decides, replaced
from whence.games.batching import DEFAULT_TOKEN_BUDGET, TokenBudget
from whence.games.question import Question, ask_otherwise
from whence.models.protocols import Encoding, Evaluated, Input, Row, TextModel, TokenModel

__all__ = ["EditedTexts", "composed"]

Edits = tuple[Edit, ...]


def composed(edits: Sequence[Edit]) -> Edits:
    """Edits in the order of the text, made to end where the next begins.

    Example:
        >>> a, b = Edit(start=0, end=4, text=""), Edit(start=3, end=7, text="")
        >>> [(edit.start, edit.end) for edit in composed([b, a])]
        [(0, 3), (3, 7)]
    """
    ordered = sorted(edits, key=lambda edit: (edit.start, edit.end))
    if not ordered:
        return ()
    ends = [*(edit.start for edit in ordered[1:]), ordered[-1].end]
    # Two deletions side by side may both want the space between them.
    return tuple(
        Edit(start=edit.start, end=min(edit.end, end), text=edit.text, how=edit.how)
        for edit, end in zip(ordered, ends, strict=True)
    )


class EditedTexts:
    """The outputs of a question's model on its text with edits made.

    Args:
        question: question about the text.
        rule: rule whose outputs are read.
        budget: most texts that the model is asked.
        token_budget: most tokens in one batch; halved when memory runs out.
        progress: callable of (what, done, total), called after each batch.
    """

    def __init__(
        self,
        question: Question,
        rule: DecisionRule,
        *,
        budget: int,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        progress: Progress | None = None,
    ) -> None:
        self.question, self.rule, self.budget = question, rule, budget
        self.evaluations = 0
        self.tokens = 0
        self.probes = 0
        self.exhausted = False
        self.unread: list[str] = []
        self._token_budget = TokenBudget(token_budget)
        self._progress = progress
        self._memory: dict[str, Float[np.ndarray, " k"] | None] = {}
        self._started = time.perf_counter()

    @property
    def room(self) -> int:
        """Evaluations left of the budget."""
        return self.budget - self.evaluations

    @property
    def cost(self) -> Cost:
        """Texts asked so far, tokens, and seconds since the first."""
        return Cost(
            evaluations=self.evaluations,
            distinct_evaluations=self.evaluations + self.probes,
            tokens=self.tokens,
            seconds=time.perf_counter() - self._started,
        )

    def source(self, edits: Edits) -> Input:
        """The input with the edits made."""
        return replaced(self.question, [(e.start, e.end, e.text) for e in composed(edits)])

    def decide(self, edits: Edits) -> Decision:
        """What the model says of the edited text, asked anew. Cost: one evaluation."""
        self.evaluations += 1
        return decides(self.question, self.source(edits))

    def __call__(self, several: Sequence[Edits]) -> list[Float[np.ndarray, " k"] | None]:
        """The outputs for several sets of edits, in order.

        ``None``: the budget was spent before (``exhausted`` says so), or the model cannot read the
        text, as one grown too long (``unread`` holds the reasons).
        """
        sources = {self._key(edits): self.source(edits) for edits in several}
        new = [key for key in sources if key not in self._memory]
        if len(new) > self.room:
            self.exhausted = True
            new = new[: max(0, self.room)]
        self._ask({key: sources[key] for key in new})
        return [self._memory.get(self._key(edits)) for edits in several]

    def flips(self, several: Sequence[Edits]) -> list[bool | None]:
        """Whether each set of edits changes the decision; ``None`` where it was not asked."""
        return [
            None if values is None else bool(self.rule.flips(values[None])[0])
            for values in self(several)
        ]

    def _key(self, edits: Edits) -> str:
        return json.dumps(self.source(edits), sort_keys=True, default=dict)

    def _ask(self, sources: dict[str, Input]) -> None:
        if not sources:
            return
        model: Any = self.question.model
        if isinstance(model, TokenModel):
            readable = self._encoded(model, sources)
            # Labels are read alike in every text; a continuation or a word's place is of one text.
            if hasattr(self.rule.readout, "pairs"):
                self._batches(model, readable)
            else:
                for key in readable:
                    self._alone(model, key, sources[key])
            return
        reader = cast("TextModel", model)
        texts = {key: self._text(reader, key, source) for key, source in sources.items()}
        keys = [key for key, text in texts.items() if text is not None]
        for start in range(0, len(keys), 64):
            part = keys[start : start + 64]
            asked = [cast("str", texts[key]) for key in part]
            self._store(part, reader.evaluate_text(asked, self.rule.readout))

    def _encoded(self, model: TokenModel, sources: dict[str, Input]) -> dict[str, Encoding]:
        encodings: dict[str, Encoding] = {}
        for key, source in sources.items():
            try:
                encodings[key] = model.encode(source)
            except InputError as error:
                self._skip(key, error)
        return encodings

    def _text(self, reader: TextModel, key: str, source: Input) -> str | None:
        try:
            return reader.encode_text(source).text
        except InputError as error:
            self._skip(key, error)
            return None

    def _skip(self, key: str, error: InputError) -> None:
        # Nothing was asked, so it costs nothing of the budget.
        self._memory[key] = None
        self.unread.append(str(error))

    def _batches(self, model: TokenModel, encodings: dict[str, Encoding]) -> None:
        keys = sorted(encodings, key=lambda key: -len(encodings[key].ids))
        rows = [Row(ids=encodings[k].ids, token_types=encodings[k].token_types) for k in keys]

        def run(places: range) -> Any:
            return model.evaluate([rows[place] for place in places], self.rule.readout)

        for places, batch in self._token_budget.batches(len(rows), lambda i: len(rows[i]), run):
            self._store([keys[place] for place in places], batch)

    def _alone(self, model: TokenModel, key: str, source: Input) -> None:
        outputs = self.rule.readout.outputs
        encoding = model.encode(source)
        try:
            if any(isinstance(output.target, TokenLabel) for output in outputs):
                readout = ask_otherwise(self.question, source).readout
            else:
                targets = [output.target for output in outputs]
                readout = model.readout(encoding, targets, link=outputs[0].link)
        except InputError as error:
            return self._skip(key, error)
        row = Row(ids=encoding.ids, token_types=encoding.token_types)
        batch = model.evaluate([row], readout)
        return self._store([key], batch)

    def _store(self, keys: Sequence[str], batch: Evaluated) -> None:
        values = np.array(batch.values, dtype=np.float64)
        if not np.all(np.isfinite(values)):
            raise ModelOutputError(
                f"expected finite numbers for an edited text, got {values.tolist()} from "
                f"{self.question.model.identity.ref}; load the model in float32"
            )
        self._memory.update(zip(keys, values, strict=True))
        self.evaluations += len(keys)
        self.tokens += batch.tokens
        self.probes += batch.probes
        if self._progress is not None:
            self._progress("edited texts", self.evaluations, self.budget)
