"""The frontier drawn with characters: words and numbers to read against agreement."""

from __future__ import annotations

import math
from string import ascii_lowercase

from whence.app.distill.frontier_chart import log_ticks, share_ticks, short_count, spread
from whence.app.distill.wording import control_name
from whence.students.certificate.frontier import Frontier

__all__ = ["PLOT_HEIGHT", "frontier_plot", "keys"]

PLOT_HEIGHT = 16
"""Lines of the plot's inside. Chosen by hand."""

LEAST_WIDTH = 24
"""Columns below which the inside says nothing. Chosen by hand."""


def keys(frontier: Frontier) -> dict[str, str]:
    """A letter for each student, by reading cost.

    Students beyond the alphabet share a dot.
    """
    names = [rung.name for rung in frontier.rungs if not rung.control]
    return {n: ascii_lowercase[i] if i < 26 else "\u00b7" for i, n in enumerate(names)}


def frontier_plot(frontier: Frontier, chosen: str, width: int, height: int) -> str:
    """A plot of so many columns: students as letters, the chosen one in capitals.

    Vertical strokes are bounds, dotted lines controls. Of what falls on one place, letters cover
    strokes and strokes cover lines.

    Args:
        frontier: frontier that is drawn.
        chosen: name of the student that is marked.
        width: columns altogether.
        height: lines of the inside.
    """
    students = [rung for rung in frontier.rungs if not rung.control]
    controls = [rung for rung in frontier.rungs if rung.control]
    names = [
        f"{control_name(r.name)} {math.floor(100 * r.agreement.value + 0.5)} %" for r in controls
    ]
    right = max((len(name) for name in names), default=0) + 1
    inner = width - 6 - right
    if inner < LEAST_WIDTH:
        names, inner = ["" for _ in names], max(width - 6, LEAST_WIDTH)
    # The axis begins at a multiple of 5 %, so that the lowest tick is on it.
    ends = [r.agreement.lower for r in students] + [r.agreement.value for r in controls]
    floor = math.floor(min(ends) * 20) / 20
    costs = [float(max(rung.reading, 1)) for rung in students]
    # Room at both ends of the logarithmic axis, so that no letter stands on the frame.
    low, high = min(costs) / 1.4, max(costs) * 1.4

    def line(value: float) -> int:
        # 1e-9 where every student and control agrees always: then all stand on the top line.
        return round((height - 1) * (1 - (value - floor) / max(1 - floor, 1e-9)))

    def column(value: float) -> int:
        return round((inner - 1) * math.log(value / low) / math.log(high / low))

    sheet = [[" "] * inner for _ in range(height)]
    for rung in controls:
        row = sheet[line(rung.agreement.value)]
        row[:] = ["\u2508"] * inner
    for rung in students:
        at = column(float(max(rung.reading, 1)))
        for place in range(line(rung.agreement.upper), line(rung.agreement.lower) + 1):
            sheet[place][at] = "\u2502"
    letters = keys(frontier)
    for rung in students:
        key = letters[rung.name]
        mark = key.upper() if rung.name == chosen else key
        at, place = column(float(max(rung.reading, 1))), line(rung.agreement.value)
        # Two students on one place stand side by side.
        while at + 1 < inner and sheet[place][at].isalpha():
            at += 1
        sheet[place][at] = mark
    texts = [""] * height
    heights = [float(line(rung.agreement.value)) for rung in controls]
    for name, place in zip(names, spread(heights, 1.0, 0.0, height - 1.0), strict=True):
        texts[round(place)] = f"{texts[round(place)]}, {name}".removeprefix(", ")
    shares = {line(tick): tick for tick in share_ticks(floor, 1.0)}
    lines = [
        f"{100 * shares[i]:>3.0f} %{chr(0x2524) if i in shares else chr(0x2502)}{''.join(row)} {text}"
        if i in shares
        else f"     \u2502{''.join(row)} {text}"
        for i, (row, text) in enumerate(zip(sheet, texts, strict=True))
    ]
    axis, below = ["\u2500"] * inner, [" "] * inner
    for tick in log_ticks(low, high, most=max(inner // 9, 2)):
        at, text = column(tick), short_count(tick)
        axis[at] = "\u252c"
        start = min(max(at - len(text) // 2, 0), inner - len(text))
        below[start : start + len(text)] = text
    lines.append(f"     \u2514{''.join(axis)}")
    lines.append(f"      {''.join(below)}")
    lines.append(f"      {'words and numbers to read (capital letter: chosen)':^{inner}}")
    return "\n".join(line_.rstrip() for line_ in lines)
