"""Features a person can read: each is there or not, in characters that can be shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from scipy import sparse

from whence.core.errors import InputError, OptionError
from whence.students.features.thresholds import FEWEST, threshold_features
from whence.students.features.tokenizer import tokens, words
from whence.students.features.word_features import (
    Feature,
    Kind,
    Looking,
    WordFeatures,
    beside,
    phrases,
)

__all__ = ["Feature", "Features", "Kind", "ReadableFeatures"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadableFeatures(Looking):
    """Which readable features are drawn from a corpus.

    All are binary, so that a weight is what a text gains by having the feature. What nearly all
    texts have is left out: its weight would be an intercept that reads like a reason.

    Args:
        longest: words in a row at most.
        least_texts: texts that must have a feature before it counts, and of a number also lack it.
        most: features kept, those of most texts first; lexicons always are.
        negation: words that are denied, as features of their own.
        position: words at the beginning and the end of the text, likewise.
        lexicons: names to words; a text has the list once, twice, three times or more.
        numbers: amounts, percentages, ages, dates and other numbers above thresholds, such as
            "amount > 10,000"; see :mod:`whence.students.features.quantities` for how they are read.

    Example:
        >>> spec = ReadableFeatures(longest=2, least_texts=1, lexicons={"debt": ("loan", "owed")})
        >>> features = spec.learn(["paid late", "a loan owed"])
        >>> [features.describe(j) for j in features.of("owed late")]
        ["'late'", "'owed'", 'a word of debt']
    """

    # Both chosen by hand. What one text alone has, a student could only learn by heart.
    least_texts: int = 2
    most: int = 50_000
    numbers: bool = True

    def check(self) -> None:
        """Refuse settings that are out of their range.

        Raises:
            OptionError: one is.
        """
        if self.longest < 1 or self.least_texts < 1 or self.most < 1:
            raise OptionError(
                f"longest={self.longest}, least_texts={self.least_texts}, most={self.most}: "
                "each must be 1 or more"
            )

    def learn(self, texts: Sequence[str]) -> Features:
        """The features that these texts have, in a fixed order.

        Raises:
            OptionError: a setting out of its range.
            InputError: no feature is in enough of the texts.
        """
        self.check()
        phrase_counts: Counter[str] = Counter()
        counts: Counter[Feature] = Counter()
        for text in texts:
            # N-grams are most of what is counted: as plain strings, and words without their places,
            # they take a fraction of the time. A set counts texts, not occurrences.
            phrase_counts.update(phrases(words(text), self.longest))
            if self.plain:
                continue
            counts.update({feature for feature, _, _ in beside(self, tokens(text))})
        usual = _usual(len(texts))
        counts.update({Feature("ngram", phrase): n for phrase, n in phrase_counts.items()})
        counted = {f: n for f, n in counts.items() if self.least_texts <= n <= usual}
        lists = sorted(f for f in counted if f.kind == "lexicon")
        others = [f for f in counted if f.kind != "lexicon"]
        # Equal counts by name: the same corpus gives the same columns in whatever order it comes.
        others.sort(key=lambda f: (-counts[f], f))
        numbers = threshold_features(texts, self.least_texts) if self.numbers else []
        features = (*sorted(others[: self.most]), *lists, *numbers)
        if not features:
            raise InputError(
                f"no feature is in {self.least_texts} or more of the {len(texts)} texts and not in "
                "nearly all of them; give more texts or a smaller least_texts"
            )
        return Features(self, features)


def _usual(texts: int) -> int:
    """The most texts that a feature may be in: what one text in a hundred lacks, or fewer, is left out.

    Of fewer than twenty texts nobody knows what is usual.
    """
    return texts if texts < FEWEST else texts - max(1, texts // 100)


class Features(WordFeatures):
    """Features with their columns, and tables of them.

    Args:
        spec: settings of the search for features in a text.
        kept: feature of each column.
    """

    spec: ReadableFeatures

    def __init__(self, spec: ReadableFeatures, kept: Sequence[Feature]) -> None:
        super().__init__(spec, kept)

    def table(self, texts: Sequence[str], read_to: Sequence[int] | None = None) -> sparse.csr_array:
        """One row a text, one column a feature: 1 where the text has it.

        Args:
            texts: texts; words that are no feature are ignored.
            read_to: characters the teacher read of each text; what follows is not looked at.
        """
        starts = [0]
        columns: list[int] = []
        for row, text in enumerate(texts):
            # Columns of a row ascend, which is the canonical form that SciPy assumes.
            columns.extend(self.of(text if read_to is None else text[: read_to[row]]))
            starts.append(len(columns))
        ones = np.ones(len(columns))
        shape = (len(texts), len(self))
        indices = np.array(columns, dtype=np.int32)
        return sparse.csr_array((ones, indices, np.array(starts, dtype=np.int32)), shape=shape)

    def columns_in(self, wider: Features) -> Int[np.ndarray, " columns"]:
        """The columns that these features have among others that hold all of them.

        Example:
            >>> wider = ReadableFeatures(longest=1, least_texts=1).learn(["paid late"])
            >>> Features(wider.spec, [wider.kept[1]]).columns_in(wider).tolist()
            [1]
        """
        return np.array([wider._column[feature] for feature in self.kept], dtype=np.int64)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Features:
        """The features that :meth:`to_json` wrote."""
        result = WordFeatures.from_json(tree)
        how = result.spec
        spec = ReadableFeatures(
            longest=how.longest, negation=how.negation, position=how.position,
            lexicons=how.lexicons, numbers=how.numbers,
        )  # fmt: skip
        return cls(spec, result.kept)
