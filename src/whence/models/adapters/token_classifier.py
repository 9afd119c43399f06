"""Models that label tokens: named entities, parts of speech."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from whence.core.errors import CapabilityError, ModelOutputError, OptionError, unknown
from whence.core.explanations import Decision, NamedScore
from whence.core.targets import Contrast, Label, Link, Target, TokenLabel
from whence.models.adapters.classifier import label_names
from whence.models.adapters.placed_tokens import PlacedTokens, PlaceReadout, Question
from whence.models.links import check_link, label_scores
from whence.models.protocols import Encoding, Precision

__all__ = ["TokenClassifier"]

LINKS: tuple[Link, ...] = ("log_odds", "logit", "log_probability", "probability")
Word = tuple[int, int, int]
"""A word's first token, and the characters it begins and ends at."""


class TokenClassifier(PlacedTokens):
    """A transformers token classifier, read at the first token of each word."""

    task = "token_classification"

    @property
    def labels(self) -> tuple[str, ...]:
        """Names from the configuration, in the order of the outputs."""
        return label_names(self.config, self.ref)

    def decide(self, encoding: Encoding) -> Decision:
        """Each word that is labelled, save with ``O``, and the probability of its label."""
        words, chances = self._words(encoding), self._chances(encoding)
        text = encoding.document.text
        scores = [
            NamedScore(
                name=f"{text[start:end]}: {self.labels[best]}",
                value=float(chances[token, best]),
            )
            for token, start, end in words
            for best in (int(chances[token].argmax()),)
            if self.labels[best] != "O"
        ]
        told = ", ".join(score.name for score in scores) or "no word is labelled"
        return Decision(text=told, scores=tuple(sorted(scores, key=lambda s: -s.value)))

    def _chances(self, encoding: Encoding) -> np.ndarray:
        logits = self._logits_of(encoding)
        if logits.shape[1] != len(self.labels):
            raise ModelOutputError(
                f"the head of {self.ref} gives {logits.shape[1]} outputs, and its configuration names "
                f"{len(self.labels)}: {', '.join(self.labels)}. Name each of them before loading: "
                "module.config.id2label = {0: ..., 1: ...}"
            )
        return label_scores(logits, "probability", independent=False)

    def _words(self, encoding: Encoding) -> list[Word]:
        """The words of the text that the model reads, in order."""
        document = encoding.document
        words: list[Word] = []
        for part in document.parts:
            for found in re.finditer(r"\S+", document.text[part.start : part.end]):
                start, end = part.start + found.start(), part.start + found.end()
                token = self._first_token(encoding, start, end)
                if token is not None and not part.frozen:
                    words.append((token, start, end))
        return words

    def _first_token(self, encoding: Encoding, start: int, end: int) -> int | None:
        begins, ends = encoding.offsets[:, 0], encoding.offsets[:, 1]
        inside = (begins < end) & (ends > start) & ~encoding.frozen
        # A token of the space before a word alone belongs to no word.
        return int(inside.argmax()) if inside.any() else None

    def readout(
        self,
        encoding: Encoding,
        targets: Sequence[Target],
        *,
        link: Link | None = None,
        precision: Precision = "native",
    ) -> PlaceReadout:
        """Targets resolved; the default is the entity that the model is surest of, in log-odds."""
        chosen = LINKS[0] if link is None else check_link(link, LINKS, self.ref)
        questions = [self._question(encoding, target) for target in targets or (TokenLabel(),)]
        return PlaceReadout.of(questions, chosen, precision)

    def _question(self, encoding: Encoding, target: Target) -> Question:
        if isinstance(target, Contrast):
            if target.label is None or target.against is None:
                raise OptionError(
                    "a contrast of labels at a word needs both: label='B-PER@3', against='B-LOC'"
                )
            plus = self._named(encoding, target.label)
            minus = self._named(encoding, target.against, beside=plus)
            name = f"{plus.label} rather than {minus.label} at {self._shown(encoding, plus)}"
            read = [self._pairs(encoding, each) for each in (plus, minus)]
            return name, target, read[0], read[1]
        if isinstance(target, Label):
            target = (
                self._surest(encoding)
                if target.label is None
                else self._named(encoding, target.label)
            )
        if not isinstance(target, TokenLabel):
            raise CapabilityError(
                f"{self.ref} labels tokens and has no target {type(target).__name__}. "
                "Targets that work here: TokenLabel, Contrast"
            )
        if target.start is None or target.end is None:
            target = self._surest(encoding, target.label)
        pairs = self._pairs(encoding, target)
        label = self.labels[pairs[0][1]] if target.label is None else target.label
        if isinstance(label, int):
            label = self.labels[label]
        resolved = TokenLabel(label=label, start=target.start, end=target.end)
        return f"{label} at {self._shown(encoding, resolved)}", resolved, pairs, ()

    def _shown(self, encoding: Encoding, target: TokenLabel) -> str:
        return repr(encoding.document.text[target.start : target.end])

    def _named(
        self, encoding: Encoding, text: str | int, beside: TokenLabel | None = None
    ) -> TokenLabel:
        """``LABEL@WHERE`` as a target: a word by its number, characters START:END, or a text."""
        label, at, where = str(text).partition("@")
        if not at:
            if beside is None:
                return self._surest(encoding, text)
            return TokenLabel(label=text, start=beside.start, end=beside.end)
        self._classes(label)
        words = self._words(encoding)
        if where.isdecimal():
            if int(where) >= len(words):
                raise OptionError(
                    f"there is no word {where}; the text has {len(words)} words, from 0 on, as "
                    "separated by white space"
                )
            _, start, end = words[int(where)]
            return TokenLabel(label=label, start=start, end=end)
        if span := re.fullmatch(r"(\d+):(\d+)", where):
            return TokenLabel(label=label, start=int(span[1]), end=int(span[2]))
        found = [match.start() for match in re.finditer(re.escape(where), encoding.document.text)]
        if len(found) != 1:
            raise OptionError(
                f"{where!r} stands {len(found)} times in the text; expected LABEL@NUMBER of a word, "
                "LABEL@START:END in characters, or LABEL@TEXT with a text that stands there once"
            )
        return TokenLabel(label=label, start=found[0], end=found[0] + len(where))

    def _classes(self, label: str | int) -> tuple[int, int]:
        """The class of an entity's first word, and of those behind it."""
        if isinstance(label, int):
            if not 0 <= label < len(self.labels):
                raise OptionError(f"there is no label {label}; there are {len(self.labels)}")
            label = self.labels[label]
        names = self.labels
        first = next((n for n in (label, f"B-{label}", f"I-{label}") if n in names), None)
        if first is None:
            raise unknown("label", label, names)
        inside = f"I-{first[2:]}"
        later = inside if first.startswith("B-") and inside in names else first
        return names.index(first), names.index(later)

    def _pairs(self, encoding: Encoding, target: TokenLabel) -> list[tuple[int, int]]:
        """What a target reads: the first token of each word, and its class there."""
        assert target.start is not None
        assert target.end is not None
        words: list[int] = []
        for found in re.finditer(r"\S+", encoding.document.text[target.start : target.end]):
            start, end = target.start + found.start(), target.start + found.end()
            token = self._first_token(encoding, start, end)
            if token is not None and token not in words:
                words.append(token)
        if not words:
            raise OptionError(
                f"the model reads no word at characters {target.start} to {target.end} of the text"
            )
        label = target.label
        if label is None:
            label = int(self._chances(encoding)[words[0]].argmax())
        first, later = self._classes(label)
        return [(token, later if index else first) for index, token in enumerate(words)]

    def _surest(self, encoding: Encoding, label: str | int | None = None) -> TokenLabel:
        """The entity of highest probability at its first word, with the words that go on with it.

        Raises:
            OptionError: no word is labelled.
        """
        words, chances = self._words(encoding), self._chances(encoding)
        best = chances.argmax(axis=1)
        wanted = None if label is None else self._classes(label)[0]
        labelled = [
            index
            for index, (token, _, _) in enumerate(words)
            if (self.labels[best[token]] != "O" if wanted is None else best[token] == wanted)
        ]
        if not labelled:
            what = "with anything" if label is None else repr(label)
            raise OptionError(
                f"{self.ref} labels no word of this text {what}; say whose label to explain: "
                f"target='{label or self.labels[-1]}@0' for the first word"
            )
        top = max(labelled, key=lambda index: chances[words[index][0]].max())
        _, start, end = words[top]
        first = int(best[words[top][0]])
        _, later = self._classes(first)
        for token, _, stop in words[top + 1 :]:
            if later == first or best[token] != later:
                break
            end = stop
        return TokenLabel(label=cast("Any", self.labels[first]), start=start, end=end)
