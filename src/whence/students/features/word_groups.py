"""Lists of words that move the teacher alike and stand among the same words; no model is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

from whence.core.errors import InputError, OptionError
from whence.students.features.tokenizer import words
from whence.students.fitting.clustering import reduced
from whence.students.fitting.sparse import size
from whence.students.teacher.teacher import Answers

__all__ = ["WordGroup", "WordGroups", "ppmi", "word_groups"]

# Both chosen by hand: a list of this length is still read.
SHOWN = 15
"""Words of a group that are printed; all are stored and looked for."""

NAMED = 3
"""Words that make up a group's name."""


@dataclass(frozen=True, slots=True)
class WordGroup:
    """A list of words, the most telling first.

    Attributes:
        name: three words with the largest weight.
        words: all words of the group.
        label: label that the words speak for most.
        effect: mean log-probability of it beyond that of the median word, less the mean over
            labels.
    """

    name: str
    words: tuple[str, ...]
    label: str
    effect: float

    def describe(self) -> str:
        """Name, effect and at most fifteen words.

        Example:
            >>> WordGroup("late/overdue", ("late", "overdue"), "reject", 1.5).describe()
            'late/overdue (+1.50 for reject): late, overdue'
        """
        more = len(self.words) - SHOWN
        shown = ", ".join(self.words[:SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"{self.name} ({self.effect:+.2f} for {self.label}): {shown}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WordGroups:
    """Word groups of a corpus and its teacher, those of the greatest effect first.

    Attributes:
        groups: word groups; no word is in two.
        alone: words of some effect that no other word goes with.
        neutral: words asked that hardly move the teacher.
        passed_over: n-grams asked that are no single word of the texts, or another spelling of one
            asked before them.
    """

    groups: tuple[WordGroup, ...]
    alone: tuple[str, ...]
    neutral: int
    passed_over: int

    @property
    def lexicons(self) -> dict[str, tuple[str, ...]]:
        """Names to words, for :class:`whence.students.features.vectorizer.ReadableFeatures`."""
        return {group.name: group.words for group in self.groups}

    def __str__(self) -> str:
        rest = f"{len(self.alone)} words stand alone, {self.neutral} hardly move the teacher"
        return "\n".join([*(group.describe() for group in self.groups), rest])


def word_groups(
    ngrams: Sequence[str],
    answers: Answers,
    texts: Sequence[str],
    *,
    # The numbers are chosen by hand; not calibrated.
    most: int = 400,
    least_effect: float = 0.5,
    company: float = 0.5,
    apart: float = 0.2,
    dimensions: int = 30,
    window: int = 4,
    seed: int = 0,
) -> WordGroups:
    """Lists of words that move the teacher alike and stand in like company.

    Two distances are mixed. The first is between what the teacher says of each word alone: its
    centred log-probabilities less those of the median word, over twice the greatest length. The
    second is one minus the cosine between the words' company: positive pointwise mutual information
    of words within ``window`` of each other, in the coordinates of its largest singular values.
    ``d = (1 - company) * |r_a - r_b| / (2 max |r|) + company * (1 - cos) / 2``, from 0 to 1, and
    clusters are joined by average linkage as long as they are nearer than ``apart``. Words within
    ``least_effect`` of the median word have no effect to speak of and join no list.

    A group is its list, and its name only an abbreviation of it. What a teacher says of a
    word alone may differ from what the word does in a text; and words of opposite meaning stand in
    like company, so that ``company`` near 1 joins what the response would part.

    Cost: no pass of the teacher beside those of ``answers``.
    Levy and Goldberg (2014), Neural Word Embedding as Implicit Matrix Factorization;
    Turney and Pantel (2010), doi:10.1613/jair.2934.

    Args:
        ngrams: as :func:`whence.students.data.augmentation.frequent_ngrams` gives them; of several words
            they are passed over, because a list is looked for word by word. Capitals do not
            count: of two spellings of a word the first stands for both.
        answers: teacher's answer to each n-gram alone.
        texts: texts that the company of words is taken from: the ``fit`` texts.
        most: words at most, those of the greatest effect times the spread of their presence.
        least_effect: length of the response that counts as one, in nats; of bare labels every
            word that is not answered like the median one has some.
        company: share of the second distance, 0 to 1.
        apart: distance of what is not joined, above 0; smaller makes more and narrower groups.
        dimensions: coordinates of the company.
        window: words to either side.
        seed: seed of the start of the decomposition.

    Raises:
        InputError: another number of answers than of n-grams, or no text.
        OptionError: a setting out of its range.

    Example:
        >>> lines = ["he was late again", "he was overdue again", "a fine steady payer",
        ...          "a fine reliable payer", "he was late again", "a fine steady payer"]
        >>> asked = ["late", "overdue", "steady", "reliable", "he", "was", "a", "fine", "again"]
        >>> values = np.array([[-1, 1], [-1, 1], [1, -1], [1, -1]] + [[0, 0]] * 5) * 1.0
        >>> answers = Answers(labels=("accept", "reject"), gives="logit", values=values,
        ...                   read_to=np.array([len(word) for word in asked]))
        >>> sorted(word_groups(asked, answers, lines, dimensions=3).lexicons.values())
        [('late', 'overdue'), ('steady', 'reliable')]
    """
    if len(ngrams) != len(answers) or not texts:
        raise InputError(
            f"expected one answer for each of {len(ngrams)} n-grams and at least one text, got "
            f"{len(answers)} answers and {len(texts)} texts"
        )
    if min(most, dimensions, window) < 1 or not 0 <= company <= 1 or apart <= 0:
        raise OptionError(
            f"most={most}, dimensions={dimensions}, window={window}, company={company}, "
            f"apart={apart}: out of range"
        )
    sequences = [words(text) for text in texts]
    present: dict[str, int] = {}
    for sequence in sequences:
        for word in sorted(set(sequence)):
            present[word] = present.get(word, 0) + 1
    # N-grams come as the texts write them; words are compared case folded.
    folded = [" ".join(words(asked)) for asked in ngrams]
    # Backwards, so that of two spellings the first is the one that stays.
    first = {word: row for row, word in reversed(list(enumerate(folded)))}
    rows = [row for row, word in enumerate(folded) if word in present and first[word] == row]
    logits = answers.centred_logits()[rows]
    # Most words move nothing, so the median word is what the teacher says of any word at all.
    response = logits - np.median(logits, axis=0) if len(rows) else logits
    length = np.sqrt((response**2).sum(axis=1))
    rate = np.array([present[folded[row]] for row in rows]) / len(texts)
    # 1e-12 keeps words that all texts have in the order of their effect, behind all others.
    telling = length * np.sqrt(rate * (1 - rate) + 1e-12)
    moving = np.flatnonzero(length > least_effect)
    passed, neutral = len(ngrams) - len(rows), len(rows) - len(moving)
    strongest = moving[np.argsort(-telling[moving], kind="stable")[:most]]
    places: list[int] = strongest.tolist()
    chosen = [folded[rows[place]] for place in places]
    if len(chosen) < 2:
        return WordGroups(groups=(), alone=tuple(chosen), neutral=neutral, passed_over=passed)
    chosen_response = response[strongest]
    near = _company(sequences, chosen, dimensions, window, seed)
    # Two responses are at most twice the longest apart, and one minus a cosine is at most 2: over
    # these, both distances run from 0 to 1 and can be mixed.
    scale = float(length[strongest].max())
    distance = (1 - company) * pdist(chosen_response) / (2 * scale) + company * pdist(
        near, "cosine"
    ) / 2
    tree = hierarchy.linkage(distance, method="average")
    member = hierarchy.fcluster(tree, apart, criterion="distance")
    result: list[WordGroup] = []
    alone: list[str] = []
    for number in np.unique(member).tolist():
        inside = member == number
        if inside.sum() < 2:
            alone += [chosen[int(np.flatnonzero(inside)[0])]]
        else:
            result.append(
                _group(chosen, chosen_response, telling[strongest], inside, answers.labels)
            )
    result.sort(key=lambda group: (-group.effect, group.name))
    return WordGroups(
        groups=tuple(result), alone=tuple(sorted(alone)), neutral=neutral, passed_over=passed
    )


def ppmi(counts: sparse.csr_array) -> sparse.csr_array:
    """Positive pointwise mutual information ``max(0, log p(a, b) / (p(a) p(b)))`` of counts.

    Church and Hanks (1990), Word Association Norms, Mutual Information, and Lexicography.

    Example:
        >>> ppmi(sparse.csr_array(np.array([[2.0, 0.0], [0.0, 2.0]]))).toarray().round(3).tolist()
        [[0.693, 0.0], [0.0, 0.693]]
    """
    table = sparse.coo_array(counts)
    a, b = table.coords
    total = float(table.data.sum())
    left = np.asarray(counts.sum(axis=1))
    right = np.asarray(counts.sum(axis=0))
    # Only of words that were seen together: of others the logarithm is minus infinity, hence not
    # positive.
    shared = np.log(table.data * total / (left[a] * right[b]))
    positive = shared > 0
    return sparse.csr_array((shared[positive], (a[positive], b[positive])), shape=size(counts))


def _company(
    sequences: Sequence[list[str]], chosen: Sequence[str], dimensions: int, window: int, seed: int
) -> Float[np.ndarray, "words dimensions"]:
    """The company of each word, of length 1; words without any are all alike."""
    place = {word: row for row, word in enumerate(chosen)}
    vocabulary: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for sequence in sequences:
        for at, word in enumerate(sequence):
            row = place.get(word)
            if row is None:
                continue
            beside = sequence[max(0, at - window) : at] + sequence[at + 1 : at + 1 + window]
            rows += [row] * len(beside)
            columns += [vocabulary.setdefault(other, len(vocabulary)) for other in beside]
    # One column more that nobody has keeps the table from being empty.
    shape = (len(chosen), len(vocabulary) + 1)
    counts = sparse.csr_array(sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=shape))
    if not rows:
        return np.ones((len(chosen), 1))
    points = reduced(ppmi(counts), dimensions, seed=seed)
    length = np.sqrt((points**2).sum(axis=1, keepdims=True))
    # A word without company is at the same distance from all others.
    extra = (length == 0).astype(np.float64)
    return np.hstack([points / np.where(length > 0, length, 1.0), extra])


def _group(
    chosen: Sequence[str],
    response: Float[np.ndarray, "words labels"],
    telling: Float[np.ndarray, " words"],
    inside: Bool[np.ndarray, " words"],
    labels: Sequence[str],
) -> WordGroup:
    members: Int[np.ndarray, " members"] = np.flatnonzero(inside)
    mean = response[members].mean(axis=0)
    label = int(mean.argmax())
    order: list[int] = members[np.lexsort((members, -telling[members]))].tolist()
    words = tuple(chosen[row] for row in order)
    return WordGroup("/".join(words[:NAMED]), words, labels[label], float(mean[label]))
