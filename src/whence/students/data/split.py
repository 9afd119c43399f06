"""The split of the texts before any question, and how far the teacher agrees with itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from whence.core.errors import InputError, OptionError
from whence.core.statistics.proportions import Proportion, proportion
from whence.students.data.near_duplicates import SIMILAR, near_duplicates
from whence.students.data.run import Run

__all__ = ["FEWEST", "LEAST_TEXTS", "PARTS", "SHARES", "Part", "Split", "noise_ceiling", "split"]

Part = Literal["fit", "select", "certify", "report"]
PARTS: tuple[Part, ...] = ("fit", "select", "certify", "report")
"""``fit`` trains, ``select`` chooses among students, ``certify`` is opened once for the verdict,
``report`` is for everything shown beside it."""

SHARES = (0.6, 0.1, 0.2, 0.1)
"""Shares of the parts. Chosen by hand: a certificate of 59 texts without a disagreement is the
least that certifies .95, so ``certify`` gets twice the share of the parts that only choose or show."""

FEWEST = 30
"""Groups a part must have. Chosen by hand: of 30 texts without a disagreement the exact lower bound
at level .95 is .90, and below that a bound says little."""

LEAST_TEXTS = 300
"""Distinct texts that these shares take to give each part that many."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which rows of the texts are in which part, and their groups of near-duplicates.

    ``threshold`` is the similarity from which two texts are near-duplicates.
    """

    fit: Int[np.ndarray, " fit"]
    select: Int[np.ndarray, " select"]
    certify: Int[np.ndarray, " certify"]
    report: Int[np.ndarray, " report"]
    groups: Int[np.ndarray, " texts"]
    threshold: float

    def rows(self, part: Part) -> Int[np.ndarray, " rows"]:
        """The rows of a part, ascending."""
        return {"fit": self.fit, "select": self.select, "certify": self.certify}.get(
            part, self.report
        )

    def digest(self, texts: Sequence[str], part: Part) -> str:
        """SHA-256 over the texts of a part, so that a certificate names what it rests on."""
        digest = hashlib.sha256()
        rows: list[int] = self.rows(part).tolist()
        for row in rows:
            # Each text is hashed by itself: of texts in a row, "ab" and "c" would give the digest
            # of "a" and "bc".
            digest.update(hashlib.sha256(texts[row].encode()).digest())
        return digest.hexdigest()


def split(
    texts: Sequence[str],
    *,
    shares: tuple[float, float, float, float] = SHARES,
    threshold: float = SIMILAR,
    seed: int = 0,
) -> Split:
    """Texts split at random into fit, select, certify and report, near-duplicates together.

    Groups are shuffled and dealt out by the shares, whatever their size. Of texts that are exactly
    alike or nearly so, all parts but ``fit`` keep the first of each group: repeats would make the
    bounds look narrower than they are. ``fit`` keeps them all.

    Raises:
        OptionError: shares out of their range.
        InputError: too few distinct texts for the parts.

    Example:
        >>> texts = [f"letter {i} of {i * i} words came {i + 1000} days ago" for i in range(400)]
        >>> parts = split(texts)
        >>> len(parts.fit), len(parts.certify)
        (240, 80)
    """
    if min(shares) <= 0 or abs(sum(shares) - 1.0) > 1e-9:
        raise OptionError(f"expected four positive shares that add up to 1, got {shares}")
    groups = near_duplicates(texts, threshold=threshold, seed=seed)
    count = int(groups.max()) + 1 if len(groups) else 0
    needed = int(np.ceil(FEWEST / min(shares)))
    if count < needed:
        raise InputError(
            f"expected {needed} groups of near-duplicates or more, so that the smallest part has "
            f"{FEWEST}, got {len(texts)} texts in {count} groups; give more texts that differ, or, "
            f"where nearly alike texts are cases of their own, near_duplicates above {threshold:g}"
        )
    order = np.random.default_rng(seed).permutation(count)
    part_of = np.empty(count, dtype=np.int64)
    # Rounded after the sum and not before: so the parts hold every group, once.
    ends = np.rint(np.cumsum((0.0, *shares)) * count).astype(np.int64)
    for part in range(4):
        part_of[order[ends[part] : ends[part + 1]]] = part
    # np.unique gives the first row of each group.
    first = np.zeros(len(texts), dtype=np.bool_)
    first[np.unique(groups, return_index=True)[1]] = True
    of_text = part_of[groups]
    fit, select, certify, report = (
        np.flatnonzero((of_text == part) & (first | (part == 0))) for part in range(4)
    )
    return Split(fit, select, certify, report, groups, threshold)


def noise_ceiling(run: Run, texts: Sequence[str], *, most: int = 100) -> Proportion:
    """How often the teacher, asked the same again, decides the same.

    No student can be expected to agree with a teacher more than the teacher does with itself.
    Cost: ``most`` passes of the teacher, and those that its cache lacks.

    Raises:
        InputError: no text.
    """
    if not texts:
        raise InputError("expected one text or more to ask again, got none")
    rng = np.random.default_rng(run.terms.seed)
    rows: list[int] = rng.permutation(len(texts))[:most].tolist()
    # Each text once: a repeat is answered by the cache, and would count one question twice.
    chosen = list(dict.fromkeys(texts[row] for row in rows))
    same = run.teacher.ask(chosen).top == run.teacher.ask_again(chosen).top
    return proportion(int(same.sum()), len(chosen), level=run.terms.level)
