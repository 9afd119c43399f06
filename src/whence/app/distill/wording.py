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
    "two_measurements",
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
    "majority": "always gives the teacher's most frequent answer",
    "permuted": "learnt the teacher's answers after they were shuffled among the texts",
    "gold": "learnt the true labels and never saw the teacher's answers",
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
        ('93.4 %', 'over 99.9 %', '100 %', 'undefined')
    """
    if math.isnan(value):
        return "undefined"
    if value in (0.0, 1.0):
        return f"{100 * value:.0f} %"
    # One decimal would print 100.0 % from here on.
    if value > 0.9995:
        return "over 99.9 %"
    return "under 0.1 %" if value < 0.0005 else f"{100 * value:.1f} %"


def due(value: float) -> str:
    """A share that the user required, with all its digits.

    Example:
        >>> due(0.95), due(0.975)
        ('95 %', '97.5 %')
    """
    # Six digits: .29 * 100 is 28.999999999999996.
    return f"{value * 100:.6g} %"


def bound(value: float, *, down: bool = True) -> str:
    """A bound in percent, rounded away from the estimate so that it still holds.

    Example:
        >>> bound(0.94999), bound(0.95001, down=False)
        ('94.9 %', '95.1 %')
    """
    # A hair against the error of the product: .95 * 1000 must not become 949.
    tenths = math.floor(value * 1000 + 1e-9) if down else math.ceil(value * 1000 - 1e-9)
    return f"{tenths / 10:.0f} %" if tenths % 1000 == 0 else f"{tenths / 10:.1f} %"


def points(value: float) -> str:
    """A difference of shares in points, with a true minus.

    Example:
        >>> points(-0.0131), points(0.2)
        ('\u22121.3', '+20.0')
    """
    if math.isnan(value):
        return "undefined"
    # Rounded before the sign is chosen: -0.0004 is 0.0 and not -0.0.
    tenths = round(value * 100, 1)
    return "0.0" if tenths == 0 else f"{'+' if tenths > 0 else chr(0x2212)}{abs(tenths):.1f}"


def control_name(name: str) -> str:
    """A control's name for a reader."""
    return CONTROLS.get(name, visible(name))


def verdict_sentence(certificate: Certificate) -> str:
    """What the verdict means for somebody who would use the student."""
    least, target = bound(certificate.agreement.lower), due(certificate.target)
    if certificate.verdict == "faithful enough to replace":
        return (
            "This student may answer in the teacher's place on texts like these: it gives the "
            f"teacher's answer on at least {least} of them, and {target} was required."
        )
    if certificate.verdict == "usable with fallback":
        return (
            "This student may answer where it is certain enough, and must ask the teacher elsewhere. "
            f"Alone it gives the teacher's answer on at least {least} of texts like these; to replace "
            f"the teacher, {target} is required."
        )
    if certificate.verdict == "a description of tendencies only":
        return (
            "This student shows which words the teacher tends to decide by. It must not answer in the "
            "teacher's place, nor be given as the reason for a single decision."
        )
    return (
        "Do not use this student: it was not shown to agree with the teacher more often than a "
        "student that never saw the teacher's answers. Decided on the texts of the certificate; on "
        "those of the chart, which are others, it may still come out ahead."
    )


def two_measurements(result: Distilled) -> str:
    """The agreements of the student and of each control, on the chart's texts and the certificate's.

    The verdict compares a student with its controls on the second, and the chart draws the first.
    """
    charted = {rung.name: rung.agreement for rung in result.frontier.rungs if rung.control}
    chosen = next(
        rung.agreement
        for rung in result.frontier.rungs
        if rung.name == result.chosen and not rung.control
    )
    pairs = [("the chosen student", chosen, result.certificate.agreement)]
    pairs += [
        (f"control \u201c{control_name(name)}\u201d", charted[name], lift.control)
        for name, lift in result.certificate.lifts.items()
        if name in charted
    ]
    rows = "; ".join(
        f"{name} {_with_bounds(here)} here, {_with_bounds(there)} there"
        for name, here, there in pairs
    )
    return (
        f"Agreement is measured twice, on texts that are not the same: here on the {chosen.n:,} of "
        f"\u201creport\u201d, there on the {result.certificate.agreement.n:,} of \u201ccertify\u201d, "
        f"which alone decide the verdict. In brackets one-sided {100 * result.certificate.level:g} % "
        f"bounds. {rows[0].upper()}{rows[1:]}."
    )


