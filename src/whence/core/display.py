"""The one place where a value reaches up to the views: when a person asks to see it.

Values hold no view code. ``str(explanation)`` and a notebook's display are delegated here, and
from here lazily to :mod:`whence.app`; the import contract names this module as its exception.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from whence.core.files import write_atomic

if TYPE_CHECKING:
    from whence.core.explanations import Attribution
    from whence.core.label_diff import LabelDiff
    from whence.core.trust import TrustLabel

__all__ = [
    "attention_fragment",
    "attention_page",
    "attention_text",
    "diff_text",
    "distilled_fragment",
    "distilled_page",
    "distilled_text",
    "html_fragment",
    "html_page",
    "label_fragment",
    "label_text",
    "plain_text",
]


def plain_text(explanation: Attribution) -> str:
    """The explanation as text without colour codes."""
    from whence.app.terminal import plain_text as render

    return render(explanation)


def html_fragment(explanation: Attribution) -> str:
    """The explanation as one HTML element with its own scoped style, for a notebook cell."""
    from whence.app.page import fragment

    return fragment(explanation)


def html_page(explanation: Attribution, path: str | os.PathLike[str] | None = None) -> str:
    """The explanation as a self-contained page, written to ``path`` where given."""
    from whence.app.page import page

    return _written(page(explanation), path)


def attention_text(attention: Any) -> str:
    """What was watched, as text without colour codes."""
    from whence.app.attention_terminal import plain_text as render

    return render(attention)


def attention_fragment(attention: Any) -> str:
    """What was watched, as one HTML element for a notebook cell."""
    from whence.app.attention_page import fragment

    return fragment(attention)


def attention_page(attention: Any, path: str | os.PathLike[str] | None = None) -> str:
    """What was watched, as a self-contained page, written to ``path`` where given."""
    from whence.app.attention_page import page

    return _written(page(attention), path)


def label_text(label: TrustLabel) -> str:
    """The trust label as text without colour codes."""
    from whence.app.trust_terminal import plain_text as render

    return render(label)


def label_fragment(label: TrustLabel) -> str:
    """The trust label as one HTML element for a notebook cell."""
    from whence.app.trust_page import fragment

    return fragment(label)


def diff_text(diff: LabelDiff) -> str:
    """What changed between two trust labels, as text."""
    from whence.app.trust_terminal import diff_text as render

    return render(diff)


def distilled_text(distilled: Any) -> str:
    """A student with its certificate, as text without colour codes."""
    from whence.app.distil_terminal import plain_text as render

    return render(distilled)


def distilled_fragment(distilled: Any) -> str:
    """A student with its certificate, as one HTML element for a notebook cell."""
    from whence.app.distil_page import fragment

    return fragment(distilled)


def distilled_page(distilled: Any, path: str | os.PathLike[str] | None = None) -> str:
    """A student with its certificate, as a self-contained page, written to ``path`` where given."""
    from whence.app.distil_page import page

    return _written(page(distilled), path)


def _written(text: str, path: str | os.PathLike[str] | None) -> str:
    if path is not None:
        write_atomic(path, text.encode("utf-8"))
    return text
