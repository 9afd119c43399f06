"""A question: one input of one model, segmented, with its targets resolved and its masker chosen.

Whatever explains a decision and whatever judges the explanation put the same question, so both
are asked here; from a kept explanation the question it answered is put again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast, get_args

import numpy as np

from whence.core.errors import CapabilityError, InputError, OptionError, unknown
from whence.core.explanations import Attribution, Decision
from whence.core.features import Document, Segmentation
from whence.core.provenance import MethodSpec
from whence.core.targets import LINKS, Continuation, Label, Target
from whence.games.attention_game import AttendedGame
from whence.games.cache import Cache
from whence.games.embedding_game import EmbeddedGame
from whence.games.game import Game
from whence.games.maskers import Deletion, Masker, default_masker, masker_by_name
from whence.games.model_game import DEFAULT_TOKEN_BUDGET, ModelGame, Progress, TextGame, TokenGame
from whence.games.segmenters import Segmenter, Spans, segmenter_by_name
from whence.games.token_alignment import FeatureTokens, align
from whence.models.protocols import (
    Encoding,
    GivesGradients,
    GivesHeads,
    Input,
    Model,
    Precision,
    Readout,
    TextModel,
    TokenModel,
)

__all__ = ["Question", "ask", "ask_again", "ask_otherwise", "recorded_masker", "source_of"]

PROBES = 8
"""Coalitions on which bf16 is compared with the model's own precision."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One input of one model, segmented and with its targets resolved.

    Attributes:
        masker, why: how absence is made, and the reason for it.
        encoding, tokens: of a model that is read in tokens.
        native: the readout in the model's own precision.
        source: the input as it was given.
    """

    model: Model
    source: Input
    segmentation: Segmentation
    segmenter: Segmenter
    readout: Readout
    decision: Decision
    masker: Masker
    why: str
    encoding: Encoding | None
    tokens: FeatureTokens | None
    native: Readout | None
    precision: str = "native"

    def game(
        self,
        *,
        budget: int | None = None,
        cache: Cache | None = None,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        progress: Progress | None = None,
        readout: Readout | None = None,
        masker: Masker | None = None,
    ) -> ModelGame:
        """The game of the question: a fresh one, with its own counters, at each call.

        Args:
            readout: of other outputs, or of another precision; none: the question's.
            masker: another way to make absence; none: the question's.
            budget: most evaluations; none: no limit.
            cache: where evaluations are kept; none: in the game alone.
            token_budget: tokens in a batch to begin with.
            progress: called after each batch with (answered, asked).
        """
        readout = readout or self.readout
        masker = masker or self.masker
        if self.encoding is not None and self.tokens is not None:
            return TokenGame(
                cast("TokenModel", self.model),
                self.encoding,
                readout,
                self.tokens,
                masker,
                budget=budget,
                cache=cache,
                token_budget=token_budget,
                progress=progress,
            )
        return TextGame(
            cast("TextModel", self.model),
            self.segmentation.document,
            self.segmentation,
            readout,
            masker,
            budget=budget,
            cache=cache,
            progress=progress,
        )

    @property
    def differentiable(self) -> bool:
        """Whether the model gives gradients of its outputs by its embeddings."""
        return isinstance(self.model, TokenModel) and isinstance(self.model, GivesGradients)

    @property
    def attends(self) -> bool:
        """Whether the model gives, and lets one change, what its heads do."""
        return self.differentiable and isinstance(self.model, GivesHeads)

    def embedded(
        self, *, budget: int | None = None, token_budget: int = DEFAULT_TOKEN_BUDGET
    ) -> EmbeddedGame:
        """The game between embeddings; for a model that is :attr:`differentiable`."""
        encoding, tokens = self._read_in_tokens("gradients")
        model = cast("TokenModel", self.model)
        return EmbeddedGame(
            model, encoding, self.readout, tokens, budget=budget, token_budget=token_budget
        )

    def attended(
        self,
        *,
        budget: int | None = None,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        instead: Sequence[str] = (),
    ) -> AttendedGame:
        """The game over attention; for a model that :attr:`attends`."""
        encoding, tokens = self._read_in_tokens("attention")
        return AttendedGame(
            cast("TokenModel", self.model),
            encoding,
            self.readout,
            tokens,
            budget=budget,
            token_budget=token_budget,
            instead=instead,
        )

    def _read_in_tokens(self, what: str) -> tuple[Encoding, FeatureTokens]:
        if self.encoding is None or self.tokens is None:
            raise CapabilityError(
                f"{what} asked of {self.model.identity.ref}, which is read in text"
            )
        return self.encoding, self.tokens

    def read(self) -> int:
        """Tokens read in one pass over the text with each forced sequence after it."""
        passes = len(getattr(self.readout, "sequences", ())) or 1
        size = 0 if self.encoding is None else len(self.encoding.ids)
        return passes * size + self.readout.extra_tokens

    def deviation(self, game: Game, seed: int, token_budget: int) -> str:
        """How far bf16 is from the model's own precision, measured on a few coalitions."""
        rng = np.random.default_rng(seed)
        n = len(self.segmentation)
        coalitions = rng.random((PROBES, n)) < rng.random((PROBES, 1))
        coalitions[0] = True
        # In a game of its own: the comparison is no part of the explanation's budget.
        rough = self.game(token_budget=token_budget)(coalitions)
        exact = self.game(token_budget=token_budget, readout=self.native)(coalitions)
        worst = float(np.abs(rough - exact).max())
        unit = game.outputs[0].unit
        return (
            f"bf16 autocast: largest deviation from the model's own precision {worst:.2g} {unit} "
            f"on {PROBES} coalitions (2 x {PROBES} evaluations beside the cost shown)"
        )

    def notes(self, *, absent: bool) -> list[str]:
        """What a reader must know of how this input was read; ``absent``: features were removed."""
        found: list[str] = []
        bare = absent and self.tokens is not None and bool(np.all(self.tokens.owner >= 0))
        if bare and isinstance(self.masker, Deletion):
            found.append("with every feature absent, the model reads its start token alone")
        unread = self.segmentation.unread
        if unread:
            text = self.segmentation.document.text
            shown = ", ".join(repr(text[span.start : span.end]) for span in unread[:5])
            found.append(
                f"{len(unread)} span(s) reach no token, so the model never reads them: {shown}"
            )
        return found


