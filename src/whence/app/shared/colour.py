"""One diverging ramp for signed scores, made in OKLab so that equal steps look equal.

Negative is orange, positive is blue: the pair that deuteranopes and protanopes tell apart. Zero
is the page itself. Lightness falls evenly with magnitude in the light theme and rises in the
dark one; the text on top takes whichever of black or white reads better.
"""

from __future__ import annotations

import math
from typing import Literal

__all__ = [
    "DARK_NOTEBOOK",
    "DARK_PAGE",
    "THEMES",
    "VERDICTS",
    "State",
    "Theme",
    "contrast",
    "luminance",
    "ramp",
    "text_on",
    "themed",
]

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, Theme] = ("light", "dark")
State = Literal["usable", "care", "never", "silent"]

DARK_PAGE = "@media(prefers-color-scheme:dark)"
"""Where the dark theme of a page stands: its reader's system is dark."""
DARK_NOTEBOOK = (
    ':is([data-jp-theme-light="false"],[data-vscode-theme-kind$="dark"],[data-theme="dark"],'
    'html[theme="dark"])'
)
"""Where the dark theme of an element in a notebook stands: inside JupyterLab, Visual Studio Code, a page of
Sphinx, or Colab in dark. What the reader's system prefers says nothing of the notebook around it."""

VERDICTS: dict[State, dict[Theme, tuple[str, str]]] = {
    "usable": {"light": ("#0a5c3a", "#e4f4ea"), "dark": ("#93dfb6", "#14301f")},
    "care": {"light": ("#6a4600", "#fdf1d3"), "dark": ("#f1cb78", "#33280d")},
    "never": {"light": ("#8b1c17", "#fbe6e4"), "dark": ("#f8aea6", "#3b1714")},
    "silent": {"light": ("#5b5b66", "#f1f1f5"), "dark": ("#a9a9b8", "#2a2a30")},
}
"""Ink and ground of a verdict's mark in each theme; a symbol and a word say the same."""
# OKLab (lightness, chroma, hue in degrees) of full magnitude, and of the page. Chosen by hand; not
# calibrated.
_ENDS: dict[Theme, tuple[float, float]] = {"light": (0.62, 0.135), "dark": (0.64, 0.13)}
_PAGE: dict[Theme, tuple[float, float, float]] = {
    "light": (1.0, 0.0, 0.0),
    "dark": (0.205, 0.0, 0.0),
}
_HUES = {1: 250.0, -1: 55.0}


def themed(light: str, dark: str) -> str:
    """Style rules for both themes of a page."""
    return f"{light}{DARK_PAGE}{{{dark}}}"


def ramp(value: float, theme: Theme = "light") -> str:
    """The colour of a score scaled to -1 ... 1, as ``#rrggbb``.

    Example:
        >>> ramp(0.0)
        '#ffffff'
    """
    magnitude = min(1.0, abs(value))
    light, chroma = _ENDS[theme]
    page = _PAGE[theme][0]
    hue = math.radians(_HUES[1 if value >= 0 else -1])
    lightness = page + (light - page) * magnitude
    a = chroma * magnitude * math.cos(hue)
    b = chroma * magnitude * math.sin(hue)
    return _hex(lightness, a, b)


def _hex(lightness: float, a: float, b: float) -> str:
    """SRGB of an OKLab colour (Ottosson 2020), clipped to what a screen can show."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    return "#" + "".join(f"{_encoded(channel):02x}" for channel in linear)


def _encoded(channel: float) -> int:
    value = min(1.0, max(0.0, channel))
    # Transfer curve of sRGB, IEC 61966-2-1.
    value = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
    return round(255 * value)


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    total = 0.0
    for start, weight in ((1, 0.2126), (3, 0.7152), (5, 0.0722)):
        value = int(colour[start : start + 2], 16) / 255
        # The bound of sRGB itself; the 0.03928 in older texts of WCAG differs for no colour of 8
        # bits.
        value = value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        total += weight * value
    return total


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2).

    Example:
        >>> round(contrast("#000000", "#ffffff"), 1)
        21.0
    """
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def text_on(background: str) -> str:
    """Black or white, whichever reads better: at least 4.5 to 1 on any background."""
    # The contrasts with black and with white multiply to (L + .05) / .05 * 1.05 / (L + .05) = 21,
    # so the larger is at least sqrt(21) = 4.58, above the 4.5 of level AA.
    choices = ("#000000", "#ffffff")
    return max(choices, key=lambda text: contrast(text, background))
