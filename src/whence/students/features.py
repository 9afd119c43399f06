"""Features a person can read: each is there or not, in characters that can be shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int
from scipy import sparse

from whence.core.errors import InputError, OptionError
from whence.students.words import Token, negated, tokens, words

__all__ = ["Feature", "Features", "Kind", "ReadableFeatures"]

Kind = Literal["ngram", "denied", "lexicon", "first", "last"]
"""``ngram``: words in a row. ``denied``: a word within reach of a negation. ``lexicon``: any word
of a list, so many times. ``first``, ``last``: a word among the first or last ten of the text."""

EDGE = 10
"""Words that count as the beginning or the end of a text."""

_FORMS = {
    "ngram": "'{}'",
    "denied": "'{}' denied",
    "first": "'{}' at the beginning",
    "last": "'{}' at the end",
}


class Feature(NamedTuple):
    """What is looked for: words, or a list's name with how many of its words are needed.

    Example:
        >>> Feature("denied", "late").describe(), Feature("lexicon", "debt", 2).describe()
        ("'late' denied", '2 or more words of debt')
    """

    kind: Kind
    words: str
    least: int = 1

    def describe(self) -> str:
        """The feature as a reader sees it."""
        if self.kind != "lexicon":
            return _FORMS[self.kind].format(self.words)
        many = "a word" if self.least == 1 else f"{self.least} or more words"
        return f"{many} of {self.words}"

    @property
    def cost(self) -> int:
        """Words to be read, the list of a lexicon not counted."""
        return len(self.describe().split())


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadableFeatures:
    """Which readable features are drawn from a corpus.

    All are binary, so that a weight is what a text gains by having the feature.

    Args:
        longest: words in a row at most.
        least_texts: texts that must have a feature before it counts.
        most: features kept, those of most texts first; lexicons always are.
        negation: words that are denied, as features of their own.
        position: words at the beginning and the end of the text, likewise.
        lexicons: names to words; a text has the list once, twice, three times or more.

    Example:
        >>> spec = ReadableFeatures(longest=2, least_texts=1, lexicons={"debt": ("loan", "owed")})
        >>> features = spec.learn(["paid late", "a loan owed"])
        >>> [features.describe(j) for j in features.of("owed late")]
        ["'late'", "'owed'", 'a word of debt']
    """

    longest: int = 2
    least_texts: int = 2
    most: int = 50_000
    negation: bool = False
    position: bool = False
    lexicons: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])

    def learn(self, texts: Sequence[str]) -> Features:
        """The features that these texts have, in a fixed order.

        Raises:
            OptionError: a setting out of its range.
            InputError: no feature is in enough of the texts.
        """
        if self.longest < 1 or self.least_texts < 1 or self.most < 1:
            raise OptionError(
                f"longest={self.longest}, least_texts={self.least_texts}, most={self.most}: "
                "each must be 1 or more"
            )
        empty = [name for name, words in self.lexicons.items() if not words]
        if empty:
            raise OptionError(f"lexicon {empty[0]!r} holds no word")
        phrases: Counter[str] = Counter()
        counts: Counter[Feature] = Counter()
        for text in texts:
            phrases.update(_phrases(words(text), self.longest))
            if self.plain:
                continue
            counts.update({feature for feature, _, _ in _beside(self, tokens(text))})
        counts.update({Feature("ngram", p): n for p, n in phrases.items() if n >= self.least_texts})
        lists = sorted(f for f in counts if f.kind == "lexicon" and counts[f] >= self.least_texts)
        others = [f for f in counts if f.kind != "lexicon" and counts[f] >= self.least_texts]
        others.sort(key=lambda f: (-counts[f], f))
        kept = (*sorted(others[: self.most]), *lists)
        if not kept:
            raise InputError(
                f"no feature is in {self.least_texts} or more of the {len(texts)} texts; "
                "give more texts or a smaller least_texts"
            )
        return Features(self, kept)

    @property
    def plain(self) -> bool:
        """Whether there are n-grams and nothing beside them."""
        return not (self.negation or self.position or self.lexicons)


class Features:
    """Features with their columns.

    Args:
        spec: how they are looked for.
        kept: the feature of each column.
    """

    def __init__(self, spec: ReadableFeatures, kept: Sequence[Feature]) -> None:
        self.spec = spec
        self.kept = tuple(kept)
        self._column = {feature: column for column, feature in enumerate(self.kept)}
        self._phrase = {f.words: j for f, j in self._column.items() if f.kind == "ngram"}

    def __len__(self) -> int:
        return len(self.kept)

    def describe(self, column: int) -> str:
        """The feature of a column, for a reader."""
        return self.kept[column].describe()

    def cost(self, columns: Iterable[int]) -> int:
        """Words to be read for some features; each lexicon among them is read once, whole."""
        chosen = [self.kept[column] for column in columns]
        lists = {feature.words for feature in chosen if feature.kind == "lexicon"}
        return sum(f.cost for f in chosen) + sum(len(self.spec.lexicons[name]) for name in lists)

    def table(self, texts: Sequence[str], read_to: Sequence[int] | None = None) -> sparse.csr_array:
        """One row a text, one column a feature: 1 where the text has it.

        Args:
            texts: any texts; words never seen count for nothing.
            read_to: characters the teacher read of each text; what follows is not looked at.
        """
        starts = [0]
        columns: list[int] = []
        for row, text in enumerate(texts):
            columns.extend(self.of(text if read_to is None else text[: read_to[row]]))
            starts.append(len(columns))
        ones = np.ones(len(columns))
        shape = (len(texts), len(self))
        indices = np.array(columns, dtype=np.int32)
        return sparse.csr_array((ones, indices, np.array(starts, dtype=np.int32)), shape=shape)

    def of(self, text: str) -> list[int]:
        """Columns of the features a text has, ascending."""
        phrase = self._phrase
        found = {phrase[p] for p in _phrases(words(text), self.spec.longest) if p in phrase}
        if not self.spec.plain:
            column = self._column
            beside = _beside(self.spec, tokens(text))
            found |= {column[feature] for feature, _, _ in beside if feature in column}
        return sorted(found)

    def columns_in(self, wider: Features) -> Int[np.ndarray, " columns"]:
        """The columns that these features have among others that hold all of them.

        Example:
            >>> wider = ReadableFeatures(longest=1, least_texts=1).learn(["paid late"])
            >>> Features(wider.spec, [wider.kept[1]]).columns_in(wider).tolist()
            [1]
        """
        return np.array([wider._column[feature] for feature in self.kept], dtype=np.int64)

    def spans(self, text: str) -> dict[int, list[tuple[int, int]]]:
        """Where each feature of a text stands: characters ``start`` to ``end``.

        Example:
            >>> features = ReadableFeatures(longest=1, least_texts=1).learn(["late"])
            >>> features.spans("late, too late")
            {0: [(0, 4), (10, 14)]}
        """
        places: dict[int, list[tuple[int, int]]] = {}
        for feature, start, end in _placed(self.spec, tokens(text)):
            column = self._column.get(feature)
            if column is not None and (start, end) not in places.setdefault(column, []):
                places[column].append((start, end))
        return {column: sorted(places[column]) for column in sorted(places)}

    def to_json(self, columns: Sequence[int] | None = None) -> dict[str, Any]:
        """What is needed to look for some of the features again."""
        chosen = range(len(self)) if columns is None else columns
        spec = self.spec
        return {
            "longest": spec.longest,
            "negation": spec.negation,
            "position": spec.position,
            "lexicons": {name: list(words) for name, words in spec.lexicons.items()},
            "features": [[f.kind, f.words, f.least] for f in (self.kept[j] for j in chosen)],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Features:
        """The features that :meth:`to_json` wrote."""
        spec = ReadableFeatures(
            longest=tree["longest"],
            negation=tree["negation"],
            position=tree["position"],
            lexicons={name: tuple(words) for name, words in tree["lexicons"].items()},
        )
        return cls(spec, [Feature(*entry) for entry in tree["features"]])


def _phrases(found: list[str], longest: int) -> set[str]:
    phrases = set(found)
    for size in range(2, longest + 1):
        phrases.update(map(" ".join, zip(*(found[at:] for at in range(size)), strict=False)))
    return phrases


def _placed(spec: ReadableFeatures, found: list[Token]) -> Iterator[tuple[Feature, int, int]]:
    said = [token.text for token in found]
    for size in range(1, spec.longest + 1):
        for at in range(len(found) - size + 1):
            phrase = " ".join(said[at : at + size])
            yield Feature("ngram", phrase), found[at].start, found[at + size - 1].end
    yield from _beside(spec, found)


def _beside(spec: ReadableFeatures, found: list[Token]) -> Iterator[tuple[Feature, int, int]]:
    """What is looked for beside n-grams."""
    if spec.negation:
        for token, denied in zip(found, negated(found), strict=True):
            if denied:
                yield Feature("denied", token.text), token.start, token.end
    if spec.position:
        for token in found[:EDGE]:
            yield Feature("first", token.text), token.start, token.end
        for token in found[-EDGE:]:
            yield Feature("last", token.text), token.start, token.end
    for name, listed in spec.lexicons.items():
        wanted = {word.casefold() for word in listed}
        hits = [token for token in found if token.text in wanted]
        for least in range(1, min(len(hits), 3) + 1):
            for token in hits:
                yield Feature("lexicon", name, least), token.start, token.end
