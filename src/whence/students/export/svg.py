"""A tree as a picture that stands by itself: one SVG file, for light and dark pages."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from whence.core.errors import CapabilityError
from whence.students.families.base import Fitted
from whence.students.families.views import TreeView

__all__ = ["as_svg"]

# Leaves take a row each. A question stands in the row of its "yes", which lies to the right; its
# "no" stands straight below, after all rows of the "yes". So no two boxes share a row and a
# column, and the long chains of "no" that words make run down the page instead of across it.

# Sizes in pixels, chosen by hand.
FONT, SMALL = 15, 13
BOX, ROW = 36, 62
GAP, EDGE, PAD = 58.0, 20.0, 12.0
BAR = 4

# Every colour has a contrast of 4.7 or more with its page and 3.4 or more with the track behind the
# bar, where WCAG 2.2 (1.4.11) asks for 3. After the palette of Okabe and Ito, which those tell
# apart who confuse red and green.
_LIGHT = ("#0072b2", "#c44e00", "#007a59", "#a8467f", "#7a5c00", "#3f51a3")
_DARK = ("#56b4e9", "#ff9a57", "#2fc79b", "#e79bc6", "#f0d060", "#a9b4f5")


@dataclass(frozen=True, slots=True)
class _Box:
    """A node in its place; ``down`` is the row of its "no", ``None`` at a leaf."""

    says: str
    beside: str
    row: int
    column: int
    down: int | None
    top: int = 0
    chance: float = 0.0

    @property
    def width(self) -> float:
        return 2 * PAD + _width(self.says, FONT) + _width(self.beside, SMALL)


def as_svg(student: Fitted, *, title: str | None = None) -> str:
    r"""The tree drawn: "yes" to the right, "no" downwards, each leaf with its label and probability.

    The bar below a leaf is as long as its most probable label is probable. The file needs nothing
    beside it; its colours follow ``prefers-color-scheme``, and ``<desc>`` holds the whole tree in
    words for those who do not see it. Characters that XML forbids are shown as ``\u0000``.

    Args:
        student: decision tree, fitted by any family of trees.
        title: name of the tree; "Decision tree of N leaves" by default.

    Raises:
        CapabilityError: a student that is no single tree.

    Example:
        >>> from whence.students.features.vectorizer import Features
        >>> from whence.students.families.decision_tree import FittedDecisionTree, Node
        >>> import numpy as np
        >>> features = Features.from_json({"longest": 1, "negation": False, "position": False,
        ...                                "lexicons": {}, "features": [["ngram", "late", 1]]})
        >>> nodes = [Node(np.array([0.5, 0.5]), 9.0, 0, 2, 1), Node(np.array([0.1, 0.9]), 4.0),
        ...          Node(np.array([0.8, 0.2]), 5.0)]
        >>> as_svg(FittedDecisionTree(("accept", "reject"), features, nodes)).count("<text")
        5
    """
    view = student.view()
    if not isinstance(view, TreeView):
        raise CapabilityError(
            f"a decision tree can be drawn; a student of kind {student.kind!r} can not: save it "
            "as text, with to_text()"
        )
    boxes = _placed(view, student.labels)
    columns = max(box.column for box in boxes) + 1
    widths = [max(box.width for box in boxes if box.column == c) for c in range(columns)]
    starts = [EDGE + sum(widths[:c], 0.0) + GAP * c for c in range(columns)]
    leaves = sum(box.down is None for box in boxes)
    width, height = starts[-1] + widths[-1] + EDGE, 2 * EDGE + ROW * (leaves - 1) + BOX
    asking = [box for box in boxes if box.down is not None]
    shapes = [_lines(box, starts[box.column], starts[box.column + 1]) for box in asking]
    shapes += [_drawn(box, starts[box.column]) for box in boxes]
    heading = title or f"Decision tree of {leaves} leaves"
    words = student.to_text()
    # Several pictures may stand in one page, where names and styles must not meet.
    name = "tree-" + hashlib.sha256((heading + words).encode("utf-8", "replace")).hexdigest()[:8]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{name}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">\n'
        f'<title id="{name}-title">{_safe(heading)}</title>\n'
        f'<desc id="{name}-desc">{_safe(words)}</desc>\n'
        f"<style>{_style(name)}</style>\n"
        '<rect class="page" width="100%" height="100%"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )


def _placed(view: TreeView, labels: Sequence[str]) -> list[_Box]:
    """Every node in its row and column."""
    boxes: list[_Box] = []

    def place(index: int, row: int, column: int) -> int:
        """The first row after the node and all that follows from it."""
        node = view.nodes[index]
        if node.question is None:
            top = int(node.value.argmax())
            chance = float(node.value[top])
            beside = f"  {chance:.2f}, {node.texts:,.0f} texts"
            boxes.append(_Box(labels[top], beside, row, column, None, top, chance))
            return row + 1
        below = place(node.yes, row, column + 1)
        boxes.append(_Box(node.question + "?", "", row, column, below))
        return place(node.no, below, column)

    place(0, 0, 0)
    return boxes


def _lines(box: _Box, start: float, following: float) -> str:
    top = EDGE + ROW * box.row
    middle, stem = top + BOX / 2, start + 2 * PAD
    below = EDGE + ROW * (box.down or 0)
    return (
        f'<path class="line" d="M{start + box.width:.1f} {middle:.1f}H{following:.1f}'
        f'M{stem:.1f} {top + BOX:.1f}V{below:.1f}"/>'
        f'<text class="small" x="{following - GAP / 2:.1f}" y="{middle - 6:.1f}" '
        'text-anchor="middle">yes</text>'
        f'<text class="small" x="{stem + 7:.1f}" y="{top + BOX + 17:.1f}">no</text>'
    )


def _drawn(box: _Box, start: float) -> str:
    top = EDGE + ROW * box.row
    kind = "ask" if box.down is not None else "leaf"
    shape = (
        f'<rect class="{kind}" x="{start:.1f}" y="{top:.1f}" width="{box.width:.1f}" '
        f'height="{BOX}" rx="6"/>'
    )
    base = top + BOX / 2 + (5 if kind == "ask" else 3)
    text = f'<tspan class="said">{_safe(box.says)}</tspan>'
    if kind == "leaf":
        text += f'<tspan class="small" xml:space="preserve">{_safe(box.beside)}</tspan>'
        full = box.width - 2 * PAD
        y = top + BOX - BAR - 4
        shape += (
            f'<rect class="track" x="{start + PAD:.1f}" y="{y:.1f}" width="{full:.1f}" '
            f'height="{BAR}"/><rect class="c{box.top % len(_LIGHT)}" x="{start + PAD:.1f}" '
            f'y="{y:.1f}" width="{full * box.chance:.1f}" height="{BAR}"/>'
        )
    return f'{shape}<text x="{start + PAD:.1f}" y="{base:.1f}">{text}</text>'


def _style(name: str) -> str:
    def colours(page: str, ink: str, line: str, box: str, track: str, bars: tuple[str, ...]) -> str:
        rules = [
            f"#{name} .page{{fill:{page}}}",
            f"#{name} text{{fill:{ink}}}",
            f"#{name} .line{{stroke:{line}}}",
            f"#{name} .ask{{fill:{box};stroke:{line}}}",
            f"#{name} .leaf{{fill:{page};stroke:{line}}}",
            f"#{name} .track{{fill:{track}}}",
            *(f"#{name} .c{place}{{fill:{bar}}}" for place, bar in enumerate(bars)),
        ]
        return "".join(rules)

    light = colours("#ffffff", "#1b1b1f", "#767680", "#eef1f6", "#dcdce2", _LIGHT)
    dark = colours("#16171b", "#ececf1", "#8b8d98", "#262931", "#3b3e48", _DARK)
    return (
        f"#{name} text{{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',"
        f"'DejaVu Sans',sans-serif;font-size:{FONT}px}}"
        f"#{name} .said{{unicode-bidi:isolate}}"
        f"#{name} .small{{font-size:{SMALL}px}}"
        f"#{name} .line{{fill:none;stroke-width:1.5}}"
        f"{light}@media(prefers-color-scheme:dark){{{dark}}}"
    )


def _safe(text: str) -> str:
    """Text that XML takes."""
    # One forbidden character makes the whole file unreadable, even if written as a reference.
    legal = "".join(c if _allowed(ord(c)) else f"\\u{ord(c):04x}" for c in text)
    return escape(legal, quote=True)


def _allowed(code: int) -> bool:
    # The production Char of XML 1.0, section 2.2.
    if code < 0x20:
        return code in (0x9, 0xA, 0xD)
    return not (0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF))


def _width(text: str, size: int) -> float:
    """At least the width of a text: fonts differ, and a box may be too wide but never too small."""
    return size * sum(map(_em, text), 0.0)


def _em(character: str) -> float:
    # Bounds from above, in shares of the font's size, chosen by hand over wide fonts: a file has no
    # way to ask what its text will measure where it is opened.
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(character) in ("W", "F"):
        return 1.1
    if not _allowed(ord(character)):
        # Six characters: it is written as \u0000.
        return 3.6
    if character in "ijl.,:;'!|’ ":
        return 0.36
    if character in "mwMW@%—":
        return 1.0
    if not character.isascii():
        # Whole phrases that are one character, and scripts of signs.
        if 0xFDF0 <= ord(character) <= 0xFDFF:
            return 12.0 if character == "\ufdfd" else 4.0
        if ord(character) > 0xFFFF:
            return 2.0
        return 1.2 if character.isupper() else 0.9
    return 0.74 if character.isupper() else 0.63
