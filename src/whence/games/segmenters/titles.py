"""Where numbered or titled passages begin, such as the documents in the prompt of a question."""

from __future__ import annotations

import regex

__all__ = ["title_cuts"]

_NOUN = (
    "documents?|docs?|passages?|sources?|contexts?|paragraphs?|articles?|chunks?|snippets?|evidence|"
    "references?|excerpts?|results?|sections?|texts?|notes?|files?|exhibits?|appendix|letters?"
)
_NUMBER = r"(?:[0-9]{1,4}|[IVXL]{1,6}|[A-Z])"


def _lines(pattern: str) -> regex.Pattern[str]:
    """A pattern of what a line begins with, behind white space, quote marks and bold type."""
    return regex.compile(rf"(?m)^[ \t>*]*(?:{pattern})")


_TITLES = (
    # [1]   [Doc 2]   [Source: A]
    _lines(rf"\[(?i:(?:{_NOUN})[ \t:#]*)?(?-i:{_NUMBER})\]"),
    # Document 2: ...   Passage 3 (title): ...   Source #4 - ...   and such a name alone on its line.
    _lines(
        rf"(?:\#{{1,6}}[ \t]+)?(?i:(?P<name>{_NOUN}))[ \t]*(?:\#|(?i:no\.?|number))?[ \t]*(?-i:{_NUMBER})\b[ \t*]*"
        r"(?:[(\[][^\n]{0,200}?[)\]][ \t*]*)?(?:[:.)\u2013\u2014-]|$)"
    ),
    # <document index="1">   <source>
    _lines(rf"<(?i:(?P<name>{_NOUN}))\b[^<>\n]*(?<!/)>"),
    # Title: ...   Document: ..., the same name again and again.
    _lines(rf"(?i:(?P<name>title|{_NOUN}))[ \t*]*:"),
    _lines(r"\#{1,6}[ \t]+\S"),
    _lines(r"(?:-{3,}|={3,}|_{3,}|\*{3,})[ \t]*$"),
)
"""Ways to begin a passage, the plainest first; the first that a text has twice is the one it uses."""

_ITEM = _lines(r"\(?([0-9]{1,3})[.)][ \t]+\S")
_QUESTION = _lines(
    r"(?:\#{1,6}[ \t]+)?(?i:questions?|query|queries|task|instructions?|answer|request|q|a)[ \t*]*(?::|$)"
)
_CLOSING = regex.compile(rf"</(?i:{_NOUN})>")
_LAST_QUESTION = regex.compile(r"\n[ \t]*\r?\n[^\n]*[?\uFF1F][\"'\u201D)]*\s*$")
_BLANK_LINE = regex.compile(r"\n[ \t]*\r?\n")


def title_cuts(text: str, start: int, end: int) -> list[int]:
    r"""Where passages begin in a stretch of text that numbers or titles them; else nothing.

    Example:
        >>> title_cuts("Use these. \n[1] Late. \n[2] Paid.\nQuestion: Who?", 0, 47)
        [12, 23, 33]
    """
    cuts = next(filter(None, (_alike(title, text, start, end) for title in _TITLES)), None)
    if cuts is None:
        cuts = _items(text, start, end)
    if not cuts:
        return []
    # What comes behind the passages: a question, or whatever stands outside of tags.
    further = [m.start() for m in _QUESTION.finditer(text, cuts[0], end)]
    further += [m.start() for m in _LAST_QUESTION.finditer(text, cuts[-1], end)]
    further += [m.end() for m in _CLOSING.finditer(text, cuts[-1], end)][-1:]
    return sorted({*cuts, *further})


def _alike(title: regex.Pattern[str], text: str, start: int, end: int) -> list[int]:
    """Where lines begin that carry one and the same name, at least twice; the first such name counts.

    A document may have a source and sections of its own, which come later than it.
    """
    places: dict[str, list[int]] = {}
    for match in title.finditer(text, start, end):
        places.setdefault(match.groupdict().get("name", "").casefold(), []).append(match.start())
    return next((found for found in places.values() if len(found) > 1), [])


def _items(text: str, start: int, end: int) -> list[int]:
    """The items of the first list that counts 1, 2, 3, and the blank line that ends it."""
    items: list[tuple[int, int]] = []
    for match in _ITEM.finditer(text, start, end):
        number = int(match.group(1))
        if number == len(items) + 1:
            items.append((match.start(), number))
    # One item is no list.
    if len(items) < 2:
        return []
    close = _BLANK_LINE.search(text, items[-1][0], end)
    return [place for place, _ in items] + ([] if close is None else [close.end()])
