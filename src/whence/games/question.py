"""A question: one input of one model, segmented, with its targets resolved and its masker chosen.

Whatever explains a decision and whatever judges the explanation ask the same question, so both
are put here; a stored explanation gives back the question that it answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, cast, get_args

import numpy as np

from whence.core.errors import CapabilityError, InputError, OptionError, unknown
from whence.core.explanations import Attribution, Decision
from whence.core.features import Document, Segmentation, Span
from whence.core.progress import Progress
from whence.core.provenance import MethodSpec
from whence.core.targets import LINKS, Continuation, Label, NextToken, Target, TokenLabel
from whence.games.attention_game import AttentionGame
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache
from whence.games.embedding_game import EmbeddingGame
from whence.games.game import Game
from whence.games.maskers import Deletion, Masker, default_masker, masker_by_name
from whence.games.model_game import ModelGame, TextGame, TokenGame
from whence.games.segmenters import Segmenter, Spans, segmenter_by_name
from whence.games.token_alignment import FeatureTokens, align
from whence.models.access import GivesHeads
from whence.models.protocols import (
    Encoding,
    GivesGradients,
    Input,
    Model,
    Precision,
    Readout,
    TextModel,
    TokenModel,
)
from whence.models.public_call import once_a_call

__all__ = [
    "Question",
    "ask",
    "ask_again",
    "ask_otherwise",
    "decision_on",
    "recorded_masker",
    "source_of",
    "targets_of",
]

PROBES = 8
"""Coalitions on which bf16 is compared with the model's own precision; chosen by hand, as a warning
needs the size of the deviation alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One input of one model, segmented and with its targets resolved.

    Attributes:
        masker, why: masker, and the reason for its choice.
        decide: function that gives the model's decision; one pass, when it is first called.
        encoding, tokens: input in tokens; ``None`` for a model that is read in text.
        native: readout in the model's own precision.
        source: input as the caller gave it.
    """

    model: Model
    source: Input
    segmentation: Segmentation
    segmenter: Segmenter
    readout: Readout
    decide: Callable[[], Decision]
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
            readout: readout of other outputs, or of another precision; none: the question's.
            masker: another masker; none: the question's.
            budget: most evaluations; none: no limit.
            cache: store of evaluations; none: one of the game alone.
            token_budget: tokens in a batch to begin with.
            progress: callable of (what, done, total), called after each batch of evaluations.
        """
        readout = readout or self.readout
        masker = masker or self.masker
        game: ModelGame
        if self.encoding is not None and self.tokens is not None:
            game = TokenGame(
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
        else:
            game = TextGame(
                cast("TextModel", self.model),
                self.segmentation.document,
                self.segmentation,
                readout,
                masker,
                budget=budget,
                cache=cache,
                progress=progress,
            )
        game.segmentation = self.segmentation
        return game

    @property
    def decision(self) -> Decision:
        """What the model answers."""
        return self.decide()

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """Continuations that are forced after the text; none for a model that does not write."""
        return getattr(self.readout, "sequences", ())

    @property
    def differentiable(self) -> bool:
        """Whether the model gives gradients of its outputs by its embeddings."""
        tokens = isinstance(self.model, TokenModel) and isinstance(self.model, GivesGradients)
        return tokens and self.no_gradients() is None

    def no_gradients(self) -> str | None:
        """Why the model's gradients would be wrong, where it can tell and they would."""
        reason = getattr(self.model, "no_gradients", None)
        return None if reason is None else reason()

    @property
    def asks_for_sources(self) -> bool:
        """Whether it is asked which statements of its context made a model write what it writes."""
        targets = (output.target for output in self.readout.outputs)
        return (
            isinstance(self.model, TokenModel)
            and self.model.task in ("causal", "seq2seq")
            and self.segmenter.statements
            and all(isinstance(target, Continuation | NextToken) for target in targets)
        )

    @property
    def attends(self) -> bool:
        """Whether the model gives, and lets one change, what its heads do."""
        return self.differentiable and isinstance(self.model, GivesHeads)

    def embedding_game(
        self, *, budget: int | None = None, token_budget: int = DEFAULT_TOKEN_BUDGET
    ) -> EmbeddingGame:
        """The game between embeddings; for a model that is :attr:`differentiable`."""
        encoding, tokens = self._read_in_tokens("gradients")
        model = cast("TokenModel", self.model)
        return EmbeddingGame(
            model, encoding, self.readout, tokens, budget=budget, token_budget=token_budget
        )

    def attention_game(
        self,
        *,
        budget: int | None = None,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        alternatives: Sequence[str] = (),
    ) -> AttentionGame:
        """The game over attention; for a model that :attr:`attends`."""
        encoding, tokens = self._read_in_tokens("attention")
        return AttentionGame(
            cast("TokenModel", self.model),
            encoding,
            self.readout,
            tokens,
            budget=budget,
            token_budget=token_budget,
            alternatives=alternatives,
        )

    def _read_in_tokens(self, what: str) -> tuple[Encoding, FeatureTokens]:
        if self.encoding is None or self.tokens is None:
            raise CapabilityError(f"{self.model.identity.ref} is read in text and gives no {what}")
        return self.encoding, self.tokens

    def read(self) -> int:
        """Tokens read in one pass over the text with each forced sequence after it."""
        passes = len(self.sequences) or 1
        size = 0 if self.encoding is None else len(self.encoding.ids)
        return passes * size + self.readout.extra_tokens

    def deviation(self, game: Game, seed: int, token_budget: int) -> str:
        """How far bf16 is from the model's own precision, measured on a few coalitions."""
        rng = np.random.default_rng(seed)
        n = len(self.segmentation)
        # A share is drawn for each row, else nearly all rows would hold about half of the features.
        coalitions = rng.random((PROBES, n)) < rng.random((PROBES, 1))
        coalitions[0] = True
        # In separate games: the comparison does not count towards the explanation's budget.
        rough = self.game(token_budget=token_budget)(coalitions)
        exact = self.game(token_budget=token_budget, readout=self.native)(coalitions)
        worst = float(np.abs(rough - exact).max())
        unit = game.outputs[0].unit
        return (
            f"bf16 autocast: largest deviation from the model's own precision {worst:.2g} {unit} "
            f"on {PROBES} coalitions (2 x {PROBES} evaluations beside the cost shown)"
        )

    def _special(self, span: Span) -> bool:
        """Whether a special token that is written in the text, such as a mask, stands for a span."""
        if self.encoding is None:
            return False
        begins, ends = self.encoding.offsets.T
        read = self.encoding.frozen & (begins < span.end) & (ends > span.start)
        return bool(read.any())

    def notes(self, *, absent: bool) -> list[str]:
        """Notes on how this input was read; ``absent``: features were removed."""
        notes: list[str] = []
        bare = absent and self.tokens is not None and bool(np.all(self.tokens.owner >= 0))
        if bare and isinstance(self.masker, Deletion):
            notes.append("with every feature removed, the model reads its start token alone")
        unread = [span for span in self.segmentation.unread if not self._special(span)]
        if unread:
            text = self.segmentation.document.text
            sample = ", ".join(repr(text[span.start : span.end]) for span in unread[:5])
            notes.append(
                f"{len(unread)} span(s) reach no token, so the model never reads them: {sample}"
            )
        return notes + self.shortcut_notes()

    def shortcut_notes(self) -> list[str]:
        """Notes on shortcuts of the model that were dropped so far, and on what it writes."""
        readout = self.readout
        shortcuts = getattr(readout, "shortcuts", None)
        return [*getattr(readout, "notes", ()), *getattr(shortcuts, "notes", ())]


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
    """Encode and segment an input, resolve its targets, choose its masker.

    Args:
        model: model from :func:`whence.load`.
        source: text, a pair of texts, or messages.
        target: target, several, or a label's name; none: what the model answers.
        link: scale of the scores; none: log-odds for labels, log-probability for text.
        unit: kind of feature: token, word, sentence, paragraph, passage, turn, or a segmenter.
        masker: masker, by name or instance, or ``"auto"``.
        precision: arithmetic: ``"native"``, or ``"bfloat16"`` under autocast.

    Raises:
        InputError: nothing to explain, or a text that cannot be encoded.
        TextTooLongError: more tokens than the model reads.
        OptionError: an unknown option, label, link or unit.
        CapabilityError: the model lacks what is needed.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float(t.count("late")) for t in texts])
        >>> question = ask(model, "late again")
        >>> [f.text for f in question.segmentation.features], question.game().full().tolist()
        (['late', 'again'], [1.0])
    """
    question = _ask(model, source, target, link, unit, masker, precision)
    # A model that fails on the input as it is fails here, before anything else is asked of it.
    question.decide()
    return question


def _ask(
    model: Any,
    source: Input,
    target: Target | str | int | Sequence[Target] | None,
    link: str | None,
    unit: str | Segmenter,
    masker: str | Masker,
    precision: str,
) -> Question:
    if not isinstance(model, Model):
        raise OptionError(
            f"expected a model of whence, got {type(model).__name__}; load it first: "
            "whence.load(model_id), whence.load((module, tokenizer)) or whence.load(function)"
        )
    if precision not in get_args(Precision):
        raise unknown("precision", precision, get_args(Precision))
    if link is not None and link not in LINKS:
        raise unknown("link", link, LINKS)
    targets = _targets(target)
    segmenter = segmenter_by_name(unit)
    named = None if masker == "auto" else masker_by_name(masker)
    if isinstance(model, TokenModel):
        targets = _as_text(targets, model)
        encoding = model.encode(source)
        raw = segmenter.segment(encoding.document, encoding)
        segmentation, tokens = align(raw, encoding)
        absence, why = (
            default_masker(model, tokens) if named is None else (named, "chosen by the caller")
        )
        native = model.readout(encoding, targets, link=link)
        readout = native
        if precision != "native":
            # What the native pass resolved: in bf16 the likeliest label or continuation may be
            # another. Several outputs can share a target (one for each of its tokens), so each is
            # named once.
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
            cache(partial(_decision, model, encoding, native, targets)),
            absence,
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
        raise CapabilityError(
            f"expected precision='native', got {precision!r}: {model.identity.ref} has its own precision"
        )
    document = model.encode_text(source)
    segmentation = segmenter.segment(document, None)
    absence, why = default_masker(model) if named is None else (named, "chosen by the caller")
    readout = model.readout_text(document, targets, link=link)
    return Question(
        model,
        source,
        segmentation,
        segmenter,
        readout,
        cache(partial(_decided, model, document)),
        absence,
        why,
        None,
        None,
        readout,
    )


def _decision(
    model: TokenModel, encoding: Encoding, readout: Readout, targets: tuple[Target, ...]
) -> Decision:
    """The model's answer; of a model that writes, its own continuation where that is explained."""
    decision = _decided(model, encoding)
    if model.task in ("causal", "seq2seq") and _is_own(targets):
        return replace(decision, text=readout.outputs[0].name)
    return decision


def _decided(model: TokenModel | TextModel, read: Encoding | Document) -> Decision:
    """What a model says of an input that it has read; asked once in a public call."""
    if isinstance(model, TokenModel):
        encoding = cast("Encoding", read)
        key = encoding.document, encoding.ids.tobytes()
        return once_a_call(model, f"decision {key}", lambda: model.decide(encoding))
    document = cast("Document", read)
    return once_a_call(model, f"decision {document}", lambda: model.decide_text(document))


def decision_on(model: Model, source: Input) -> Decision:
    """What a model says of an input. Cost: one pass, unless the public call has asked it before."""
    if isinstance(model, TokenModel):
        return _decided(model, model.encode(source))
    reader = cast("TextModel", model)
    return _decided(reader, reader.encode_text(source))


def targets_of(
    target: Target | str | int | Sequence[Target] | None, model: TokenModel
) -> tuple[Target, ...]:
    """The targets that a caller names, as targets of the model's task; none named: no targets."""
    return _as_text(_targets(target), model)


def _is_own(targets: tuple[Target, ...]) -> bool:
    """Whether the continuation explained is the one the model writes itself."""
    # True of no target at all, too: a model that writes then explains its own continuation.
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
    model: Any,
    explanation: Attribution,
    *,
    source: Input | None = None,
    masker: str | Masker = "auto",
) -> Question:
    """The question that a stored explanation answered: same features, outputs, masker.

    Args:
        model: model that was explained, or another version of it.
        explanation: stored explanation.
        source: input; none: read back from the record's document.
        masker: masker, by name or instance; ``"auto"``: the record's, and where its method removed
            nothing, the model's default.

    Raises:
        InputError: the input cannot be read back from the record, or reads otherwise now.
    """
    document = explanation.segmentation.document
    spans = tuple((feature.start, feature.end) for feature in explanation.segmentation.features)
    recorded = explanation.provenance.masker
    if masker == "auto" and recorded is not None:
        masker = recorded_masker(recorded)
    source = source_of(document) if source is None else source
    read = _document(model, source)
    if read.text != document.text:
        raise InputError(
            f"the record's text has {len(document.text):,} characters, the input read back from it "
            f"{len(read.text):,}, and they differ; give the original input as source="
        )
    repeat = partial(
        ask,
        model,
        source,
        target=tuple(output.target for output in explanation.outputs),
        link=explanation.outputs[0].link,
        masker=masker,
    )
    question = repeat(unit=_segmenter_of(explanation.provenance.segmenter) or Spans(spans=spans))
    # The segmenter may be of another version, or this model's tokens may join other features. The
    # record's spans are what its scores belong to.
    if tuple((f.start, f.end) for f in question.segmentation.features) != spans:
        question = repeat(unit=Spans(spans=spans))
    # Features that share a token of this model became one, so a score would have no feature.
    if len(question.segmentation) != len(spans):
        raise InputError(
            f"the record has {len(spans)} features; {len(question.segmentation)} of them reach a "
            f"token of {question.model.identity.ref}, which splits the text in other tokens than the "
            "model that was explained"
        )
    if [output.link for output in question.readout.outputs] != [
        o.link for o in explanation.outputs
    ]:
        raise InputError("the record's outputs are on several scales; expected one scale")
    return question


