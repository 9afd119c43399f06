"""Links: the scale an output is read on, computed in float64 without losing small numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from whence.core.errors import OptionError, unknown
from whence.core.targets import LINKS, Link

__all__ = ["UNITS", "check_link", "label_scores"]

UNITS: dict[Link, str] = {
    "logit": "logit",
    "log_probability": "nat",
    "probability": "probability",
    "log_odds": "nat",
    "cosine": "cosine",
    "score": "score",
}


def check_link(link: str, allowed: Sequence[Link], what: str) -> Link:
    """The link by its name, refused where the task does not have it.

    Raises:
        OptionError: unknown name, or a link that has no meaning here.
    """
    if link not in LINKS:
        raise unknown("link", link, LINKS)
    for choice in allowed:
        if choice == link:
            return choice
    raise OptionError(
        f"link {link!r} has no meaning for {what}, which can be read as: {', '.join(allowed)}"
    )


def _log_sum_exp(values: Float[np.ndarray, "rows labels"]) -> Float[np.ndarray, "rows 1"]:
    # scipy.special.logsumexp differs in the last bit, which would change stored scores.
    # A single label has no others: their sum is 0, of which the logarithm is -inf. max() over no
    # column would raise.
    if values.shape[1] == 0:
        return np.full((len(values), 1), -np.inf)
    # Less the largest: exp of a float64 overflows from 710 on, and logits that a temperature scaled
    # can be beyond it.
    top = values.max(axis=1, keepdims=True)
    return top + np.log(np.exp(values - top).sum(axis=1, keepdims=True))


def label_scores(
    logits: Float[np.ndarray, "rows labels"], link: Link, *, independent: bool
) -> Float[np.ndarray, "rows labels"]:
    """Every label's score on a link's scale.

    ``independent`` labels each have a sigmoid of their own; otherwise a softmax is shared. The
    log-odds of a label under softmax are its logit less the log-sum-exp of the others', which
    stays exact where the probability rounds to 1.

    Example:
        >>> label_scores(np.array([[0.0, 0.0]]), "probability", independent=False).tolist()
        [[0.5, 0.5]]
    """
    if link in ("logit", "score") or (independent and link == "log_odds"):
        return logits
    if independent:
        # ln sigmoid(z) = -ln(1 + e^-z). Taken of the sigmoid itself it is -inf from z = -710 on,
        # where e^-z overflows.
        log_probability = -np.logaddexp(0.0, -logits)
    elif link == "log_odds":
        columns = range(logits.shape[1])
        others = [_log_sum_exp(np.delete(logits, column, axis=1)) for column in columns]
        return logits - np.concatenate(others, axis=1)
    else:
        log_probability = logits - _log_sum_exp(logits)
    return np.exp(log_probability) if link == "probability" else log_probability