def _with_bounds(agreement: Proportion) -> str:
    ends = f"{bound(agreement.lower)} to {bound(agreement.upper, down=False)}"
    return f"{share(agreement.value)} ({ends})"


def prices(result: Distilled) -> list[str]:
    """What being readable and being short cost in points of agreement, in sentences."""
    frontier = result.frontier
    pairs = (
        (frontier.transparency, "transparency", "an unreadable student of the same answers"),
        (frontier.brevity, "brevity", "a weight for every feature"),
    )
    return [_price(price, of, dear) for price, of, dear in pairs if price is not None]


def _price(interval: Interval, of: str, dear: str) -> str:
    span = f"{points(interval.lower)} to {points(interval.upper)}, n = {interval.n:,}"
    if interval.lower > 0:
        return f"Price of {of}: {points(interval.value)} points ({span}): {dear} agrees that much more often."
    if interval.upper < 0:
        return (
            f"Price of {of}: none: {dear} agrees less often, by {points(-interval.value)[1:]} points "
            f"({span})."
        )
    return (
        f"Price of {of}: not distinguishable from zero: {dear} agrees more often by "
        f"{points(interval.value)} points ({span})."
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


def flips_together(result: dict[str, Flips]) -> tuple[int, int]:
    """Edits of all families that changed the teacher's decision, and those that were followed."""
    return (
        sum(flips.recall.n for flips in result.values()),
        sum(flips.recall.hits for flips in result.values()),
    )


def answering_sentence(result: Distilled) -> str:
    """From which certainty on the student may answer alone, and how often that is."""
    answering = result.answering
    if result.certificate.verdict == "refused":
        return "Always ask the teacher: the student is refused, however certain it is."
    aim = f"at least {due(answering.target)} (level {due(answering.level)}, n = {answering.n:,})"
    if answering.threshold is None:
        return f"Always ask the teacher: no certainty is high enough to certify agreement of {aim}."
    return (
        f"Where its certainty is {answering.threshold:.3f} or more, the student may answer alone: there "
        f"agreement is certified to be {aim}. These are {share(answering.coverage.value)} of texts; the "
        "teacher is asked about the rest."
    )


def curve_sentence(curve: LearningCurve) -> str:
    """What more questions would bring."""
    flat = " Twice as many questions would add less than 0.02." if curve.flat else ""
    return f"Raising kappa: {curve.sentence()}.{flat}"


def region_lines(region: Region) -> tuple[str, str]:
    """A region's conditions, and how often the student agrees there and elsewhere."""
    rest = f"elsewhere {share(region.elsewhere.value)}"
    agreement = region.agreement
    if agreement is None:
        sentence = (
            f"too few texts to measure it on the holdout; on the texts it was found on the two agree "
            f"in {share(region.on_select.value)} of {region.on_select.n:,}"
        )
    else:
        sentence = (
            f"agrees in {share(agreement.value)}, at least {bound(agreement.lower)} and at most "
            f"{bound(agreement.upper, down=False)} (n = {agreement.n:,}); {rest}"
        )
    where = visible(region.where)
    return where[0].upper() + where[1:], sentence


def region_mark(region: Region) -> str:
    """What the region is good for."""
    status = "confirmed on a holdout" if region.confirmed else "not confirmed on a holdout"
    return f"{status}; the teacher is asked here" if region.veto else status