def ask(
    model: Any,
    source: Input,
    *,
    target: Target | str | int | Sequence[Target] | None = None,
    link: str | None = None,
    unit: str | Segmenter = "word",
    masker: str | Masker = "auto",
    precision: str = "native",
) -> Question:
    """Put a question: encode, segment, resolve the targets, choose the masker.

    Args:
        model: from :func:`whence.load`.
        source: a text, a pair of texts, or messages.
        target: a target, several, or a label's name; none: what the model says.
        link: the scale; none: log-odds for labels, log-probability for text.
        unit: token, word, sentence, paragraph, passage, turn, or a segmenter.
        masker: how absence is made, or ``"auto"``.
        precision: ``"native"``, or ``"bfloat16"`` under autocast.

    Raises:
        InputError: nothing to explain, or a text that cannot be encoded.
        TextTooLongError: more tokens than the model reads.
        OptionError: an unknown option, label, link or unit.
        CapabilityError: the model cannot give what is asked.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float(t.count("late")) for t in texts])
        >>> question = ask(model, "late again")
        >>> [f.text for f in question.segmentation.features], question.game().full().tolist()
        (['late', 'again'], [1.0])
    """
    if not isinstance(model, Model):
        raise OptionError(
            f"{type(model).__name__} is no model whence can ask; load it first: "
            "whence.load(model_id), whence.load((module, tokenizer)) or whence.load(function)"
        )
    if precision not in get_args(Precision):
        raise unknown("precision", precision, get_args(Precision))
    if link is not None and link not in LINKS:
        raise unknown("link", link, LINKS)
    targets = _targets(target)
    segmenter = segmenter_by_name(unit)
    asked = None if masker == "auto" else masker_by_name(masker)
    if isinstance(model, TokenModel):
        targets = _as_text(targets, model)
        encoding = model.encode(source)
        raw = segmenter.segment(encoding.document, encoding)
        segmentation, tokens = align(raw, encoding)
        chosen, why = default_masker(model, tokens) if asked is None else (asked, "asked for")
        native = model.readout(encoding, targets, link=link)
        readout = native
        if precision != "native":
            resolved = tuple(dict.fromkeys(output.target for output in native.outputs))
            readout = model.readout(
                encoding, resolved, link=link, precision=cast("Precision", precision)
            )
        return Question(
            model,
            source,
            segmentation,
            segmenter,
            readout,
            _decision(model, encoding, native, targets),
            chosen,
            why,
            encoding,
            tokens,
            native,
            precision,
        )
    if not isinstance(model, TextModel):
        raise CapabilityError(
            f"{model.identity.ref} reads neither tokens nor text; it must be a TokenModel or a "
            "TextModel of whence.models"
        )
    if precision != "native":
        raise CapabilityError(f"precision={precision!r} asked; {model.identity.ref} has its own")
    document = model.encode_text(source)
    segmentation = segmenter.segment(document, None)
    chosen, why = default_masker(model) if asked is None else (asked, "asked for")
    readout = model.readout_text(document, targets, link=link)
    decision = model.decide_text(document)
    return Question(
        model, source, segmentation, segmenter, readout, decision, chosen, why, None, None, readout
    )