def ask_otherwise(question: Question, source: Input) -> Question:
    """The same question of another input: same outputs, masker and kind of features.

    What the model decides there is asked when it is read: few askers want to know.
    Features that the caller gave as spans are moved with the characters around them; those that
    the change of the text touches grow or shrink with it.
    """
    segmenter = question.segmenter
    if isinstance(segmenter, Spans):
        before = question.segmentation.document.text
        segmenter = Spans(
            spans=_moved(segmenter.spans, before, _document(question.model, source).text)
        )
    return _ask(
        question.model,
        source,
        _moved_targets(question, source),
        question.readout.outputs[0].link,
        segmenter,
        question.masker,
        question.precision,
    )


def _moved_targets(question: Question, source: Input) -> tuple[Target, ...]:
    """The targets of a question on another input: labels of words move with their characters.

    Raises:
        InputError: the words of a target are gone.
    """
    targets: list[Target] = []
    before = question.segmentation.document.text
    for target in (output.target for output in question.readout.outputs):
        if isinstance(target, TokenLabel) and target.start is not None and target.end is not None:
            after = _document(question.model, source).text
            spans = _moved([(target.start, target.end)], before, after)
            if not spans or not after[slice(*spans[0])].strip():
                raise InputError(
                    f"{before[target.start : target.end]!r}, whose label is explained, is not in the "
                    "other text"
                )
            target = replace(target, start=spans[0][0], end=spans[0][1])
        targets.append(target)
    return tuple(targets)


