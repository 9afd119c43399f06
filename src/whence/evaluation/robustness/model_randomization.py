"""Randomisation of the model: an explanation must change when the model is replaced by noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from whence.core.errors import CapabilityError, OptionError
from whence.core.explanations import Attribution
from whence.core.measurements import Measurement
from whence.evaluation.instance import Explain, Instance
from whence.evaluation.robustness.rank_agreement import spearman

__all__ = ["Randomisation", "chance_band", "data_randomisation", "randomisation"]

SHUFFLES = 2000
"""Shuffles for the chance band: the 95 % quantile then rests on 100 of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Randomisation:
    """How alike the scores stay when the model's parameters are replaced by random ones.

    Attributes:
        full: |Spearman| once every parameter was replaced.
        cascade: its mean over the steps from the top down; the untouched model is not among them.
        steps: each step's lowest layer, and |Spearman| there.
        band: limit that 95 % of shuffled scores stay within.
        share: share of the model's parameters that the last step reached: 1.0.
    """

    full: Measurement
    cascade: Measurement | None
    steps: tuple[tuple[str, float], ...]
    band: float
    share: float

    @property
    def depends_on_the_model(self) -> bool:
        """Whether the scores of the fully randomised model are as unlike as shuffled ones."""
        return self.full.value <= self.band


def randomisation(
    instance: Instance,
    explanation: Attribution,
    explain: Explain,
    *,
    seed: int = 0,
    cascade: bool = True,
) -> Randomisation:
    """Randomise the model from the top down, explain the same output again, and compare.

    Value: absolute Spearman correlation of the signed scores before and after. Lower is better:
    an explanation that survives does not come from the model. With few features chance alone
    correlates: compare with ``band``, which is 1 for three features. One model in twenty falls
    outside of it by chance. Cost: one explanation a step (``cascade=False``: one in all). The
    model is afterwards as it was, bit for bit.

    Args:
        instance: input that was explained.
        explanation: explanation.
        explain: same method on the same input and outputs; it must read the model as it is
            at that moment.
        seed: seed of the randomisation.
        cascade: step by step from the top down, beside all at once.

    Raises:
        CapabilityError: the model's parameters cannot be had.

    Source: Adebayo et al. (2018), arXiv:1810.03292.
    """
    # Imported where it is used: it brings torch along, which judging an analytic game does without.
    from whence.models.weights.randomize import layers_of, randomize

    question = instance.question
    if question is None:
        raise CapabilityError("randomisation needs a model; an analytic game has no parameters")
    layers = layers_of(question.model)
    scores = np.array(explanation.scores[:, instance.output])
    steps: list[tuple[str, float]] = []
    share = 0.0
    for count in range(1 if cascade else len(layers), len(layers) + 1):
        with randomize(question.model, seed=seed, layers=layers[:count]) as changed:
            again = explain(question.source, explanation.provenance.seed)
            share = changed.share
        other = np.array(again.scores[:, instance.output])
        if other.shape != scores.shape:
            raise OptionError(f"{len(other)} scores came back for {len(scores)} features")
        steps.append((layers[count - 1].name, abs(spearman(scores, other))))
    mean, band = chance_band(scores)

    def measurement(name: str, value: float, n: int) -> Measurement:
        return Measurement(
            name=name,
            value=value,
            unit="absolute correlation",
            n=n,
            direction="lower",
            interval=None,
            specification=instance.specification(
                "randomisation", draws_seed=seed, steps=n, law="normal, own mean and deviation"
            ),
            random=mean,
            best=0.0,
        )

    values = [value for _, value in steps]
    return Randomisation(
        full=measurement("randomisation", values[-1], 1),
        cascade=measurement("randomisation-cascade", float(np.mean(values)), len(values))
        if cascade
        else None,
        steps=tuple(steps),
        band=band,
        share=share,
    )


def chance_band(scores: Float[np.ndarray, " n"], *, level: float = 0.95) -> tuple[float, float]:
    """Mean and upper limit of |Spearman| between scores and their shuffles; simulated, 2,000 draws."""
    if len(scores) < 2 or bool(np.all(scores == scores[0])):
        return 0.0, 0.0
    ranks = rankdata(scores) - (len(scores) + 1) / 2
    # Always the same shuffles: the band is a property of the scores, and not of a run.
    rng = np.random.default_rng(0)
    shuffled = rng.permuted(np.repeat(ranks[None], SHUFFLES, axis=0), axis=1)
    # As many digits as spearman() gives, so that equal correlations compare as equal.
    correlations = np.abs(np.round(shuffled @ ranks / float(ranks @ ranks), 12))
    # "higher": of few features |Spearman| takes few values, and a limit between two of them would
    # be one that no shuffle reaches.
    return float(correlations.mean()), float(np.quantile(correlations, level, method="higher"))


def data_randomisation(
    instance: Instance, explanation: Attribution, shuffled: Attribution
) -> Measurement:
    """Absolute Spearman correlation with the scores of a model trained on shuffled labels.

    Lower is better: that model learned nothing but its training set, and a method whose scores it
    shares tells of the text, or of the architecture, rather than of what was learned. ``random`` is
    what shuffled scores give on average; above :func:`chance_band` the method is at fault. The
    trust label of one explanation cannot see this: scores may be true to a model of noise. Cost:
    none beyond the two explanations.

    Args:
        instance: input that was explained.
        explanation: explanation of the model.
        shuffled: explanation by the same method, of the same text and output, of a model of the same kind that
            was trained on shuffled labels.

    Raises:
        OptionError: the two are of different features.

    Source: Adebayo et al. (2018), arXiv:1810.03292.
    """
    if explanation.segmentation.features != shuffled.segmentation.features:
        raise OptionError("the two explanations are of different features; compare the same text")
    one, two = (np.array(e.scores[:, instance.output]) for e in (explanation, shuffled))
    return Measurement(
        name="data-randomisation",
        value=abs(spearman(one, two)),
        unit="absolute correlation",
        n=1,
        direction="lower",
        interval=None,
        specification=instance.specification(
            "data_randomisation", other=shuffled.provenance.model.fingerprint
        ),
        random=chance_band(one)[0],
        best=0.0,
    )