def _decision(
    model: TokenModel, encoding: Encoding, readout: Readout, targets: tuple[Target, ...]
) -> Decision:
    """What the model says: of a model that writes, its own continuation where that is explained."""
    decision = model.decide(encoding)
    if model.task in ("causal", "seq2seq") and _is_own(targets):
        return replace(decision, text=readout.outputs[0].name)
    return decision


def _is_own(targets: tuple[Target, ...]) -> bool:
    """Whether the continuation explained is the one the model writes itself."""
    return all(
        isinstance(t, Continuation) and t.text is None and t.token_ids is None and not t.per_token
        for t in targets
    )


def _as_text(targets: tuple[Target, ...], model: TokenModel) -> tuple[Target, ...]:
    """A bare name is a label for a classifier, and a continuation for a model that writes."""
    if model.task not in ("causal", "seq2seq"):
        return targets
    return tuple(
        Continuation(text=target.label)
        if isinstance(target, Label) and isinstance(target.label, str)
        else target
        for target in targets
    )


def ask_again(
    model: Any, kept: Attribution, *, source: Input | None = None, masker: str | Masker = "auto"
) -> Question:
    """Put the question again that a kept explanation answered: same features, outputs, masker.

    Args:
        model: the model that answered then, or another version of it.
        kept: the explanation.
        source: the input; none: read back from the record's document.
        masker: how absence is made; ``"auto"``: as the record says, and where its method made
            none absent, the model's default.

    Raises:
        InputError: the input cannot be read back from the record, or reads otherwise now.
    """
    document = kept.segmentation.document
    spans = tuple((feature.start, feature.end) for feature in kept.segmentation.features)
    recorded = kept.provenance.masker
    if masker == "auto" and recorded is not None:
        masker = recorded_masker(recorded)
    source = source_of(document) if source is None else source
    read = _document(model, source)
    if read.text != document.text:
        raise InputError(
            f"the record's text has {len(document.text):,} characters; the model's input made of "
            f"it has {len(read.text):,}, and reads otherwise. Give the original input as source=."
        )
    asked = partial(
        ask,
        model,
        source,
        target=tuple(output.target for output in kept.outputs),
        link=kept.outputs[0].link,
        masker=masker,
    )
    question = asked(unit=_segmenter_of(kept.provenance.segmenter) or Spans(spans=spans))
    if tuple((f.start, f.end) for f in question.segmentation.features) != spans:
        question = asked(unit=Spans(spans=spans))
    if len(question.segmentation) != len(spans):
        raise InputError(
            f"the record has {len(spans)} features; {len(question.segmentation)} of them reach a "
            f"token of {question.model.identity.ref}. The model reads the text otherwise than the "
            "one that was explained."
        )
    if [output.link for output in question.readout.outputs] != [o.link for o in kept.outputs]:
        raise InputError(
            "the record's outputs are on several scales, which one question cannot ask together"
        )
    return question


