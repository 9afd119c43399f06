"""Numbers of a text that a threshold can be put to: amounts, percentages, ages, dates and others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import regex

from whence.students.features.tokenizer import words

__all__ = ["LOWEST", "QUANTITIES", "VERSION", "Measure", "Quantity", "limit_in_words", "quantities"]

VERSION = 1
"""Raised whenever any number is read otherwise than before."""

Measure = Literal["amount", "percent", "age", "date", "number"]
"""What a number measures. An amount has a currency, a word of scale (12k, 12 thousand) or groups of
three digits; ``number`` is any number but ages, percentages and dates, amounts included."""

QUANTITIES: tuple[Measure, ...] = ("amount", "percent", "age", "date", "number")

LOWEST = -1e15
"""Below every number that is read: of more than fifteen digits a double keeps none exactly."""

REACH = 60
"""Characters before a number in which the two words before it are looked for."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_CURRENCY = (
    r"(?:[$€£¥]|(?:us)?\$|(?:eur(?:os?)?|usd|dollars?|gbp|pounds?(?: sterling)?|chf|francs?|jpy|yen|"
    r"cad|aud|sek|nok|dkk|pln|inr|rupees?|cny|yuan|rmb)(?![^\W\d_]))"
)
_SCALES = {
    **dict.fromkeys(("k", "tsd", "thousand"), 1e3),
    **dict.fromkeys(("m", "mn", "mio", "million"), 1e6),
    **dict.fromkeys(("bn", "billion"), 1e9),
}

# Groups of three take one sign throughout, and the decimals another; a space may group, since
# letters do ("10 000 EUR"), but a line break may not.
_NUMBER = (
    r"(?:\d{1,3}(?:,\d{3}){1,4}(?:\.\d+)?|\d{1,3}(?:\.\d{3}){1,4}(?:,\d+)?|"
    r"\d{1,3}(?:['’]\d{3}){1,4}(?:[.,]\d+)?|\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3}){1,4}(?:[.,]\d+)?|"
    r"\d{1,15}(?:[.,]\d+)?)(?![\d])(?![.,'’]\d)"
)
_GROUPS = regex.compile(r"\d{1,3}(?:[,.'’ \u00a0\u2009\u202f]\d{3})+(?:[.,]\d+)?")
_DATE = (
    r"(?P<y1>\d{4})-(?P<m1>\d{1,2})-(?P<d1>\d{1,2})|"
    r"(?P<d2>\d{1,2})(?P<mark>[./])(?P<m2>\d{1,2})(?P=mark)(?P<y2>\d{4})|"
    rf"(?P<d3>\d{{1,2}})(?:st|nd|rd|th|\.)? (?:of )?(?P<m3>{_MONTH}),? (?P<y3>\d{{4}})|"
    rf"(?P<m4>{_MONTH}) (?P<d4>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y4>\d{{4}})|"
    rf"(?P<m5>{_MONTH}),? (?P<y5>\d{{4}})"
)
# What is tried first wins: a date holds numbers, and the digits of a word (A4, 3rd) are none.
_QUANTITY = regex.compile(
    rf"(?<![\w.,])(?:{_DATE})(?![\w])|"
    rf"(?<=\bage[ds]?(?: is| of|:|=)? ?)(?P<age1>\d{{1,3}})(?![\w.,]\d|\w)|"
    rf"(?<![\w.,])(?P<age2>\d{{1,3}})(?:[ -]years?[ -]old|[ -]?y[./]?o\b|[ -]years? of age)|"
    rf"(?<![\w])(?P<sign>(?<![\w)%.,])[-−])?(?:(?P<before>{_CURRENCY})[ \u00a0]?(?P<sign2>[-−])?)?"
    rf"(?<![\d.,])(?P<body>{_NUMBER})"
    r"(?:[ \u00a0-]?(?P<scale>thousand|million|billion|tsd|mio|mn|bn|k|m)\b\.?)?"
    rf"(?:[ \u00a0]?(?:(?P<percent>%|per ?cent\b)|(?P<after>{_CURRENCY})))?(?![\w])",
    regex.IGNORECASE | regex.V1,
)


