"""An instance: one input on which explanations are judged, with everything a metric may read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

from whence.core.provenance import Cost, MethodSpec
from whence.core.targets import Output
from whence.evaluation.additive_surrogate import AdditiveFit, additive_fit
from whence.evaluation.mask_pool import SIZES, Pool, pool_of, pool_seed
from whence.evaluation.stopwords import carries_no_content
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache
from whence.games.game import Game
from whence.games.model_game import Progress
from whence.games.question import Question

__all__ = ["Instance", "instance_of", "on_a_scale_of_decisions"]


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One input, one output of it, its game and its mask pool.

    Attributes:
        game: the value function, with its counter; metrics ask it for what the pool lacks.
        pool: the masks that judge every explanation of this input.
        output: which output is judged.
        texts: what a reader sees of each feature; none for a game without a text.
        question: the question behind the game; ``None`` for an analytic game.
        settings: what was asked of which model how: part of every specification.
        seed: of whatever a metric draws.
        spent: costs of what was asked otherwise than of ``game``; whoever asks adds to it.
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
        question: from :func:`whence.games.question.ask`.
        output: which of its outputs is judged.
        size: masks in the pool.
        seed: changes the masks.
        cache: where evaluations are kept.
        token_budget: tokens in a batch to begin with.
        progress: called after each batch.

    Cost: ``size`` + 1 evaluations, less what the cache knows.
    """
    game = question.game(cache=cache, token_budget=token_budget, progress=progress)
    identity = question.model.identity
    masker = str(MethodSpec.of(question.masker))
    named = identity.fingerprint or identity.ref
    drawn = pool_seed(
        named, question.segmentation.document.text, masker, question.segmentation.unit, seed
    )
    return Instance(
        game=game,
        pool=pool_of(game, size, seed=drawn),
        output=output,
        texts=tuple(feature.text for feature in question.segmentation.features),
        question=question,
        settings={"model": named, "masker": masker, "unit": question.segmentation.unit},
        seed=seed,
    )
