"""Words that turn a statement round, and the numerals of a text."""

from __future__ import annotations

from dataclasses import dataclass

import regex

__all__ = ["Numeral", "numeral", "opposites"]

_PAIRS = """
good bad|better worse|best worst|great terrible|excellent poor|strong weak|high low|higher lower
highest lowest|large small|long short|old new|early late|first last|more less|most least|many few
always never|often rarely|all none|every no|before after|above below|over under|up down|with without
increase decrease|increased decreased|increases decreases|rise fall|rose fell|rising falling
gain loss|profit loss|win lose|won lost|accept reject|accepted rejected|approve deny|approved denied
allow forbid|allowed forbidden|include exclude|included excluded|present absent|positive negative
normal abnormal|stable unstable|safe unsafe|likely unlikely|able unable|possible impossible
legal illegal|lawful unlawful|valid invalid|complete incomplete|regular irregular|known unknown
employed unemployed|paid unpaid|secured unsecured|permanent temporary|married single
yes no|true false|right wrong|happy sad|love hate|loved hated|like dislike|interesting boring
easy difficult|fast slow|clean dirty|rich poor|healthy ill|improved worsened|improving worsening
acute chronic|severe mild|male female|open closed|granted refused|upheld dismissed|guilty innocent
confirmed denied|proved disproved|succeeded failed|success failure|agree disagree|agreed disagreed
"""
"""Opposites, both ways; written for this file, of letters, reviews and notes in English."""

_AUXILIARIES = frozenset(
    [
        "is",
        "are",
        "was",
        "were",
        "am",
        "be",
        "has",
        "have",
        "had",
        "do",
        "does",
        "did",
        "can",
        "could",
        "will",
        "would",
        "shall",
        "should",
        "may",
        "might",
        "must",
    ]
)
_CONTRACTED = {"can't": "can", "won't": "will", "shan't": "shall", "cannot": "can"}
_NUMERAL = regex.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


def _table() -> dict[str, tuple[str, ...]]:
    table: dict[str, list[str]] = {}
    for pair in _PAIRS.replace("\n", "|").strip("|").split("|"):
        one, other = pair.split()
        table.setdefault(one, []).append(other)
        table.setdefault(other, []).append(one)
    return {word: tuple(others) for word, others in table.items()}


_OPPOSITES = _table()


def opposites(word: str, following: str) -> tuple[tuple[str, str], ...]:
    """Texts that turn a word round, each with how: substitution or negation.

    Args:
        word: word of the text.
        following: word behind it, by which a negation that stands there is seen.

    Example:
        >>> opposites("Stable", ""), opposites("is", "late"), opposites("isn't", "late")
        ((('Unstable', 'substitution'),), (('is not', 'negation'),), (('is', 'negation'),))
    """
    plain = word.casefold().replace("\u2019", "'")
    texts = [(other, "substitution") for other in _OPPOSITES.get(plain, ())]
    if plain in _AUXILIARIES and following.casefold() not in ("not", "never"):
        texts.append((f"{plain} not", "negation"))
    elif plain in _CONTRACTED:
        texts.append((_CONTRACTED[plain], "negation"))
    elif plain.endswith("n't"):
        texts.append((plain[:-3], "negation"))
    upper = word[:1].isupper()
    return tuple((t[:1].upper() + t[1:] if upper else t, how) for t, how in texts)


@dataclass(frozen=True, slots=True)
class Numeral:
    """The one number in a feature's text, and how it is written.

    ``step``: unit of the last digit written; values are whole multiples of it, from zero on.
    """

    value: float
    decimals: int
    grouped: bool
    before: str
    after: str

    @property
    def step(self) -> float:
        """Unit of the last digit written."""
        return float(10**-self.decimals)

    def written(self, steps: int) -> str:
        """The feature's text with the number of so many steps in its place.

        Example:
            >>> numeral("£12,000").written(9500)
            '£9,500'
        """
        value = f"{steps / 10**self.decimals:{',' if self.grouped else ''}.{self.decimals}f}"
        return f"{self.before}{value}{self.after}"

    @property
    def steps(self) -> int:
        """The value as a number of steps."""
        return round(self.value * 10**self.decimals)


def numeral(text: str) -> Numeral | None:
    """The number of a text that holds exactly one; ``None`` for dates, times and codes.

    Example:
        >>> numeral("42 %").value, numeral("12:30"), numeral("007")
        (42.0, None, None)
    """
    matches = list(_NUMERAL.finditer(text))
    if len(matches) != 1 or regex.search(r"[:/]", text):
        return None
    digits = matches[0].group()
    # "B12" is a name.
    if regex.search(r"\p{L}$", text[: matches[0].start()]):
        return None
    # A number written with a leading zero is a code, and one of sixteen digits more than a float
    # can tell apart.
    if len(digits) > 15 or (len(digits) > 1 and digits[0] == "0" and digits[1] != "."):
        return None
    decimals = len(digits.partition(".")[2])
    start, end = matches[0].span()
    return Numeral(
        value=float(digits.replace(",", "")),
        decimals=decimals,
        grouped="," in digits,
        before=text[:start],
        after=text[end:],
    )