class Quantity(NamedTuple):
    """A number with what it measures and where it stands.

    Attributes:
        measure: what it measures.
        value: number itself; of a date its day, counted from 1 January of year 1.
        start: first character.
        end: character after the last.
        after: up to two words right before it, the nearest last.
    """

    measure: Measure
    value: float
    start: int
    end: int
    after: tuple[str, ...]

    @property
    def names(self) -> Iterator[tuple[Measure, str]]:
        """What it can be looked for by: its measure, alone and after each of the words before it."""
        for measure in (self.measure, "number") if self.measure == "amount" else (self.measure,):
            yield measure, ""
            for count in range(1, len(self.after) + 1):
                yield measure, " ".join(self.after[-count:])


def quantities(text: str) -> list[Quantity]:
    """The numbers of a text, in order.

    Of a dot or a comma before three digits the digits are a group ("10.000" is ten thousand),
    unless a 0 stands before it or % behind; of a date with slashes the day comes first, unless it
    cannot. Words of currencies, ages and months are English.

    Example:
        >>> [(q.measure, q.value) for q in quantities("Aged 34, asks for $12k or 10.000,50 EUR.")]
        [('age', 34.0), ('amount', 12000.0), ('amount', 10000.5)]
        >>> [q.after for q in quantities("a loan of 12 thousand since 2020-01-31")]
        [('loan', 'of'), ('since',)]
    """
    result: list[Quantity] = []
    end = 0
    for match in _QUANTITY.finditer(text):
        parts = {name: part for name, part in match.groupdict().items() if part is not None}
        read = _read(parts)
        if read is not None:
            # Of the last characters alone: long texts must not be split once a number.
            before = words(text[max(end, match.start() - REACH) : match.start()])
            near = tuple(word for word in before[-3:] if word[0].isalpha())
            end = match.end()
            result.append(Quantity(*read, match.start(), end, near[-2:]))
    return result


def _read(parts: dict[str, str]) -> tuple[Measure, float] | None:
    """What a match measures, and its value; ``None`` for a date that there is not."""
    if "body" not in parts:
        age = parts.get("age1", parts.get("age2"))
        return ("age", float(age)) if age is not None else _date(parts)
    body, percent = parts["body"], "percent" in parts
    scale = parts.pop("scale", "").casefold()
    if scale != "m" or {"before", "after"} & set(parts):
        parts |= {"scale": scale} if scale else {}
    value = _value(body, percent) * _SCALES.get(parts.get("scale", ""), 1.0)
    value = -value if "sign" in parts or "sign2" in parts else value
    if percent:
        return "percent", value
    money = {"before", "after", "scale"} & set(parts) or (
        _GROUPS.fullmatch(body) and not body.startswith("0")
    )
    return ("amount" if money else "number"), value


def _value(body: str, percent: bool) -> float:
    grouped = _GROUPS.fullmatch(body) and not body.startswith("0")
    if grouped and not (percent and regex.fullmatch(r"\d+[.,]\d+", body)):
        # The sign of the groups is the first that is no digit, and what is left marks decimals.
        body = body.replace(body.lstrip("0123456789")[0], "")
    if len(regex.findall(r"\D", body)) > 1:
        # Groups that begin with 0 number something (a file, a telephone) and have no decimals.
        return float(regex.sub(r"\D", "", body))
    return float(regex.sub(r"\D", ".", body))


def _date(parts: Mapping[str, str]) -> tuple[Measure, float] | None:
    (year,) = (parts[name] for name in ("y1", "y2", "y3", "y4", "y5") if name in parts)
    month = next(parts[name] for name in ("m1", "m2", "m3", "m4", "m5") if name in parts)
    day = next((parts[name] for name in ("d1", "d2", "d3", "d4") if name in parts), "1")
    if not month.isdecimal():
        month = str(_MONTHS.index(month[:3].casefold()) + 1)
    elif parts.get("mark") == "/" and int(month) > 12:
        day, month = month, day
    try:
        return "date", float(dt.date(int(year), int(month), int(day)).toordinal())
    except ValueError:
        return None


def limit_in_words(measure: str, limit: float) -> str:
    """A threshold as a reader sees it.

    Example:
        >>> [limit_in_words(*limit) for limit in (("amount", 1e4), ("date", 737425.0), ("age", 30.0))]
        ['10,000', '2020-01-01', '30']
    """
    if measure == "date":
        return dt.date.fromordinal(int(limit)).isoformat()
    # A year is a number too, and nobody groups its digits.
    return f"{limit:.15g}" if measure == "number" and abs(limit) < 10_000 else f"{limit:,.15g}"
