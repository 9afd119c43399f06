"""A monitor of agreement on audited traffic, whose bounds hold however long it is watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from whence.core.record import Migration, Record
from whence.core.statistics.proportions import check_shares

__all__ = ["Monitor", "MonitorState", "log_wealth"]

EVERY = 50
"""Audits after which a further test begins. Chosen by hand: a late fall is then seen some hundred audits
after it (tests/students/routing/test_monitor.py), and the state stays small."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MonitorState(Record):
    """Everything a monitor has seen, so that a service can be stopped and resumed.

    Attributes:
        target, level: settings of the monitor.
        n: count of audits.
        agreed: count of audits in which student and teacher agreed.
        alarmed_at: count of audits at the alarm; ``None`` where there was none.
        starts: audits and agreements before each test, in order.
    """

    target: float
    level: float
    n: int
    agreed: int
    alarmed_at: int | None
    starts: tuple[tuple[int, int], ...]
    kind: Literal["monitor"] = "monitor"
    schema_version: Literal[2] = 2
    migrations: ClassVar[Mapping[int, Migration]] = {1: lambda tree: {**tree, "schema_version": 2}}
    unmarked: ClassVar[tuple[str, ...]] = ("kind",)

    def __post_init__(self) -> None:
        check_shares(self.target, self.level)
        counts = (*self.starts, (self.n, self.agreed))
        last = self.n if self.alarmed_at is None else self.alarmed_at
        began = all(n == EVERY * place for place, (n, _) in enumerate(self.starts))
        # Between two beginnings no more can have agreed than were audited: a damaged state could
        # hide a fall for good.
        steps = [(n - m, b - a) for (m, a), (n, b) in pairwise(counts)]
        if (
            self.n < 0
            or len(self.starts) != self.n // EVERY + 1
            or not began
            or self.starts[0] != (0, 0)
            or not all(0 <= agreed <= audits for audits, agreed in steps)
            or not 0 <= last <= self.n
        ):
            raise ValueError(
                f"{self.n} audits with {self.agreed} agreements and tests begun at "
                f"{self.starts[:3]} cannot come from audits"
            )