def _moved(
    spans: Sequence[tuple[int, int]], before: str, after: str
) -> tuple[tuple[int, int], ...]:
    """Spans of a text after one change of it, wherever the change is."""
    head = _common_start(before, after)
    # Of what the common start leaves over: from "aa" to "aaa" the same letters would else count at
    # both ends.
    tail = _common_start(before[head:][::-1], after[head:][::-1])
    grown = len(after) - len(before)

    def shifted(position: int, *, end: bool) -> int:
        # Text put in between two features belongs to neither: at that point an end stays where it
        # is and a start moves on.
        if position <= head and (end or position < head or grown <= 0):
            return position
        if position >= len(before) - tail:
            return position + grown
        # Inside of what changed there is no counterpart; no further than where the new text ends.
        return min(position, head + max(0, len(after) - tail - head))

    pairs = [(shifted(start, end=False), shifted(end, end=True)) for start, end in spans]
    return tuple((start, end) for start, end in pairs if end > start)


def _common_start(a: str, b: str) -> int:
    """How many characters two texts share from their beginning on."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def _document(model: Any, source: Input) -> Document:
    if isinstance(model, TokenModel):
        return model.encode(source).document
    if isinstance(model, TextModel):
        return model.encode_text(source)
    return ask(model, source).segmentation.document


def _segmenter_of(spec: MethodSpec) -> Segmenter | None:
    """The segmenter a record names; ``None`` where its settings cannot be read back."""
    # Its spans are characters of the recorded text; ask_again takes them from the features.
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
    # Behind a prompt of the model's own.
    if [part.name for part in parts] == ["text"]:
        return texts[0]
    if len(parts) == len(document.parts) == 2:
        return texts[0], texts[1]
    return [
        # A turn's part is named by its role and place, such as "user 0".
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
    # A bool is an int in Python, and True would silently ask for label 1.
    if isinstance(target, bool):
        raise OptionError(f"expected a label, a target or several, got target={target}")
    if isinstance(target, str | int):
        return (Label(label=target),)
    if isinstance(target, Sequence):
        return tuple(target)
    return (target,)
