"""How soon does a large attention page appear, and how soon does it react to the pointer?

1,024 heads over 4,096 tokens, one head's whole matrix of 4,096 x 4,096 weights. Such a
record takes many minutes on two cores, so the numbers come from ``web/fixtures/make.mjs``; the module
that draws them is the one that ships. Chromium runs without a window and without a network.

A hover is timed from the browser's time stamp of the pointer event, to the change of the text that
names the element under the pointer, and to the end of the frame that shows it.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.attention import load_line
from benchmarks.common import median, store, table

WEB = Path(__file__).parents[1] / "web"
PAGE = WEB / ".fixtures" / "big.html"
LOADS, HOVERS = 5, 100
FIRST_PAINT, TOOLTIP = 2000, 50
"""Goals, in milliseconds."""

WATCH = """
window.bench = {drawn: {}, hovers: [], at: null, text: ''};
const drawn = (name, test) => {
  const look = () => {
    const canvas = document.querySelector(`canvas[data-${name}]`);
    if (canvas && canvas.width && test(canvas)) {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => { bench.drawn[name] = performance.now(); };
      channel.port2.postMessage(0);
    } else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
};
// Something is painted in the last corner of the picture: rows are drawn from above.
const inked = (canvas) => {
  const [w, h] = [canvas.width, canvas.height];
  const data = canvas.getContext('2d').getImageData(0, Math.floor(h * 0.96), w, 4).data;
  let found = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i]) found++;
  return found > w / 4;
};
window.watchDrawn = (name) => drawn(name, inked);
let watching = null;
window.watchHover = (selector) => {
  watching?.abort();
  watching = new AbortController();
  const text = () => document.querySelector(selector)?.textContent;
  let look = null;
  bench.hovers = [];
  addEventListener('pointermove', (event) => {
    // An answer to an earlier move is not one to this.
    look?.disconnect();
    const before = text();
    const at = event.timeStamp;
    const mine = look = new MutationObserver(() => {
      if (text() === before) return;
      mine.disconnect();
      const changed = performance.now();
      requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = () =>
          bench.hovers.push([changed - at, performance.now() - at]);
        channel.port2.postMessage(0);
      });
    });
    look.observe(document.body, {subtree: true, childList: true, characterData: true});
  }, {capture: true, signal: watching.signal});
};
watchDrawn('atlas');
"""


def _made() -> None:
    node = shutil.which("node")
    if node is None:
        sys.exit("node is not installed; `make web` installs it")
    subprocess.run([node, "fixtures/make.mjs", "big"], cwd=WEB, check=True, timeout=280)


def _loaded(browser: Any) -> tuple[Any, list[str]]:
    # Playwright waits by evaluating text, which the page itself forbids.
    tab = browser.new_page(viewport={"width": 1280, "height": 900}, bypass_csp=True)
    tab.set_default_timeout(60_000)
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.add_init_script(WATCH)
    tab.goto(PAGE.as_uri())
    tab.wait_for_function("bench.drawn.atlas")
    return tab, [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]


def _hovers(tab: Any, canvas: str, selector: str, area: float) -> list[list[float]]:
    """Latencies of the pointer at random places of a picture, each waited for."""
    from playwright.sync_api import TimeoutError as Unanswered

    place = tab.locator(canvas)
    place.scroll_into_view_if_needed()
    tab.evaluate("selector => watchHover(selector)", selector)
    draw = random.Random(0)
    for _ in range(HOVERS):
        done = tab.evaluate("bench.hovers.length")
        # Texts above a picture may move it.
        box = place.bounding_box()
        top, end = max(0, box["y"]), min(890, box["y"] + box["height"])
        across, down = (area + (0.95 - area) * draw.random() for _ in range(2))
        tab.mouse.move(box["x"] + across * box["width"], top + down * (end - top))
        try:
            tab.wait_for_function("n => bench.hovers.length > n", arg=done, timeout=2000)
        except Unanswered:  # the same cell as before, or no answer: the table counts them
            pass
        tab.wait_for_timeout(100)
    return tab.evaluate("bench.hovers")


def _high(values: list[float], share: float = 0.95) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _measured() -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed; `make browser` installs it")
    paint = (
        "performance.getEntriesByType('paint')"
        ".find(entry => entry.name === 'first-contentful-paint').startTime"
    )
    loads, matrices = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for turn in range(LOADS):
            tab, asked = _loaded(browser)
            if asked:
                sys.exit(f"the page asked for {asked}")
            loads.append([tab.evaluate(paint), tab.evaluate("bench.drawn.atlas")])
            last = turn == LOADS - 1
            if last:
                atlas = _hovers(tab, "canvas[data-atlas]", "[data-readout]", 0.2)
            since = tab.evaluate(
                "() => { const now = performance.now(); watchDrawn('matrix');"
                " document.querySelector('#wha-tab-head').click(); return now; }"
            )
            tab.wait_for_function("bench.drawn.matrix")
            matrices.append(tab.evaluate("bench.drawn.matrix") - since)
            if last:
                place = "canvas[data-matrix]"
                matrix = _hovers(tab, place, ".matrix .says", 0.2)
                beside = _hovers(tab, place, "[data-readout]", 0.2)
            nodes = tab.evaluate("document.querySelectorAll('*').length")
            tab.close()
        named = browser.version
        browser.close()
    return {
        "chromium": named,
        "bytes": PAGE.stat().st_size,
        "nodes": nodes,
        "loads": loads,
        "matrices": matrices,
        "hovers": {"atlas": atlas, "matrix": matrix, "texts beside the matrix": beside},
    }


def main() -> None:
    before = os.getloadavg()
    _made()
    data = _measured()
    data["load"] = [before, os.getloadavg()]
    series = [
        ("first contentful paint", [one[0] for one in data["loads"]], FIRST_PAINT),
        ("the atlas is drawn", [one[1] for one in data["loads"]], FIRST_PAINT),
        ("from the atlas to the matrix, drawn", data["matrices"], None),
    ]
    for name, result in data["hovers"].items():
        series.append((f"hover, {name}: text changed", [one[0] for one in result], TOOLTIP))
        series.append((f"hover, {name}: frame done", [one[1] for one in result], TOOLTIP))
    rows = [
        [
            name,
            len(values),
            f"{median(values):,.0f}",
            f"{_high(values):,.0f}",
            "" if goal is None else f"{goal:,}",
        ]
        for name, values, goal in series
    ]
    text = (
        f"Chromium {data['chromium']}; 32 layers x 32 heads over 4,096 tokens and one whole matrix, "
        f"generated numbers (`web/fixtures/make.mjs big`), {data['bytes'] / 1e6:.0f} MB, "
        f"{data['nodes']:,} elements. Milliseconds. A move within one cell changes nothing and is not "
        f"among the times, of {HOVERS} moves each. The texts beside the matrix wait 60 ms by design, until the pointer rests; the "
        "number above it does not.\n\n"
        + table(rows, ["", "times", "median", "95th percentile", "goal"])
        + f"\n\n{load_line(before)}"
    )
    store("attention_page", "A large attention page", text, data)


if __name__ == "__main__":
    main()
