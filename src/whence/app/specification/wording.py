"""What a specification curve says in words, alike in every view."""

from __future__ import annotations

from collections.abc import Sequence

from whence.app.shared.formatting import LINKS, cost_parts, number, signed, visible
from whence.core.specification_curve import Specification, SpecificationCurve

__all__ = [
    "MEANING",
    "SETTING_NAMES",
    "by_share",
    "facts",
    "failed_lines",
    "headline",
    "value_name",
]

SETTING_NAMES = {
    "method": "method",
    "absence": "what absence is",
    "scale": "scale",
    "unit": "unit",
    "seed": "seed",
}


def headline(curve: SpecificationCurve) -> str:
    """The three findings in one line."""
    ran = len(curve.ran)
    if not ran:
        return "No specification gave an explanation, so nothing is known of its robustness."
    top, sign, verdict = curve.kept_top, curve.kept_sign, curve.kept_verdict
    return (
        f"Of {ran} specifications {top.kept} ({_percent(top.share)}) keep “{visible(curve.reason.text)}” "
        f"as the highest reason, {sign.kept} ({_percent(sign.share)}) keep its sign, and {verdict.kept} "
        f"({_percent(verdict.share)}) keep the verdict “{curve.verdict}”."
    )


def _percent(share: float) -> str:
    # Never 100 % of what is not all, nor 0 % of what is not none.
    return (
        f"{100 * share:.0f} %" if share in (0.0, 1.0) else f"{min(max(100 * share, 1), 99):.0f} %"
    )


MEANING = (
    "A specification is one choice of each setting below; all combinations that the model allows "
    "were tried. They are a complete list and no random draw, so the shares have no error.",
    "Settings ask different questions: leave-one-out scores a word by itself beside all others, "
    "Shapley values share what words do together. Where the reason changes with a setting, say "
    "with the reason which setting was used.",
)
"""What the numbers mean, and what they do not."""


def by_share(curve: SpecificationCurve) -> list[Specification]:
    """Specifications that ran, from the lowest share of the reason to the highest."""
    return sorted(curve.ran, key=lambda item: item.share or 0.0)


def value_name(setting: str, value: str) -> str:
    """A setting's value as a reader knows it."""
    return LINKS.get(value, value) if setting == "scale" else value


def failed_lines(curve: SpecificationCurve) -> list[str]:
    """Specifications without an explanation, one line a reason; and the values left out."""
    reasons = [item.failed for item in curve.specifications if item.failed is not None]
    lines = [
        f"{reasons.count(reason)} not counted: {visible(reason)}"
        for reason in dict.fromkeys(reasons)
    ]
    return lines + [
        f"{visible(value)} left out: {visible(why)}" for value, why in curve.left_out.items()
    ]


def facts(curve: SpecificationCurve) -> Sequence[tuple[str, str]]:
    """What was judged and at what cost, as pairs."""
    settings = ", ".join(
        f"{SETTING_NAMES.get(name, name)} {value_name(name, value)}"
        for name, value in curve.choices.items()
    )
    return (
        (
            "Reason",
            f"“{visible(curve.reason.text)}”, {signed(curve.score)} {visible(curve.output.unit)} "
            f"for “{visible(curve.output.name)}”, {number(100 * curve.share)} % of all scores",
        ),
        ("Explanation", f"{settings}; SHA-256 {curve.explanation[:16]}"),
        ("Model", visible(f"{curve.model.ref} ({curve.model.architecture})")),
        ("Cost", ", ".join((*cost_parts(curve.cost), f"{curve.cost.seconds:.1f} s"))),
        ("Made", f"{curve.created} by whence {curve.whence}"),
    )
