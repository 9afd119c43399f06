"""Features of words as conditions of SQL on words between single spaces."""

from __future__ import annotations

import re

from whence.core.errors import CapabilityError, InputError
from whence.students.features.word_features import Feature, WordFeatures

__all__ = ["conditions_of", "literal", "storable"]

_CAPITAL = re.compile("[A-Z]")


def conditions_of(features: WordFeatures, text: str) -> list[str]:
    """What holds of a text that has each feature, in the column of its words.

    A space stands on both sides of every word: it is then found whole, never within a longer one.

    Raises:
        CapabilityError: a feature that no comparison of text finds.
    """
    result: list[str] = []
    missing: list[str] = []
    for feature in features.kept:
        why = _unsaid(feature, features)
        if why is not None:
            missing.append(f"{feature.describe()} ({why})")
        elif feature.kind == "lexicon":
            entries = sorted(features.spec.lexicons[feature.words])
            result.append("(" + " OR ".join(_like(entry, text) for entry in entries) + ")")
        else:
            result.append(_like(feature.words, text))
    if missing:
        raise CapabilityError(
            f"{len(missing)} features cannot be found by comparing text: {'; '.join(missing[:5])}. "
            "Distil with ReadableFeatures(negation=False, position=False)."
        )
    return result


def _unsaid(feature: Feature, features: WordFeatures) -> str | None:
    """Why a feature cannot be looked for by ``LIKE``; ``None`` where it can."""
    if feature.numeric:
        return "no comparison of text reads a number"
    if feature.kind == "denied":
        return "what a negation reaches is counted in words"
    if feature.kind in ("first", "last"):
        return "its place is counted in words"
    if feature.kind == "lexicon":
        # LIKE says whether, never how often.
        return None if feature.least == 1 else "words of a list are to be counted"
    # Capital letters, which no word has, are all the same to LIKE in SQLite.
    if feature.words.count(" ") >= features.spec.longest or _CAPITAL.search(feature.words):
        return "no text is split into such words"
    try:
        storable(feature.words)
    except InputError as error:
        return str(error)
    return None


def storable(text: str) -> None:
    """Refuse a text that SQL would cut or a database would not store.

    Raises:
        InputError: it holds a NUL character or half a surrogate pair.
    """
    if "\x00" in text:
        raise InputError(f"{text[:60]!r} holds a NUL character, at which SQL ends a text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{text[:60]!r} holds half a surrogate pair; mend its encoding") from error


def _like(phrase: str, text: str) -> str:
    """The words of a phrase in a row, whatever they hold.

    Example:
        >>> _like("100 %", "tokens"), _like("o'hara", "tokens")
        ("tokens LIKE '% 100 !% %' ESCAPE '!'", "tokens LIKE '% o''hara %'")
    """
    # The mark of escape comes first, or it would be doubled where it was just put. It is no
    # backslash, which MySQL takes for an escape of the literal itself.
    safe = phrase.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    # Without a mark of its own PostgreSQL takes the backslash for one.
    escape = "" if safe == phrase and "\\" not in phrase else " ESCAPE '!'"
    return f"{text} LIKE {literal(f'% {safe} %')}{escape}"


def literal(text: str) -> str:
    """A text within quotes.

    Example:
        >>> literal("it's")
        "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"