class Monitor:
    """Anytime-valid bounds on how often a student agrees, and an alarm when it is too seldom.

    For an agreement ``t``, the wealth of a gambler against "at each audit so far, the chance to
    agree was ``t`` or more" is a test martingale. After ``S`` agreements and ``F`` disagreements,

        ``K(t) = integral of u^S ((1 - u t) / (1 - t))^F  c u^(c-1) du  over u in [0, 1]``
        ``     = c B(S + c, F + 1) I_t(S + c, F + 1) / (t^(S + c) (1 - t)^F)``

    a mixture of the likelihood ratios of ``u t`` against ``t``: exact, no grid. With
    ``c = 1 / (1 - target)`` the alternatives lie where twice as many disagree as may. ``K`` rises
    with ``t``, so those with ``K(t) < 1 / (1 - level)`` end at an upper bound; by the inequality
    of Ville (1939) the true agreement is ever above it with a probability of at most
    ``1 - level``, at all times together: look as often as you like, and stop when you like. The
    lower bound is the same of disagreements, with ``c = 1``.

    One test that has seen years of agreement is slow to see a fall. So a test begins every 50
    audits, the j-th with a share ``1 / (j (j + 1))`` of the stake; the upper bound is of their
    sum, which costs the first of them a factor of two and makes a late fall seen in some hundred
    audits rather than in as many as came before it.

    The bounds take the agreement for constant, and audits for drawn independently of the texts;
    the alarm does not need the first: it is false with a probability of at most ``1 - level``
    as long as agreement never falls below the target. The state is a few numbers and two more
    for every 50 audits. After Waudby-Smith and Ramdas (2020), arXiv:2010.09686; restarts after
    Shin, Ramdas and Rinaldo (2022), arXiv:2203.03532.

    Args:
        target: agreement below which the alarm is raised.
        level: level of each bound, at all times together.

    Example:
        >>> monitor = Monitor(target=0.9)
        >>> for same in [True] * 20 + [True, False] * 15:
        ...     monitor.update(same)
        >>> monitor.alarm, monitor.n, monitor.agreed
        (True, 50, 35)
        >>> [round(bound, 2) for bound in monitor.bounds]
        [0.5, 0.87]
    """

    def __init__(self, target: float, level: float = 0.95) -> None:
        check_shares(target, level)
        self.target = target
        self.level = level
        self.n = 0
        self.agreed = 0
        self.alarmed_at: int | None = None
        # Audits and agreements that had been when each test began.
        self._starts: list[tuple[int, int]] = [(0, 0)]

    @property
    def alarm(self) -> bool:
        """Whether the upper bound has ever been below the target; it stays so."""
        return self.alarmed_at is not None

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper bound on the agreement, after the audits so far."""
        # log(1 / (1 - level)): wealth is compared in logarithms, since thousands of agreements
        # take it out of the range of doubles.
        limit = -np.log1p(-self.level)
        agreed, failed = np.array([self.agreed]), np.array([self.n - self.agreed])
        lower = 1.0 - _crossing(lambda t: float(log_wealth(failed, agreed, t, 1.0)[0]), limit)
        return lower, _crossing(self._against, limit)

    def update(self, same: bool) -> None:
        """Take in one audit: whether the student said what the teacher says.

        Cost: some microseconds, and where they disagree some more for each 50 audits before.
        """
        self.n += 1
        self.agreed += bool(same)
        # An agreement lowers every wealth, so that only a disagreement can raise the alarm.
        if not same and not self.alarm and self._against(self.target) >= -np.log1p(-self.level):
            self.alarmed_at = self.n
        if self.n % EVERY == 0:
            self._starts.append((self.n, self.agreed))

    def _against(self, t: float) -> float:
        """Logarithm of the wealth against an agreement of ``t`` or more, over all tests."""
        starts = np.array(self._starts)
        agreed = self.agreed - starts[:, 1]
        failed = self.n - starts[:, 0] - agreed
        each = log_wealth(agreed, failed, t, 1.0 / (1.0 - self.target))
        order = np.arange(1, len(starts) + 1)
        # A test that has not begun keeps its stake: together 1 / (tests + 1).
        # The sum of 1 / (j (j + 1)) over m tests is 1 - 1 / (m + 1), hence the rest.
        stakes = np.append(each - np.log(order * (order + 1.0)), -np.log(len(starts) + 1.0))
        return float(np.logaddexp.reduce(stakes))

    @property
    def state(self) -> MonitorState:
        """Everything it has seen, to be stored."""
        return MonitorState(
            target=self.target, level=self.level, n=self.n, agreed=self.agreed,
            alarmed_at=self.alarmed_at, starts=tuple(self._starts),
        )  # fmt: skip

    @classmethod
    def of(cls, state: MonitorState) -> Monitor:
        """A monitor that goes on from a stored state."""
        monitor = cls(state.target, state.level)
        monitor.n, monitor.agreed = state.n, state.agreed
        monitor.alarmed_at = state.alarmed_at
        monitor._starts = list(state.starts)
        return monitor

    def __str__(self) -> str:
        lower, upper = self.bounds
        alarm = "" if self.alarmed_at is None else f"; alarm at audit {self.alarmed_at}"
        return f"agreed {self.agreed} of {self.n} audits, [{lower:.3f}, {upper:.3f}]{alarm}"


def log_wealth(
    agreed: Int[np.ndarray, " tests"], failed: Int[np.ndarray, " tests"], t: float, c: float
) -> Float[np.ndarray, " tests"]:
    """The logarithm of ``K(t)``, the wealth after some audits against an agreement of ``t``.

    See :class:`Monitor`.

    Example:
        >>> log_wealth(np.array([0, 9]), np.array([0, 3]), 0.9, 10.0).round(2).tolist()
        [0.0, 0.74]
    """
    s, f = agreed + c, failed + 1.0
    with np.errstate(divide="ignore"):
        # Where betainc underflows to 0 the wealth counts as 0: too little, so that a bound is
        # wider and an alarm later than need be, and never the reverse.
        below = np.log(special.betainc(s, f, t))
    return np.log(c) + special.betaln(s, f) + below - s * np.log(t) - failed * np.log1p(-t)


def _crossing(wealth: Callable[[float], float], limit: float) -> float:
    """The least ``t`` at which a rising wealth reaches the limit; 1 where it never does."""
    # Halved, since brentq interpolates, for which a wealth of -inf is no number. The upper end is
    # returned, which errs to the side of the wider bound.
    low, high = 0.0, 1.0
    # Halved 60 times, an interval of length 1 is narrower than the spacing of doubles near 1.
    for _ in range(60):
        middle = (low + high) / 2
        # Rounding can give an end itself, where the wealth takes the logarithm of 0.
        if middle in (0.0, 1.0):
            break
        if wealth(middle) < limit:
            low = middle
        else:
            high = middle
    return high
