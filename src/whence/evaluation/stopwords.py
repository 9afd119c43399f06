"""Words that carry no content of their own: English function words, punctuation, white space."""

from __future__ import annotations

import unicodedata

__all__ = ["carries_no_content"]

_FUNCTION = frozenset(
    """
    a about above after again against all also although am among an and any anyone anything are
    as at be because been before being below between both but by can cannot could did do does
    doing done down during each either else ever every everyone everything few for from further
    had has have having he her here hers herself him himself his how however i if in into is it
    its itself just like may me might mine more most much must my myself nor of off on once one
    only onto or other our ours ourselves out over own per quite rather same shall she should
    since so some someone something somewhat such than that the their theirs them themselves
    then there therefore these they this those though through thus to too toward under until up
    upon us very was we were what whatever when where whether which while who whom whose why
    will with within without would yet you your yours yourself yourselves 'm 're 's 've 'd 'll
    i'm it's that's there's they're we're you're he's she's
    """.split()  # noqa: SIM905 - a list of words reads best as words
)


def carries_no_content(text: str) -> bool:
    """Whether a feature is an English function word, or has no letter, digit or symbol at all.

    Negations (``not``, ``no``, ``never``, ``n't``) turn a meaning round and count as content.
    In other languages only punctuation is recognised.

    Example:
        >>> [carries_no_content(word) for word in ("The", "...", "not", "late")]
        [True, True, False, False]
    """
    bare = text.strip().casefold().replace("’", "'")
    if bare.strip("\"'.,;:!?()[]{}") in _FUNCTION or bare in _FUNCTION:
        return True
    return all(unicodedata.category(character)[0] in "PZC" for character in bare)
