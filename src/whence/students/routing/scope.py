"""The scope of a certificate: one teacher, its labels, and the texts a student may answer alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from whence.core.errors import OptionError
from whence.students.data.applicability_domain import ApplicabilityDomain
from whence.students.regions.region import Region, first_region
from whence.students.teacher.replies import Askable

__all__ = ["check_teacher", "check_threshold", "deferral_reason"]


def check_teacher(labels: Sequence[str], teacher: Askable, certified: str | None) -> None:
    """Refuse a teacher for which the certificate does not hold.

    Args:
        labels: names of the student's labels.
        teacher: teacher that would be asked.
        certified: fingerprint of the teacher that the student was certified against.

    Raises:
        OptionError: another fingerprint, or other labels.
    """
    if teacher.fingerprint != certified:
        raise OptionError(
            f"the student was certified against {_named(certified)}; {teacher.ref} is "
            f"{_named(teacher.fingerprint)}. The certificate does not hold for it: give the "
            "teacher that was certified, or distill this one."
        )
    if tuple(labels) != tuple(teacher.labels):
        raise OptionError(
            f"the student decides among {', '.join(labels)}; {teacher.ref} among "
            f"{', '.join(teacher.labels)}. Give a teacher with the same labels in the same order."
        )


def check_threshold(threshold: float | None) -> None:
    """Refuse a threshold that is no certainty; ``None`` means that nothing is certified.

    Raises:
        OptionError: a number that is not from 0 to 1, or NaN.
    """
    # Written with not, so that NaN is refused too: no certainty is below it, and the student would
    # answer everything.
    if threshold is not None and not 0 <= threshold <= 1:
        raise OptionError(
            f"expected a threshold from 0 to 1, or None where nothing is certified, got "
            f"threshold={threshold}"
        )


def deferral_reason(
    text: str,
    chances: Float[np.ndarray, " labels"],
    *,
    threshold: float | None,
    vetoes: Sequence[Region] = (),
    applicability_domain: ApplicabilityDomain | None = None,
) -> str | None:
    """Why a text is left to the teacher; ``None`` where the student may answer alone.

    The reason is the first that holds: nothing is certified, a region of distrust, outside the applicability domain, too little
    certainty.

    Args:
        text: text that is decided.
        chances: probabilities of the student for it.
        threshold: least certainty that is certified.
        vetoes: regions in which the teacher is asked.
        applicability_domain: lengths and words that were certified.

    Example:
        >>> deferral_reason("paid", np.array([0.4, 0.6]), threshold=0.8)
        'certainty 0.600 is below the 0.800 that is certified'
    """
    if threshold is None:
        return "nothing is certified"
    region = first_region(vetoes, text)
    if region is not None:
        return f"in a region of distrust: {region.where}"
    beyond = None if applicability_domain is None else applicability_domain.beyond(text)
    if beyond is not None:
        return beyond
    certainty = float(chances.max())
    if certainty < threshold:
        return f"certainty {certainty:.3f} is below the {threshold:.3f} that is certified"
    return None


def _named(fingerprint: str | None) -> str:
    return "one without a fingerprint" if fingerprint is None else f"{fingerprint[:40]!r}"