def ask_otherwise(question: Question, source: Input) -> Question:
    """The same question of another input: same outputs, masker and kind of features.

    Features that the caller gave as spans are moved with the characters around them; those that
    the change of the text touches grow or shrink with it.
    """
    segmenter = question.segmenter
    if isinstance(segmenter, Spans):
        before = question.segmentation.document.text
        segmenter = Spans(
            spans=_moved(segmenter.spans, before, _document(question.model, source).text)
        )
    return ask(
        question.model,
        source,
        target=tuple(output.target for output in question.readout.outputs),
        link=question.readout.outputs[0].link,
        unit=segmenter,
        masker=question.masker,
        precision=question.precision,
    )


def _moved(
    spans: Sequence[tuple[int, int]], before: str, after: str
) -> tuple[tuple[int, int], ...]:
    """Spans of a text after one change of it, wherever the change is."""
    shorter = min(len(before), len(after))
    head = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    tail = next(
        (i for i in range(shorter - head) if before[-1 - i] != after[-1 - i]), shorter - head
    )
    grown = len(after) - len(before)

    def moved(position: int, *, end: bool) -> int:
        if position <= head and (end or position < head or grown <= 0):
            return position
        if position >= len(before) - tail:
            return position + grown
        return min(position, head + max(0, len(after) - tail - head))

    pairs = [(moved(start, end=False), moved(end, end=True)) for start, end in spans]
    return tuple((start, end) for start, end in pairs if end > start)


def _document(model: Any, source: Input) -> Document:
    if isinstance(model, TokenModel):
        return model.encode(source).document
    if isinstance(model, TextModel):
        return model.encode_text(source)
    return ask(model, source).segmentation.document


def _segmenter_of(spec: MethodSpec) -> Segmenter | None:
    """The segmenter a record names; ``None`` where its settings cannot be read back."""
    if spec.name == Spans.__name__:
        return None
    try:
        return segmenter_by_name(spec.name, **spec.options)
    except OptionError:
        return None


def source_of(document: Document) -> Input:
    """The input that a document was made of: a text, a pair, or messages.

    Example:
        >>> source_of(Document.join({"premise": "It rains.", "hypothesis": "It is wet."}))
        ('It rains.', 'It is wet.')
    """
    parts = [part for part in document.parts if not part.frozen]
    texts = [document.text[part.start : part.end] for part in parts]
    if len(document.parts) == 1:
        return document.text
    if len(parts) == len(document.parts) == 2:
        return texts[0], texts[1]
    return [
        {"role": part.name.rsplit(" ", 1)[0], "content": text}
        for part, text in zip(parts, texts, strict=True)
    ]


def recorded_masker(spec: MethodSpec) -> Masker:
    """The masker a record names, with its settings.

    Raises:
        OptionError: this version has no such masker.
    """
    return masker_by_name(spec.name, dict(spec.options))


def _targets(target: Target | str | int | Sequence[Target] | None) -> tuple[Target, ...]:
    if target is None:
        return ()
    if isinstance(target, bool):
        raise OptionError(f"target={target} asked; a label, a target or several are due")
    if isinstance(target, str | int):
        return (Label(label=target),)
    if isinstance(target, Sequence):
        return tuple(target)
    return (target,)
