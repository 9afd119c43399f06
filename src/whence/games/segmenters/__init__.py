"""Segmenters, one a file: how a document falls into features. Characters are the truth.

Boundaries follow Unicode (UAX #29) through the ``regex`` library: a grapheme (a letter with its
combining marks, an emoji with its joiners and skin tone, a flag) is never cut. Features never
cross a part of the document, never lie in a frozen part, and cover every character that is not
white space, except for the caller's own spans.
"""

from whence.games.segmenters.base import SEGMENTERS, Segmenter, segmenter_by_name
from whence.games.segmenters.paragraphs import Paragraphs
from whence.games.segmenters.passages import Passages
from whence.games.segmenters.sentences import Sentences
from whence.games.segmenters.spans import Spans
from whence.games.segmenters.tokens import Tokens
from whence.games.segmenters.turns import Turns
from whence.games.segmenters.words import Words

__all__ = [
    "SEGMENTERS",
    "Paragraphs",
    "Passages",
    "Segmenter",
    "Sentences",
    "Spans",
    "Tokens",
    "Turns",
    "Words",
    "segmenter_by_name",
]
