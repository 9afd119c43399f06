"""An instance: one input on which explanations are judged, with everything a metric may read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

from whence.core.errors import CapabilityError
from whence.core.explanations import Attribution
from whence.core.features import Segmentation, Span
from whence.core.progress import Progress
from whence.core.provenance import Cost, MethodSpec
from whence.core.targets import Output
from whence.evaluation.additive_surrogate import AdditiveFit, additive_fit
from whence.evaluation.mask_pool import SIZES, Pool, pool_of, pool_seed
from whence.evaluation.stopwords import carries_no_content
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache
from whence.games.game import Game
from whence.games.question import Question
from whence.models.protocols import Input

__all__ = [
    "Explain",
    "ExplainAt",
    "Instance",
    "Neighbours",
    "ValueAt",
    "instance_of",
    "on_a_scale_of_decisions",
]

Explain = Callable[[Input, int], Attribution]
"""The explainer on another input, with another seed."""

ExplainAt = Callable[[Float[np.ndarray, "batch tokens width"]], Float[np.ndarray, "batch n"]]
"""Scores of the features at some embedded inputs, each as if it alone were asked."""

ValueAt = Callable[[Float[np.ndarray, "batch tokens width"]], Float[np.ndarray, " batch"]]
"""The judged output at some embedded inputs, in its own unit."""

Neighbours = Callable[[str, int, int], Sequence[str]]
"""Words that could take the place of the word from ``start`` to ``end`` of a text."""


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One input, one output of it, its game, its mask pool, and what single metrics need beside.

    Attributes:
        game: value function with its counter; metrics ask it for what the pool lacks.
        pool: masks that judge every explanation of this input.
        output: index of the judged output.
        texts: text of each feature as a reader sees it; empty for a game without a text.
        question: question behind the game; ``None`` for an analytic game.
        settings: model, masker and unit: part of every specification.
        seed: seed of the random generator of every metric.
        spent: costs of evaluations asked otherwise than of ``game``; whoever asks adds to it.
        segmentation: features in their document; ``None``: those of the question.
        explanation: explanation that is judged, with the scores of every output.
        explain: explainer on another input, with another seed.
        explain_at: explainer at displaced embeddings; the scores of the judged output.
        value_at: judged output at displaced embeddings.
        neighbours: words that an attack may put in the place of a word.
        spans: characters that people marked; ``None`` where nobody was asked.
    """

    game: Game
    pool: Pool
    output: int = 0
    texts: tuple[str, ...] = ()
    question: Question | None = None
    settings: dict[str, str | int | float | bool | None] = field(
        default_factory=dict[str, str | int | float | bool | None]
    )
    seed: int = 0
    spent: list[Cost] = field(default_factory=list[Cost])
    segmentation: Segmentation | None = None
    explanation: Attribution | None = None
    explain: Explain | None = None
    explain_at: ExplainAt | None = None
    value_at: ValueAt | None = None
    neighbours: Neighbours | None = None
    spans: tuple[Span, ...] | None = None
    _fits: dict[int, AdditiveFit] = field(
        init=False, repr=False, default_factory=dict[int, AdditiveFit]
    )

    @property
    def n(self) -> int:
        """Number of features."""
        return self.game.n

    @property
    def what(self) -> Output:
        """The output that is judged."""
        return self.game.outputs[self.output]

    @property
    def unit(self) -> str:
        """The unit of :meth:`decided`: probability where the output's scale tells it."""
        return "probability" if self.what.link in _TO_PROBABILITY else self.what.unit

    @property
    def full(self) -> float:
        """The value with every feature present, in the output's own unit."""
        return float(self.pool.full[self.output])

    @property
    def empty(self) -> float:
        """The value with no feature present, in the output's own unit; one evaluation."""
        return float(self.game.empty()[self.output])

    @property
    def responses(self) -> Float[np.ndarray, " m"]:
        """The pool's answers in the output's own unit."""
        return self.pool.values[:, self.output]

    @property
    def additive(self) -> AdditiveFit:
        """The best additive fit to the pool; every explanation judged here shares it."""
        if self.output not in self._fits:
            self._fits[self.output] = additive_fit(self.pool, self.output)
        return self._fits[self.output]

    @property
    def common(self) -> Bool[np.ndarray, " n"]:
        """Features without content: stop words and punctuation; false without a text."""
        if not self.texts:
            return np.zeros(self.n, dtype=bool)
        return np.array([carries_no_content(text) for text in self.texts])

    @property
    def features(self) -> Segmentation:
        """The features in their document.

        Raises:
            CapabilityError: a game without a text.
        """
        if self.segmentation is not None:
            return self.segmentation
        if self.question is None:
            raise CapabilityError(
                "expected an instance of a text, got an analytic game, which has none; give "
                "segmentation=..."
            )
        return self.question.segmentation

    def value(self, coalitions: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, " m"]:
        """v(S) of some coalitions in the output's own unit."""
        return self.game(coalitions)[:, self.output]

    def decided(self, coalitions: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, " m"]:
        """v(S) as a probability where the output's link allows, else in its own unit."""
        return on_a_scale_of_decisions(self.value(coalitions), self.what)

    def specification(self, name: str, **options: str | int | float | bool | None) -> MethodSpec:
        """Everything that changes a measured number: the metric's options and the instance's."""
        what = self.what
        mine: dict[str, str | int | float | bool | None] = {
            "output": what.name,
            "link": what.link,
            "features": self.n,
            "pool": len(self.pool),
            "pool_seed": self.pool.seed,
            "seed": self.seed,
        }
        return MethodSpec(name=name, options={**self.settings, **mine, **options})


_TO_PROBABILITY = {"log_odds": expit, "log_probability": np.exp, "probability": np.asarray}


def on_a_scale_of_decisions(
    values: Float[np.ndarray, " m"], output: Output
) -> Float[np.ndarray, " m"]:
    """Values as probabilities, where the output's link tells them; else as they are.

    Example:
        >>> from whence.core import Label
        >>> output = Output(name="yes", link="log_odds", unit="nat", target=Label(label="yes"))
        >>> on_a_scale_of_decisions(np.array([0.0]), output).tolist()
        [0.5]
    """
    change = _TO_PROBABILITY.get(output.link)
    return values if change is None else np.asarray(change(values), dtype=np.float64)


def instance_of(
    question: Question,
    *,
    output: int = 0,
    size: int = SIZES["default"],
    seed: int = 0,
    cache: Cache | None = None,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
) -> Instance:
    """The instance of a question: its pool is drawn, and the model is asked for its answers.

    The masks follow from the model, the text, the masker and the seed, so that every
    explanation of this input is judged by the same ones.

    Args:
        question: question from :func:`whence.games.question.ask`.
        output: index of the judged output.
        size: masks in the pool.
        seed: seed of the masks, beside what is judged.
        cache: store of evaluations.
        token_budget: tokens in a batch to begin with.
        progress: callable of (what, done, total), called after each batch of evaluations.

    Cost: ``size`` + 1 evaluations, less what the cache knows.
    """
    game = question.game(cache=cache, token_budget=token_budget, progress=progress)
    identity = question.model.identity
    masker = str(MethodSpec.of(question.masker))
    fingerprint = identity.fingerprint or identity.ref
    mask_seed = pool_seed(
        fingerprint, question.segmentation.document.text, masker, question.segmentation.unit, seed
    )
    return Instance(
        game=game,
        pool=pool_of(game, size, seed=mask_seed),
        output=output,
        texts=tuple(feature.text for feature in question.segmentation.features),
        question=question,
        settings={"model": fingerprint, "masker": masker, "unit": question.segmentation.unit},
        seed=seed,
    )
