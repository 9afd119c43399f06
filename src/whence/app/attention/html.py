"""Attention as a self-contained page, as a part of one, and as a notebook's output.

One file, no request to anywhere. The views are one ES module that ships in the package; the
numbers lie beside it in script elements that no browser runs.
"""

from __future__ import annotations

import base64
import html
import json
from functools import cache
from importlib.resources import files

from markupsafe import Markup

from whence._version import __version__
from whence.app.attention.payload import Budget, payload_of
from whence.app.shared.colour import DARK_NOTEBOOK
from whence.app.shared.formatting import answer
from whence.app.shared.templates import environment, script_json
from whence.attention.store import Attention

__all__ = ["body", "fragment", "page"]

NOTEBOOK = Budget(lenses=1_500_000, matrices=1_500_000)
"""A notebook stores its outputs in its file, so that its views hold a quarter of a page's."""


@cache
def _module() -> str:
    return files("whence.app").joinpath("static", "attention.js").read_text("utf-8")


def body(attention: Attention, budget: Budget | None = None, *, shadow: bool = False) -> Markup:
    """The element that the views are drawn in, their numbers, the record, and the module that draws.

    ``shadow`` separates the styles of the views from those of a page around them.
    """
    element = "document.getElementById('whence-attention')"
    if shadow:
        # A shadow root, since the page around it styles tables and buttons too.
        element += ".attachShadow({mode: 'open'})"
    payload = payload_of(attention, budget)
    # allow_nan=False: NaN is no JSON, and a browser would refuse the whole tree for one. Better no
    # page than one that stays empty.
    tree = script_json(json.dumps(payload.tree, allow_nan=False, separators=(",", ":")))
    arrays = "\n".join(
        f'<script type="application/octet-stream" id="w-{ref}">'
        f"{base64.b64encode(data).decode('ascii')}</script>"
        for ref, data in payload.arrays.items()
    )
    record = script_json(attention.record.to_json())
    return Markup(
        '<div id="whence-attention"></div>\n'
        f'<script type="application/json" id="whence-attention-data">{tree}</script>\n'
        f"{arrays}\n"
        f'<script type="application/json" class="wh-record">{record}</script>\n'
        f'<script type="module">{_module()}\n'
        f"mount({element}, inline(document));</script>"
    )


def page(attention: Attention, budget: Budget | None = None) -> str:
    """A self-contained page of one record."""
    title = f"Where it reads: {answer(attention.record.decision)}"
    template = environment().get_template("attention.html")
    return template.render(title=title, body=body(attention, budget), version=__version__)


def fragment(attention: Attention) -> str:
    """The page in a frame, so that neither its style nor its script can touch a notebook."""
    # srcdoc and no allow-same-origin: the frame has an origin of its own, so its script sees
    # nothing of the notebook.
    text = html.escape(page(attention, NOTEBOOK), quote=True)
    # A page in a frame is dark where the element of the frame is, not where the reader's system is.
    theme = f".wh-frame{{color-scheme:light}}{DARK_NOTEBOOK}{{.wh-frame{{color-scheme:dark}}}}"
    return (
        f"<style>{theme}</style>"
        f'<iframe class="wh-frame" title="Attention, head by head" srcdoc="{text}" '
        'sandbox="allow-scripts allow-downloads" loading="lazy" '
        'style="width:100%;height:860px;border:0"></iframe>'
    )
