"""Small changes to a text that should change neither what the model says nor why.

Typos and other words go into words outside the top of the explanation, so that what is compared
is not itself replaced. A change that moves the prediction is no test of the explanation: it is
discarded, and the share discarded is reported. Everything is drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float

from whence.core.errors import CapabilityError, InputError, OptionError
from whence.core.explanations import Decision
from whence.core.features import Feature
from whence.evaluation.instance import Neighbours
from whence.evaluation.robustness.rank_agreement import top_size
from whence.evaluation.stopwords import carries_no_content
from whence.games.question import Question, decision_on
from whence.models.protocols import GivesGradients, Input, Model, TokenModel

__all__ = [
    "TEMPLATES",
    "Perturbation",
    "PerturbationSet",
    "decides",
    "holds",
    "kept_edits",
    "neutral_edits",
    "own_neighbours",
    "replaced",
    "synonyms",
    "templates",
    "typos",
]

MOST = 0.1
"""A change of the predicted label's probability from which an edit no longer counts. Chosen by hand
when the label was designed; not calibrated."""
TEMPLATES = ("Text: {text}", "Here is what was written.\n{text}", "{text}\n(end of the text)")

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {
    key: "".join(
        row[i]
        for row in _KEYS
        for i in range(len(row))
        if key in row and abs(i - row.index(key)) == 1
    )
    for row in _KEYS
    for key in row
}


@dataclass(frozen=True, slots=True, eq=False)
class Perturbation:
    """A changed input, and what was changed."""

    kind: str
    source: Input
    says: str


@dataclass(frozen=True, slots=True, eq=False)
class PerturbationSet:
    """Edits that left the prediction as it was, and what was discarded, with the reason."""

    kept: tuple[Perturbation, ...]
    discarded: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    """What the model cannot read, such as a text grown too long: no test of the prediction."""

    @property
    def share_discarded(self) -> float:
        """Of the edits tried, the share that moved the prediction; 0 where none was tried."""
        total = len(self.kept) + len(self.discarded)
        return len(self.discarded) / total if total else 0.0


def typos(
    question: Question, scores: Float[np.ndarray, " n"], *, seed: int = 0
) -> Iterator[Perturbation]:
    """Endless typos: two letters swapped, one lost, or a neighbouring key, one in each text.

    Only in words of four letters or more outside the top fifth by absolute score, never at the
    first letter. Ends where there is no such word.
    """
    rng = np.random.default_rng([seed, 11])
    # In three letters one typo is often another word. Chosen by hand; not calibrated.
    words = [f for f in _outside_the_top(question, scores) if _letters(f) >= 4]
    seen: set[str] = set()
    misses = 0
    # Draws repeat at random; fifty repeats in a row say that the text has no more typos to give.
    # Chosen by hand.
    while words and misses < 50:
        word = words[int(rng.integers(len(words)))]
        text, what = _misspelt(word.text, rng)
        key = f"{word.start} {text}"
        if text == word.text or key in seen:
            misses += 1
            continue
        misses = 0
        seen.add(key)
        yield Perturbation(
            "typo",
            replaced(question, [(word.start, word.end, text)]),
            f"{word.text!r} written {text!r} ({what})",
        )


def _letters(feature: Feature) -> int:
    return sum(character.isalpha() for character in feature.text)


def _misspelt(word: str, rng: np.random.Generator) -> tuple[str, str]:
    places = [i for i in range(1, len(word)) if word[i].isalpha()]
    place = places[int(rng.integers(len(places)))]
    how = int(rng.integers(3))
    beside = _BESIDE.get(word[place].lower(), "")
    if how == 0 and place + 1 < len(word) and word[place + 1].isalpha():
        swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        return swapped, "two letters swapped"
    if how == 1 and beside:
        key = beside[int(rng.integers(len(beside)))]
        key = key.upper() if word[place].isupper() else key
        return word[:place] + key + word[place + 1 :], "a neighbouring key"
    return word[:place] + word[place + 1 :], "a letter lost"


def synonyms(
    question: Question,
    scores: Float[np.ndarray, " n"],
    neighbours: Neighbours,
    *,
    seed: int = 0,
    most: int = 3,
) -> Iterator[Perturbation]:
    """Texts with one content word outside the top replaced by a neighbour, in random order.

    Args:
        question: question about the text.
        scores: scores of its features.
        neighbours: function that proposes words; near in meaning is not the same meaning, so
            read what was tried.
        seed: seed of the order.
        most: neighbours tried for each word.
    """
    rng = np.random.default_rng([seed, 12])
    words = [f for f in _outside_the_top(question, scores) if not carries_no_content(f.text)]
    text = question.segmentation.document.text
    for index in rng.permutation(len(words)):
        word = words[int(index)]
        for other in list(neighbours(text, word.start, word.end))[:most]:
            if other.casefold() == word.text.casefold():
                continue
            new = other.capitalize() if word.text[:1].isupper() else other
            yield Perturbation(
                "synonym",
                replaced(question, [(word.start, word.end, new)]),
                f"{word.text!r} replaced by {new!r}",
            )


def own_neighbours(
    model: Model, *, most: int = 10, least_cosine: float = 0.5, chunk: int = 8192
) -> Neighbours:
    """Nearest whole words by cosine in the model's own table of embeddings.

    Words of one token only; others have no neighbours. Opposites are often near (good, bad): what
    changes the prediction is discarded later.

    Args:
        model: model whose table is searched.
        most: number of neighbours of a word at most.
        least_cosine: smallest cosine of a neighbour; 0.5 is chosen by hand and not calibrated.
        chunk: rows of the table in memory at a time.

    Cost: one pass over the table for each word; no evaluation.

    Raises:
        CapabilityError: the model gives no embeddings.
    """
    if not (isinstance(model, TokenModel) and isinstance(model, GivesGradients)):
        raise CapabilityError(
            f"{model.identity.ref} gives no embeddings to find neighbours in; give a function "
            "neighbours(text, start, end) of your own"
        )
    known: dict[str, tuple[str, ...]] = {}

    def neighbours(text: str, start: int, end: int) -> Sequence[str]:
        word = text[start:end]
        if word not in known:
            known[word] = tuple(_nearest(model, word, most, least_cosine, chunk))
        return known[word]

    return neighbours


def _nearest(
    model: TokenModel, word: str, most: int, least_cosine: float, chunk: int
) -> Iterator[str]:
    space = cast("GivesGradients", model)
    # In byte-level vocabularies a word within a text has its space in it; alone it is another
    # token.
    form = next((f for f in (f" {word}", word) if len(model.tokenize(f)) == 1), None)
    if form is None:
        return
    embedding = space.embed_ids(model.tokenize(form).tolist())[0].astype(np.float64)
    size = model.vocabulary.size
    near: list[tuple[float, int]] = []
    for start in range(0, size, chunk):
        table = space.embed_ids(range(start, min(size, start + chunk))).astype(np.float64)
        norms = np.linalg.norm(table, axis=1) * np.linalg.norm(embedding)
        # Rows of zeros (a padding token's) have no direction; infinity makes their cosine 0.
        cosines = table @ embedding / np.where(norms == 0, np.inf, norms)
        above = np.flatnonzero(cosines >= least_cosine)
        near += [(-float(cosines[i]), start + int(i)) for i in above]
    lead = form[: len(form) - len(word)]
    count = 0
    for _, token in sorted(near):
        other = model.decode([token]).strip()
        # There and back: pieces of words decode to letters too, but are not what the letters encode
        # to.
        whole = other.isalpha() and model.tokenize(lead + other).tolist() == [token]
        if whole and other.casefold() != word.casefold():
            yield other
            count += 1
            if count == most:
                return


def neutral_edits(question: Question) -> Iterator[Perturbation]:
    """Casing, white space, a neutral prefix, a neutral suffix: a fixed list, once each."""
    document = question.segmentation.document
    # The last part: of a chat the turn that is answered, of a pair the second text.
    part = [part for part in document.parts if not part.frozen][-1]
    text = document.text[part.start : part.end]
    casing = text.lower() if text != text.lower() else text[:1].upper() + text[1:]
    doubled = text.replace(" ", "  ")
    variants = (
        (casing, "letter case changed"),
        (f"Note: {text}", "'Note:' put before it"),
        (doubled if doubled != text else f"{text} ", "white space doubled"),
        (f"{text} That is all.", "'That is all.' put after it"),
    )
    for new, says in variants:
        if new != text:
            yield Perturbation("neutral", replaced(question, [(part.start, part.end, new)]), says)


def templates(question: Question, wordings: Sequence[str] = TEMPLATES) -> Iterator[Perturbation]:
    """The text in each of some wordings, each with ``{text}`` where it goes.

    Raises:
        OptionError: a wording without ``{text}``.
    """
    document = question.segmentation.document
    part = [part for part in document.parts if not part.frozen][-1]
    for wording in wordings:
        if "{text}" not in wording:
            raise OptionError(f"expected a template with {{text}} in it, got {wording!r}")
        new = wording.replace("{text}", document.text[part.start : part.end])
        source = replaced(question, [(part.start, part.end, new)])
        yield Perturbation("template", source, f"put as {wording!r}")


def _outside_the_top(question: Question, scores: Float[np.ndarray, " n"]) -> list[Feature]:
    n = len(question.segmentation)
    if scores.shape != (n,):
        raise OptionError(f"expected one score for each of {n} features, got {scores.shape}")
    top = set(np.argsort(-np.abs(scores), kind="stable")[: top_size(n)].tolist())
    return [f for i, f in enumerate(question.segmentation.features) if i not in top]


def replaced(question: Question, changes: Sequence[tuple[int, int, str]]) -> Input:
    """The input with some characters of its document replaced: a text, a pair, or messages."""
    document = question.segmentation.document
    parts = [part for part in document.parts if not part.frozen]
    texts: list[str] = []
    for part in parts:
        text, moved = document.text[part.start : part.end], 0
        # In the order of the text, so that `moved` holds for every position behind.
        for start, end, new in sorted(changes):
            if part.start <= start and end <= part.end:
                a, b = start - part.start + moved, end - part.start + moved
                text = text[:a] + new + text[b:]
                moved += len(new) - (end - start)
        texts.append(text)
    source = question.source
    if isinstance(source, str):
        return texts[0]
    if isinstance(source, tuple):
        return texts[0], texts[1]
    return [{**message, "content": text} for message, text in zip(source, texts, strict=True)]


def decides(question: Question, source: Input) -> Decision:
    """What the question's model says of an input. Cost: one pass at most."""
    return decision_on(question.model, source)


