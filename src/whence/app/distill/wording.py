"""What every view says of a distilled student in the same words: verdict, prices, certificate."""

from __future__ import annotations

import math

from whence.app.shared.formatting import visible
from whence.app.trust.wording import Mark
from whence.core.statistics.proportions import Interval, Proportion
from whence.students.certificate.certificate import Certificate, Verdict
from whence.students.certificate.fidelity import Flips
from whence.students.certificate.learning_curve import LearningCurve
from whence.students.regions.region import Region
from whence.students.result import Distilled

__all__ = [
    "CONTROLS",
    "FAMILIES",
    "MARKS",
    "answering_sentence",
    "bound",
    "control_name",
    "curve_sentence",
    "decimal",
    "due",
    "flips_together",
    "points",
    "prices",
    "region_lines",
    "region_mark",
    "share",
    "share_of",
    "verdict_sentence",
]

MARKS: dict[Verdict, Mark] = {
    "faithful enough to replace": Mark(
        state="usable", symbol="\u2713", word="Faithful enough to replace"
    ),
    "usable with fallback": Mark(state="care", symbol="!", word="Usable with fallback"),
    "a description of tendencies only": Mark(
        state="silent", symbol="\u2013", word="A description of tendencies only"
    ),
    "refused": Mark(state="never", symbol="\u2715", word="Refused"),
}

CONTROLS = {
    "majority": "one answer to all",
    "permuted": "shuffled teacher",
    "gold": "true labels only",
    "full linear": "every feature",
    "opaque": "unreadable",
    "compact": "compact network",
}
"""Controls by name, in a few words."""

CONTROL_MEANINGS = {
    "majority": "always answers what the teacher answers most",
    "permuted": "learnt the teacher's answers after they were shuffled among the texts",
    "gold": "learnt the true labels and never saw the teacher",
    "full linear": "has a weight for every feature: too much to read",
    "opaque": "learnt the same answers without having to be readable",
    "compact": "is a small network that learnt the same answers",
}

FAMILIES = {
    "drop": "words left out at random",
    "first half": "first half alone",
    "second half": "second half alone",
    "substitute": "one word replaced",
    "deny": "\u201cit is not true that\u201d put before",
}
"""Edit families in words."""


def share(value: float) -> str:
    """A share in percent with one decimal, never rounded to all or nothing.

    Example:
        >>> share(0.934), share(0.9999), share(1.0), share(float("nan"))
        ('93.4%', 'over 99.9%', '100%', 'undefined')
    """
    if math.isnan(value):
        return "undefined"
    if value in (0.0, 1.0):
        return f"{value:.0%}"
    if value > 0.9995:
        return "over 99.9%"
    return "under 0.1%" if value < 0.0005 else f"{value:.1%}"


def due(value: float) -> str:
    """A share that was asked for, as it was asked.

    Example:
        >>> due(0.95), due(0.975)
        ('95%', '97.5%')
    """
    return f"{value * 100:.6g}%"


def bound(value: float, *, down: bool = True) -> str:
    """A bound in percent, rounded away from the estimate so that it still holds.

    Example:
        >>> bound(0.94999), bound(0.95001, down=False)
        ('94.9%', '95.1%')
    """
    # A hair against the error of the product: .95 * 1000 must not become 949.
    tenths = math.floor(value * 1000 + 1e-9) if down else math.ceil(value * 1000 - 1e-9)
    return f"{tenths / 10:.0f}%" if tenths % 1000 == 0 else f"{tenths / 10:.1f}%"


def share_of(found: Proportion) -> str:
    """A share with its bounds and n, on one line.

    Example:
        >>> from whence.core.statistics.proportions import proportion
        >>> share_of(proportion(59, 60))
        '98.3%, at least 92.3% (n = 60)'
    """
    if found.n == 0:
        return "not measured (n = 0)"
    return f"{share(found.value)}, at least {bound(found.lower)} (n = {found.n:,})"


def points(value: float) -> str:
    """A difference of shares in points, with a true minus.

    Example:
        >>> points(-0.0131), points(0.2)
        ('\u22121.3', '+20.0')
    """
    if math.isnan(value):
        return "undefined"
    tenths = round(value * 100, 1)
    return "0.0" if tenths == 0 else f"{'+' if tenths > 0 else chr(0x2212)}{abs(tenths):.1f}"


