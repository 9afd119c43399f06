"""``whence.measure``: single metrics of an explanation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from whence.core.errors import OptionError
from whence.core.explanations import Attribution
from whence.core.features import Span
from whence.core.measurements import Measurement
from whence.evaluation.instance import Neighbours, instance_of
from whence.evaluation.mask_pool import SIZES
from whence.evaluation.metrics.base import Metric
from whence.evaluation.metrics.registry import METRICS
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.cache import Cache, call_cache
from whence.games.maskers import Masker
from whence.games.question import ask_again
from whence.models.protocols import Input
from whence.models.public_call import public_call
from whence.workflows.rerun import explainers

__all__ = ["measure"]


@public_call
def measure(
    model: Any,
    explanation: Attribution,
    metrics: Sequence[str | Metric],
    *,
    output: int | str = 0,
    source: Input | None = None,
    masker: str | Masker = "auto",
    size: int = SIZES["default"],
    seed: int | None = None,
    spans: Sequence[tuple[int, int]] | None = None,
    neighbours: Neighbours | None = None,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    cache: Cache | None = None,
) -> tuple[Measurement, ...]:
    """Single metrics of an explanation, on one mask pool.

    Metrics that run the explainer again (``attacked-overlap``, ``max-sensitivity``,
    ``local-lipschitz``) run the method that the explanation names.

    Args:
        model: model that was explained, from :func:`whence.load`.
        explanation: scores to judge, of whence or read in from elsewhere.
        metrics: names of :data:`whence.evaluation.metrics.registry.METRICS`, or instances.
        output: judged output, by name or index.
        source: input, where the record does not hold it as it was given.
        masker: kind of absence; ``"auto"``: as for the explanation.
        size: number of masks in the pool.
        seed: seed of the mask pool and of the metrics; none: the explanation's.
        spans: (start, end) of characters that people marked, for metrics of plausibility.
        neighbours: function (text, start, end) that proposes words for an attack; none: nearest
            words in the model's own table of embeddings.
        token_budget: number of tokens in a batch to begin with.
        cache: store of evaluations; none: one in memory for this call. What a
            store knows is used after one of its evaluations was made again with the same answer (one
            evaluation a call, counted), and not at all where a hook or a replaced ``forward`` decides
            too, which is noted.

    Raises:
        CapabilityError: a metric needs what this model or this explanation does not give.
        InputError: the question cannot be put again to this model, or a span lies outside.
        OptionError: no such metric or output.
        UndefinedError: a metric has no value here, such as a share of nothing.

    Example:
        >>> import whence
        >>> model = whence.load(lambda texts: [float(t.count("late")) for t in texts])
        >>> e = whence.explain(model, "again late, said one", trust="off")
        >>> [m.name for m in measure(model, e, ["gini", "pool-fidelity"])]
        ['gini', 'pool-fidelity']
    """
    chosen = [METRICS.make(metric) for metric in metrics]
    question = ask_again(model, explanation, source=source, masker=masker)
    answers = call_cache(cache)
    column = explanation.output_index(output)
    instance = instance_of(
        question,
        output=column,
        size=size,
        seed=explanation.provenance.seed if seed is None else seed,
        cache=answers,
        token_budget=token_budget,
    )
    instance = replace(
        instance,
        explanation=explanation,
        spans=None if spans is None else tuple(_span(start, end) for start, end in spans),
        neighbours=neighbours,
        **explainers(question, explanation, column, answers, token_budget),
    )
    scores = np.asarray(explanation.scores[:, column])
    return tuple(metric.measure(instance, scores) for metric in chosen)


def _span(start: int, end: int) -> Span:
    if not 0 <= start < end:
        raise OptionError(f"expected a span with 0 <= start < end, got ({start}, {end})")
    return Span(start=start, end=end)
