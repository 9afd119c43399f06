"""Pictures of the demo and of the evidence behind a verdict, taken from the pages of today.

    python tools/take_pictures.py            # writes docs/images; needs Chromium

Run it when a page changes: a picture of a page that is no longer written misleads.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

import whence
from whence.app.cli.demo import demo_sections
from whence.app.explanation.html import pages
from whence.cases.showcase import showcase

OUT = Path(__file__).parents[1] / "docs" / "images"


def shoot(
    browser: Browser,
    path: Path,
    name: str,
    size: tuple[int, int],
    *,
    dark: bool = False,
    at: str | None = None,
    unfold: str | None = None,
) -> None:
    """A picture from the top of a page, or from the heading that ``at`` names."""
    width, height = size
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    page.goto(path.as_uri())
    if unfold is not None:
        page.locator("summary", has_text=unfold).first.click()
    box = None if at is None else page.locator("h2", has_text=at).first.bounding_box()
    top = 0.0 if box is None else max(0.0, box["y"] - 20)
    total = page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": top, "width": width, "height": min(height, total - top)}
    page.screenshot(path=OUT / name, full_page=True, clip=clip)
    page.close()
    print(name)


def main() -> int:
    chromium = shutil.which("chromium")
    if chromium is None:
        print("Chromium is missing; `make browser` installs it", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        place = Path(folder)
        demo, trust = place / "demo.html", place / "trust.html"
        demo.write_text(pages(demo_sections(), "Whence did that decision come?"), "utf-8")
        case = showcase()["health"][0]
        model = whence.load("embedded:health")
        whence.explain(model, case.text, trust="default").to_html(trust)
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shoot(browser, demo, "shortcut-light.png", (1100, 1100), at="A planted shortcut")
        shoot(browser, demo, "demo-light.png", (1100, 1200))
        shoot(browser, demo, "demo-dark.png", (1100, 1200), dark=True)
        shoot(browser, demo, "demo-narrow.png", (390, 1300))
        shoot(browser, trust, "trust-light.png", (960, 1530), unfold="Evidence")
        shoot(browser, trust, "trust-dark.png", (960, 1530), unfold="Evidence", dark=True)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