def holds(before: Decision, after: Decision) -> str | None:
    """Why a prediction changed; ``None`` where it stayed.

    It stays where the label is the same and its probability moved by less than 0.1. Scores that
    are no probabilities may move by less than a tenth of their size.
    """
    if not before.scores:
        return None if before.text == after.text else f"{before.text!r} became {after.text!r}"
    named = before.scores[0]
    if len(before.scores) > 1 and before.text != after.text:
        return f"the prediction became {after.text!r}"
    # The label of before, whichever leads now: its probability is what must hold.
    now = next((score.value for score in after.scores if score.name == named.name), None)
    if now is None:
        return f"{named.name!r} is no longer among the likely"
    # A function's scores have no stated unit; numbers that all lie in 0 .. 1 are read as such.
    bounded = before.unit == "probability" or all(0 <= s.value <= 1 for s in before.scores)
    allowed = MOST if bounded else MOST * max(abs(named.value), 1e-12)
    if abs(now - named.value) >= allowed:
        return f"{named.name!r} moved from {named.value:.3g} to {now:.3g}"
    return None


def kept_edits(
    question: Question,
    before: Decision,
    edits: Iterator[Perturbation],
    count: int,
    *,
    tries: int = 4,
) -> PerturbationSet:
    """The first ``count`` edits that leave the prediction as it was.

    Args:
        question: question about the text as it is.
        before: decision of the model on it, from :func:`decides`.
        edits: edits to try, in order.
        count: number of edits to return.
        tries: number of edits tried for each of these, at most; 4 by default, chosen by hand.

    Cost: one pass for each edit tried.
    """
    perturbations: list[Perturbation] = []
    discarded: list[str] = []
    skipped: list[str] = []
    for edit in edits:
        if (
            len(perturbations) == count
            or len(perturbations) + len(discarded) + len(skipped) >= tries * count
        ):
            break
        try:
            after = decides(question, edit.source)
        except InputError as error:
            skipped.append(f"{edit.kind}: {edit.says}: {error}")
            continue
        why = holds(before, after)
        if why is None:
            perturbations.append(edit)
        else:
            discarded.append(f"{edit.kind}: {edit.says}: {why}")
    return PerturbationSet(tuple(perturbations), tuple(discarded), tuple(skipped))
