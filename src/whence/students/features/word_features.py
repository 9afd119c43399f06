"""Which features a text has, from its words alone: what a student needs to decide again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

from whence.students.features.quantities import (
    LOWEST,
    QUANTITIES,
    Measure,
    limit_in_words,
    quantities,
)
from whence.students.features.tokenizer import Token, negated, tokens, words

__all__ = [
    "EDGE",
    "Feature",
    "Kind",
    "Looking",
    "WordFeatures",
    "above",
    "beside",
    "phrases",
    "up_to",
]

UpTo = Literal["amount <=", "percent <=", "age <=", "date <=", "number <="]

Kind = Literal["ngram", "denied", "lexicon", "first", "last"] | Measure | UpTo
"""``ngram``: words in a row. ``denied``: a word within reach of a negation. ``lexicon``: any word
of a list, so many times. ``first``, ``last``: a word among the first or last ten of the text. A
:data:`~whence.students.features.quantities.Measure`: a number above a threshold; with ``<=``, one
that is not above it."""

# Chosen by hand; not calibrated.
EDGE = 10
"""Words that count as the beginning or the end of a text."""

_FORMS = {
    "ngram": "'{}'",
    "denied": "'{}' denied",
    "first": "'{}' at the beginning",
    "last": "'{}' at the end",
}

_NAMES = {
    "amount": "an amount",
    "age": "an age",
    "percent": "a percentage",
    "date": "a date",
    "number": "a number",
}


class Feature(NamedTuple):
    """What is looked for: words, a list's name with how many of its words are needed, or a number.

    Of a number, ``words`` are those right before it, if any are asked for, and ``least`` is the
    threshold; see :func:`above` and :func:`up_to`.

    Example:
        >>> Feature("denied", "late").describe(), Feature("lexicon", "debt", 2).describe()
        ("'late' denied", '2 or more words of debt')
        >>> above("amount", "", 1e4).describe(), above("age", "", 30.0).describe(there=False)
        ('amount > 10,000', 'age <= 30 (or none)')
        >>> up_to("date", "since", 737425.0).describe()
        "date after 'since' up to 2020-01-01"
    """

    kind: Kind
    words: str
    least: float = 1

    @property
    def numeric(self) -> bool:
        """Whether it is a number on one side of a threshold."""
        return self.measure in QUANTITIES

    @property
    def measure(self) -> str:
        """What the number measures; of other features the kind."""
        return self.kind.partition(" ")[0]

    def met(self, value: float) -> bool:
        """Whether a number is on the side of the threshold that is looked for."""
        return value > self.least if self.kind == self.measure else value <= self.least

    def describe(self, *, there: bool = True) -> str:
        """The feature as a reader sees it.

        Args:
            there: whether a text has it; else the words say that it lacks it.
        """
        if self.numeric:
            return self._limit(there)
        if not there:
            return f"no {self.describe()}"
        if self.kind != "lexicon":
            return _FORMS[self.kind].format(self.words)
        many = "a word" if self.least == 1 else f"{self.least} or more words"
        return f"{many} of {self.words}"

    def _limit(self, there: bool) -> str:
        name, behind = _NAMES[self.measure], f" after '{self.words}'" if self.words else ""
        if self.least <= LOWEST:
            return (name if there else f"no {name.split()[1]}") + behind
        over = (self.kind == self.measure) == there
        # Two "after" in a row would be read as one.
        later = "later than" if behind else "after"
        sides = ("up to", later) if self.measure == "date" else ("<=", ">")
        limit = limit_in_words(self.measure, self.least)
        # What lacks "amount > 10,000" may hold no amount at all.
        none = "" if there else " (or none)"
        return f"{name.split()[1]}{behind} {sides[over]} {limit}{none}"

    @property
    def cost(self) -> int:
        """Words to be read, the list of a lexicon not counted."""
        return len(self.describe().split())


def above(measure: Measure, after: str, limit: float) -> Feature:
    """A number above a threshold, right after some words if any are given."""
    return Feature(measure, after, limit)


def up_to(measure: Measure, after: str, limit: float) -> Feature:
    """A number that is not above a threshold."""
    return Feature(cast("UpTo", f"{measure} <="), after, limit)


@dataclass(frozen=True, kw_only=True, slots=True)
class Looking:
    """How features are looked for in a text.

    Args:
        longest: words in a row at most.
        negation: words that are denied, as features of their own.
        position: words at the beginning and the end of the text, likewise.
        lexicons: names to words or phrases; a text has the list once, twice, three times or more.
            They are kept as texts are read: case folded, marks set apart by spaces.
        numbers: numbers above thresholds.

    Raises:
        OptionError: a list without a word.

    Example:
        >>> Looking(lexicons={"debt": ("Loan", "past due", "write-off")}).lexicons
        {'debt': ('loan', 'past due', 'write - off')}
    """

    longest: int = 2
    negation: bool = False
    position: bool = False
    lexicons: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    numbers: bool = False
    entries: Mapping[str, tuple[frozenset[str], int]] = field(init=False, repr=False, compare=False)
    """Of each lexicon its entries, and the words of the longest."""

    def __post_init__(self) -> None:
        lexicons = {
            name: tuple(dict.fromkeys(filter(None, (" ".join(words(entry)) for entry in entries))))
            for name, entries in self.lexicons.items()
        }
        empty = [name for name, entries in lexicons.items() if not entries]
        if empty:
            # Imported to be raised: it lives beside pydantic, which a stored student runs without.
            from whence.core.errors import OptionError

            raise OptionError(f"lexicon {empty[0]!r} holds no word")
        # A frozen dataclass takes no assignment, not even from its own __post_init__.
        object.__setattr__(self, "lexicons", lexicons)
        result = {
            name: (frozenset(entries), max(entry.count(" ") + 1 for entry in entries))
            for name, entries in lexicons.items()
        }
        object.__setattr__(self, "entries", result)

    @property
    def plain(self) -> bool:
        """Whether there are n-grams and nothing beside them."""
        return not (self.negation or self.position or self.lexicons)


class WordFeatures:
    """Features with their columns, found in one text at a time.

    Args:
        spec: settings of the search for features in a text.
        kept: feature of each column.

    Example:
        >>> features = WordFeatures(Looking(longest=1), [Feature("ngram", "late")])
        >>> features.of("paid late"), features.of("paid")
        ([0], [])
    """

    def __init__(self, spec: Looking, kept: Sequence[Feature]) -> None:
        self.spec = spec
        self.kept = tuple(kept)
        self._column = {feature: column for column, feature in enumerate(self.kept)}
        # N-grams by their words alone: to look one up without making a Feature is most of the
        # speed.
        self._phrase = {f.words: j for f, j in self._column.items() if f.kind == "ngram"}
        # Thresholds by what they are put to: each number of a text is compared with its own alone.
        self._limits: dict[tuple[str, str], list[tuple[Feature, int]]] = {}
        for feature, j in self._column.items():
            if feature.numeric:
                name = feature.measure, feature.words
                self._limits.setdefault(name, []).append((feature, j))

    def __len__(self) -> int:
        return len(self.kept)

    def describe(self, column: int, *, there: bool = True) -> str:
        """The feature of a column, or that a text lacks it, for a reader."""
        return self.kept[column].describe(there=there)

    def cost(self, columns: Iterable[int]) -> int:
        """Words to be read for some features; each lexicon among them is read once, whole."""
        chosen = [self.kept[column] for column in columns]
        lists = {feature.words for feature in chosen if feature.kind == "lexicon"}
        return sum(f.cost for f in chosen) + sum(len(self.spec.lexicons[name]) for name in lists)

    def of(self, text: str) -> list[int]:
        """Columns of the features a text has, ascending."""
        phrase = self._phrase
        result = {phrase[p] for p in phrases(words(text), self.spec.longest) if p in phrase}
        if not self.spec.plain:
            column = self._column
            near = beside(self.spec, tokens(text))
            result |= {column[feature] for feature, _, _ in near if feature in column}
        if self._limits:
            result |= {column for column, _, _ in self._met(text)}
        # Ascending: tables and the scorers add up in this order, so that both round alike.
        return sorted(result)

    def spans(self, text: str) -> dict[int, list[tuple[int, int]]]:
        """Where each feature of a text stands: characters ``start`` to ``end``.

        Example:
            >>> features = WordFeatures(Looking(longest=1), [Feature("ngram", "late")])
            >>> features.spans("late, too late")
            {0: [(0, 4), (10, 14)]}
        """
        places: dict[int, list[tuple[int, int]]] = {}
        for feature, start, end in _placed(self.spec, tokens(text)):
            column = self._column.get(feature)
            if column is not None:
                places.setdefault(column, []).append((start, end))
        for column, start, end in self._met(text) if self._limits else ():
            places.setdefault(column, []).append((start, end))
        return {column: sorted(places[column]) for column in sorted(places)}

    def _met(self, text: str) -> Iterator[tuple[int, int, int]]:
        """The thresholds on whose side a number of a text is, each with the number's characters."""
        for quantity in quantities(text):
            for name in quantity.names:
                for feature, column in self._limits.get(name, ()):
                    if feature.met(quantity.value):
                        yield column, quantity.start, quantity.end

    def to_json(self, columns: Sequence[int] | None = None) -> dict[str, Any]:
        """What is needed to look for some of the features again."""
        chosen = range(len(self)) if columns is None else columns
        spec = self.spec
        return {
            "longest": spec.longest,
            "negation": spec.negation,
            "position": spec.position,
            "lexicons": {name: list(words) for name, words in spec.lexicons.items()},
            "numbers": spec.numbers,
            "features": [[f.kind, f.words, f.least] for f in (self.kept[j] for j in chosen)],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> WordFeatures:
        """The features that :meth:`to_json` wrote."""
        spec = Looking(
            longest=tree["longest"],
            negation=tree["negation"],
            position=tree["position"],
            lexicons={name: tuple(words) for name, words in tree["lexicons"].items()},
            # Schema versions 1 and 2 knew no numbers.
            numbers=tree.get("numbers", False),
        )
        return WordFeatures(spec, [Feature(*entry) for entry in tree["features"]])


def phrases(sequence: list[str], longest: int) -> set[str]:
    """All n-grams of up to ``longest`` words, joined by one space.

    Example:
        >>> sorted(phrases(["paid", "too", "late"], 2))
        ['late', 'paid', 'paid too', 'too', 'too late']
    """
    gathered = set(sequence)
    for size in range(2, longest + 1):
        # One space joins, as no word holds any: SQL and ONNX take the phrase apart by it again.
        gathered.update(map(" ".join, zip(*(sequence[at:] for at in range(size)), strict=False)))
    return gathered


def _placed(spec: Looking, sequence: list[Token]) -> Iterator[tuple[Feature, int, int]]:
    texts = [token.text for token in sequence]
    for size in range(1, spec.longest + 1):
        for at in range(len(sequence) - size + 1):
            phrase = " ".join(texts[at : at + size])
            yield Feature("ngram", phrase), sequence[at].start, sequence[at + size - 1].end
    yield from beside(spec, sequence)


def beside(spec: Looking, sequence: list[Token]) -> Iterator[tuple[Feature, int, int]]:
    """What is looked for beside n-grams, each with its characters.

    Example:
        >>> [f.describe() for f, _, _ in beside(Looking(negation=True), tokens("not late"))]
        ["'late' denied"]
    """
    if spec.negation:
        for token, denied in zip(sequence, negated(sequence), strict=True):
            if denied:
                yield Feature("denied", token.text), token.start, token.end
    if spec.position:
        for token in sequence[:EDGE]:
            yield Feature("first", token.text), token.start, token.end
        for token in sequence[-EDGE:]:
            yield Feature("last", token.text), token.start, token.end
    texts = [token.text for token in sequence]
    for name, (entries, longest) in spec.entries.items():
        hits = [
            (sequence[at].start, sequence[at + size - 1].end)
            for size in range(1, longest + 1)
            for at in range(len(sequence) - size + 1)
            if " ".join(texts[at : at + size]) in entries
        ]
        # "Twice" holds of a text that has the list three times, so a weight is what one more adds.
        # A phrase and a word in it that is an entry too count both.
        for least in range(1, min(len(hits), 3) + 1):
            for start, end in hits:
                yield Feature("lexicon", name, least), start, end
