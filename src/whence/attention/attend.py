"""Capture a model reading one input: where every head reads, and what it does to the decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from whence.attention.capture import SIZE_BUDGET, Capture, CaptureOptions, capture
from whence.attention.common import local_model, provenance
from whence.attention.effect_target import EffectTarget
from whence.attention.head_ablation import HeadAblation
from whence.attention.head_effects import Effects
from whence.attention.roles import clusters_of, roles_of
from whence.attention.size import AttentionSize, Heads
from whence.attention.statistics import STATISTICS, LayerSummary
from whence.attention.store import Attention
from whence.attention.tensors import Tensors, digest_of
from whence.attention.token_flow import FlowResult, token_flow
from whence.core.attention_record import AttentionLayer, AttentionRecord, HeadEntry
from whence.core.provenance import Cost, Provenance
from whence.core.targets import Target
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.models.access import GivesAttention
from whence.models.internals.pass_counter import PassCount, count_passes
from whence.models.protocols import Encoding, Input, Readout, TokenModel
from whence.models.public_call import public_call

__all__ = ["attend"]

ABLATION = HeadAblation()


@public_call
def attend(
    model: Any,
    source: Input,
    *,
    generate: bool = False,
    heads: Heads | None = None,
    keep: str = "auto",
    target: Target | str | int | None = None,
    link: str | None = None,
    effects: HeadAblation | None = ABLATION,
    max_new_tokens: int = 64,
    size_budget: int = SIZE_BUDGET,
    row_block: int = 64,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    flow: bool = True,
    seed: int = 0,
    announce: Callable[[AttentionSize], None] | None = None,
) -> Attention:
    """Where a model reads, head by head, and what each head does to its decision.

    The model runs its own kernel; its output is not changed. Weights are computed again in blocks
    of ``row_block`` queries and reduced at once, so memory grows with ``heads x row_block x n``,
    not with ``n^2``. Each layer carries a certificate; above 1e-3 (in half precision: above
    the rounding of its dtype) none of its weights are stored.

    Args:
        model: local transformers model from :func:`whence.load`.
        source: text, pair of texts, or messages.
        generate: flag that reads the model's greedy continuation with the prompt, in one pass: one
            lower-triangular matrix over both, which is what step-by-step generation with a cache
            reads, up to the rounding of floats.
        heads: heads whose whole matrix is stored as well, in 8 bits: pairs of a layer (name or
            number) and a head.
        keep: tier that is stored beside the summary of every head. ``"states"``: queries and keys, from
            which any weight can be computed exactly; ``"auto"``: those, if they take no more than
            ``size_budget`` bytes; ``"summary"``: nothing.
        target: number that heads have an effect on; none: the task's default, or the continuation
            that is read.
        link: scale of the target.
        effects: measurement of effects; ``None``: none is made, and no picture will claim any.
        flow: flag that records what each token takes from each, layer by layer (see
            ``whence.Alti``), for texts of at most 256 tokens, down from where the target of
            ``effects`` is read; a note says why where it does not.
        max_new_tokens: number of tokens of the continuation, at most.
        size_budget: bytes of queries and keys that ``keep="auto"`` stores, at most.
        row_block: number of queries whose weights are in memory at once.
        token_budget: tokens in one batch of the measurement to begin with.
        seed: seed of the replacements and of the heads measured at random.
        announce: function called with the size before the run.

    Cost, as counted in the record: one pass over two tokens for sizes and one captured pass, each
    two more where layers compute their softmax themselves (and one gradient pass, which finds no
    head to measure), and the weights of each layer once more; with ``generate`` a pass for each
    token before that, the end token included; one where the default target is what the model
    says; one for the flow. Beside these, and counted in ``record.effects``, what
    :class:`~whence.attention.head_ablation.HeadAblation` states.

    Raises:
        CapabilityError: the model gives no attention, or does not generate.
        OptionError: an unknown or contradictory option, layer or head.

    Example:
        >>> import whence
        >>> result = whence.attend(whence.load("embedded:credit"), "She has missed 3 payments.")
        >>> [(layer.heads, layer.shown) for layer in result.record.layers]
        [(4, True), (4, True), (4, True)]
        >>> result.record.effects.output.unit
        'nat'
    """
    options = CaptureOptions(
        generate=generate,
        heads=heads,
        keep=keep,
        effects=effects,
        max_new_tokens=max_new_tokens,
        size_budget=size_budget,
        row_block=row_block,
        token_budget=token_budget,
        flow=flow,
        seed=seed,
    )
    known = local_model(model, "attention", gives=GivesAttention)
    options.check(known)
    question = EffectTarget(target, link)
    with count_passes(model) as capture_passes:
        pass_ = capture(known, source, options, announce)
        readout, no_target = _readout(known, pass_, question, effects)
    with count_passes(model) as effect_passes:
        measured, no_effects = _measure(known, pass_.encoding, readout, options)
    with count_passes(model) as flow_passes:
        followed = _flow(known, pass_, measured) if flow else FlowResult.none()
    # What effects took is in their own record; here only passes that led to none.
    without_effect = [effect_passes] if measured is None else []
    notes = (*pass_.notes, *no_target, *no_effects, *followed.notes)
    cost = _cost([capture_passes, flow_passes], without_effect)
    settings = options.settings(pass_.matrices, question)
    origin = provenance(known, "attend", settings, cost, seed=seed)
    return _attention(pass_, measured, followed, notes, origin)


def _readout(
    model: TokenModel, capture: Capture, question: EffectTarget, effects: HeadAblation | None
) -> tuple[Readout | None, tuple[str, ...]]:
    """The readout that effects are measured on, or a note on why there is none."""
    if effects is None:
        return None, ("effects of heads were not asked for",)
    if question.target is None and model.task == "embedding":
        return None, (
            "effects of heads are not measured: an embedding alone is no decision; give "
            "target=Similarity(other='...')",
        )
    return question.readout(model, capture.encoding, capture.continuation), ()


def _measure(
    model: TokenModel, encoding: Encoding, readout: Readout | None, options: CaptureOptions
) -> tuple[Effects | None, tuple[str, ...]]:
    """The effects of heads, or a note on why there are none."""
    if options.effects is None or readout is None:
        return None, ()
    effects = options.effects.run(
        model, encoding, readout, seed=options.seed, token_budget=options.token_budget
    )
    if effects is None:
        return None, (
            "effects of heads are not measured: the layers compute their softmax themselves, so "
            "no head's output can be replaced",
        )
    return effects, effects.notes


def _flow(model: TokenModel, capture: Capture, effects: Effects | None) -> FlowResult:
    if not all(layer.shown for layer in capture.sink.layers()):
        return FlowResult.none(
            "no flow was computed: it would go through layers that are not shown"
        )
    read_from = None if effects is None else effects.read_from
    return token_flow(model, capture.encoding, capture.read, read_from)


def _cost(forward: Sequence[PassCount], differentiated: Sequence[PassCount]) -> Cost:
    passes = sum(count.passes for count in forward)
    counts = [*forward, *differentiated]
    return Cost(
        evaluations=passes,
        distinct_evaluations=passes,
        gradient_evaluations=sum(count.passes for count in differentiated),
        tokens=sum(count.tokens for count in counts),
        seconds=sum(count.seconds for count in counts),
    )


def _attention(
    capture: Capture,
    effects: Effects | None,
    flow: FlowResult,
    notes: tuple[str, ...],
    origin: Provenance,
) -> Attention:
    """The record with its arrays."""
    summaries, layers = capture.sink.summaries(), capture.sink.layers()
    arrays = capture.sink.arrays(summaries)
    if flow.contributions is not None:
        arrays["flow"] = flow.contributions
    tensors = Tensors(arrays)
    record = AttentionRecord(
        document=capture.encoding.document,
        decision=capture.decision,
        tokens=capture.tokens,
        decoder_tokens=capture.decoder,
        layers=layers,
        heads=_entries(layers, summaries, effects),
        effects=None if effects is None else effects.how,
        flow=flow.flow,
        statistics=tuple(STATISTICS),
        manifest=tensors.manifest,
        tensors=digest_of(tensors.manifest),
        notes=notes,
        provenance=origin,
    )
    return Attention(record=record, tensors=tensors)


def _entries(
    layers: Sequence[AttentionLayer],
    summaries: Mapping[str, LayerSummary],
    effects: Effects | None,
) -> tuple[HeadEntry, ...]:
    """Every head with its effect, roles and cluster."""
    measured = {(e.layer, e.head): e for e in effects.heads} if effects is not None else {}
    clusters = clusters_of(layers, summaries)
    entries: list[HeadEntry] = []
    for layer in layers:
        summary = summaries.get(layer.name)
        for head in range(layer.heads):
            key = (layer.name, head)
            entry = measured.get(key, HeadEntry(layer=layer.name, head=head))
            if summary is not None:
                roles = roles_of(summary.statistics[head], summary.uniform)
                entry = replace(entry, roles=roles, cluster=clusters[key])
            entries.append(entry)
    return tuple(entries)