def control_name(name: str) -> str:
    """A control's name for a reader."""
    return CONTROLS.get(name, visible(name))


def verdict_sentence(found: Certificate) -> str:
    """What the verdict means for somebody who would use the student."""
    least, target = bound(found.agreement.lower), due(found.target)
    if found.verdict == "faithful enough to replace":
        return (
            "This student may answer in the teacher's place on texts like these: it decides alike "
            f"in at least {least} of them, and {target} is due."
        )
    if found.verdict == "usable with fallback":
        return (
            "This student may answer where it is certain enough, and ask the teacher elsewhere: "
            f"alone it decides alike in at least {least} of texts like these; replacing the "
            f"teacher takes {target}."
        )
    if found.verdict == "a description of tendencies only":
        return (
            "This student tells what the teacher tends to go by. It must not answer in the "
            "teacher's place, nor be given as the reason for a single decision."
        )
    return (
        "Do not use this student: one that never listened to the teacher may agree with it just as "
        "well, so nothing of the teacher was shown to be in it."
    )


def prices(found: Distilled) -> list[str]:
    """What being readable and being short cost in points of agreement, in sentences."""
    own = found.frontier
    pairs = (
        (own.transparency, "transparency", "an unreadable student of the same answers"),
        (own.brevity, "brevity", "a weight for every feature"),
    )
    return [_price(price, of, dear) for price, of, dear in pairs if price is not None]


def _price(found: Interval, of: str, dear: str) -> str:
    span = f"{points(found.lower)} to {points(found.upper)}, n = {found.n:,}"
    if found.lower > 0:
        return f"Price of {of}: {points(found.value)} points ({span}): {dear} agrees that much more often."
    if found.upper < 0:
        return (
            f"Price of {of}: none: {dear} agrees less often, by {points(-found.value)[1:]} points "
            f"({span})."
        )
    return (
        f"Price of {of}: not told from zero: {dear} is {points(found.value)} points away ({span})."
    )


def decimal(value: float) -> str:
    """A number with three decimals and a true minus.

    Example:
        >>> decimal(-0.0149), decimal(0.5)
        ('\u22120.015', '0.500')
    """
    if math.isnan(value):
        return "undefined"
    rounded = round(value, 3)
    return f"{chr(0x2212) if rounded < 0 else ''}{abs(rounded):.3f}"


def flips_together(found: dict[str, Flips]) -> tuple[int, int]:
    """Edits of all families that changed the teacher's decision, and those that were followed."""
    return (
        sum(flips.recall.n for flips in found.values()),
        sum(flips.recall.hits for flips in found.values()),
    )


def answering_sentence(found: Distilled) -> str:
    """From which certainty on the student may answer alone, and how often that is."""
    own = found.answering
    if found.certificate.verdict == "refused":
        return "Always ask the teacher: the student is refused, whatever its certainty."
    aim = f"at least {due(own.target)} (level {due(own.level)}, n = {own.n:,})"
    if own.threshold is None:
        return f"Always ask the teacher: no certainty is certified to agree in {aim}."
    return (
        f"From a certainty of {own.threshold:.3f} on the student may answer alone: certified to "
        f"agree in {aim}. That is {share(own.coverage.value)} of texts; the teacher is asked the "
        "rest."
    )


def curve_sentence(found: LearningCurve) -> str:
    """What more questions would bring."""
    flat = " Twice as many would bring less than .02." if found.flat else ""
    return f"Raising kappa: {found.sentence()}.{flat}"


def region_lines(found: Region) -> tuple[str, str]:
    """A region's conditions, and how often the student agrees there and elsewhere."""
    rest = f"elsewhere {share(found.elsewhere.value)}"
    own = found.agreement
    if own is None:
        said = (
            f"too few texts to say on the texts kept for it; where it was found "
            f"{share(found.on_select.value)} of {found.on_select.n:,}"
        )
    else:
        said = (
            f"agrees in {share(own.value)}, at least {bound(own.lower)} and at most "
            f"{bound(own.upper, down=False)} (n = {own.n:,}); {rest}"
        )
    where = visible(found.where)
    return where[0].upper() + where[1:], said


def region_mark(found: Region) -> str:
    """What the region is good for."""
    sure = "confirmed on texts not searched" if found.confirmed else "not confirmed"
    return f"{sure}; the teacher is asked here" if found.veto else sure
