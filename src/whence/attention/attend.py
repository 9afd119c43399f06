"""Watch a model read one input: what every head did, and what it was for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import regex
from jaxtyping import Bool, Float, UInt8

from whence.attention.attention_states import EXACT, StatesRecorder
from whence.attention.common import one_readout, provenance, read_tokens
from whence.attention.head_ablation import Effects, HeadAblation, HeadsTogether
from whence.attention.roles import clusters_of, roles_of
from whence.attention.size import AttentionSize, Shapes
from whence.attention.statistics import (
    STATISTICS,
    HeadStatistics,
    LayerSummary,
    code_weights,
)
from whence.attention.store import Attention, pack_layer, pack_states
from whence.attention.tensors import Tensors, digest_of
from whence.core.attention_record import (
    AttentionLayer,
    AttentionRecord,
    HeadEntry,
    ReadToken,
    TokenFlow,
)
from whence.core.errors import CapabilityError, OptionError, unknown
from whence.core.explanations import Decision
from whence.core.provenance import Cost, MethodSpec
from whence.core.targets import LINKS, Continuation, Link, NextToken, Target
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.contributions import contributions
from whence.models.internals.attention_capture import AttentionCall, LayerStates
from whence.models.internals.pass_counter import PassCount, count_passes
from whence.models.protocols import Encoding, GivesAttention, Input, Readout, TokenModel

__all__ = ["KEEP", "LIMIT", "SIZE_BUDGET", "Keep", "ablate", "attend", "attention_size"]

LIMIT = 1e-3
"""The largest certificate with which a layer's weights are kept, in full precision."""

SIZE_BUDGET = 512 * 2**20
"""Bytes of queries and keys that ``keep="auto"`` keeps at most."""

Keep = Literal["auto", "states", "summary"]
KEEP: tuple[Keep, ...] = ("auto", "states", "summary")

Heads = Sequence[tuple[str | int, int]]

FLOW = 256
"""Tokens of the longest text whose flow is followed."""

StatesKept = Literal["kept", "not_asked", "over_budget", "not_reproduced"]

MEASURED = HeadAblation()


def attend(
    model: Any,
    source: Input,
    *,
    generate: bool = False,
    heads: Heads | None = None,
    keep: str = "auto",
    target: Target | str | int | None = None,
    link: str | None = None,
    effects: HeadAblation | None = MEASURED,
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
    the rounding of its dtype) nothing of it is kept.

    Args:
        model: from :func:`whence.load`; a local transformers model.
        source: a text, a pair of texts, or messages.
        generate: read the model's greedy continuation with the prompt in one pass: one
            lower-triangular matrix over both, which is what step-by-step generation with a cache
            reads, up to the rounding of floats.
        heads: heads whose whole matrix is kept as well, in 8 bits: pairs of a layer (name or
            place) and a head.
        keep: beside the summary of every head, ``"states"``: queries and keys, from which any
            weight comes back exactly; ``"auto"``: those, if they take no more than
            ``size_budget`` bytes; ``"summary"``: nothing.
        target: the number whose change the heads' effects are; none: the task's default, or the
            continuation that is read.
        link: its scale.
        effects: how effects are measured; ``None``: they are not, and no picture will claim any.
        flow: what each token takes from each, layer by layer (see ``whence.Alti``), of texts of
            at most 256 tokens, down from where the target of ``effects`` is read; where it cannot
            be had, a note says why.
        max_new_tokens: most tokens of the continuation.
        size_budget: most bytes of queries and keys that ``keep="auto"`` keeps.
        row_block: queries whose weights are in memory at once.
        token_budget: tokens in one batch of the measurement.
        seed: of what the measurement draws.
        announce: called with the size before the run.

    Cost, as counted in the record: one pass over two tokens for sizes and one watched pass, each
    two more where layers keep their softmax to themselves (and one gradient pass, which finds no
    head to measure), and the weights of each layer once more; with ``generate`` a pass for each token before that, the end token included; one where
    the default target is what the model says; one for the flow. Beside these, and counted in
    ``record.effects``, what :class:`~whence.attention.head_ablation.HeadAblation` states.

    Raises:
        CapabilityError: the model gives no attention, or does not generate.
        OptionError: an unknown or contradictory option, layer or head.

    Example:
        >>> import whence
        >>> found = whence.attend(whence.load("embedded:credit"), "She has missed 3 payments.")
        >>> [(layer.heads, layer.shown) for layer in found.record.layers]
        [(4, True), (4, True), (4, True)]
        >>> found.record.effects.output.unit
        'nat'
    """
    watchable = _watchable(model)
    if keep not in KEEP:
        raise unknown("keep", keep, KEEP)
    if link is not None and link not in LINKS:
        raise unknown("link", link, LINKS)
    sizes = {
        "max_new_tokens": max_new_tokens,
        "row_block": row_block,
        "size_budget": size_budget,
        "token_budget": token_budget,
    }
    for name, value in sizes.items():
        if value < 1:
            raise OptionError(f"{name}={value} asked; it must be 1 or more")
    if seed < 0:
        raise OptionError(f"seed={seed} asked; it must be 0 or more")
    if generate and watchable.task not in {"causal", "seq2seq"}:
        raise CapabilityError(
            f"generate=True asked of a model for {watchable.task}; only causal and seq2seq models "
            "write"
        )
    with count_passes(model) as reading:
        encoding = watchable.encode(source)
        forced: list[int] = model.greedy(encoding, max_new_tokens) if generate else []
        # The last token written is read by no one.
        read = forced[:-1]
        shapes = Shapes(model, encoding)
        wanted = shapes.resolve(heads)
        size = shapes.size(forced=len(read), heads=wanted)
        if announce is not None:
            announce(size)
        states: StatesKept = "not_asked" if keep == "summary" else "kept"
        if keep == "auto" and size.states > size_budget:
            states = "over_budget"
        tokens, decoder = read_tokens(watchable, encoding, read)
        sink = (_StatesSink if states == "kept" else _Sink)(tokens, decoder, wanted, states)
        notes, decision = model.attention(encoding, sink, forced=read, row_block=row_block)
        if decision is None:
            decision = Decision(text=watchable.decode(forced))
        question = _Question(target, link, tuple(forced))
        readout, unasked = question.posed(watchable, encoding, effects)
    found, unmeasured = None, ()
    with count_passes(model) as measuring:
        if effects is not None and readout is not None:
            found, unmeasured = _measure(watchable, encoding, readout, effects, seed, token_budget)
    summaries, layers = sink.summaries(), sink.layers()
    arrays = sink.arrays(summaries)
    followed, unfollowed = None, ()
    with count_passes(model) as following:
        if flow and all(layer.shown for layer in layers):
            followed, unfollowed = _follow(watchable, encoding, read, found)
        elif flow:
            unfollowed = ("no flow was followed: it would go through layers that are not shown",)
    if followed is not None:
        arrays["flow"] = followed[1]
    tensors = Tensors(arrays)
    record = AttentionRecord(
        document=encoding.document,
        decision=decision,
        tokens=tokens,
        decoder_tokens=decoder,
        layers=layers,
        heads=_entries(layers, summaries, found),
        effects=None if found is None else found.how,
        flow=None if followed is None else followed[0],
        statistics=tuple(STATISTICS),
        manifest=tensors.manifest,
        tensors=digest_of(tensors.manifest),
        notes=(*notes, *unasked, *unmeasured, *unfollowed),
        provenance=provenance(
            watchable,
            "attend",
            {
                "generate": generate,
                "max_new_tokens": max_new_tokens if generate else None,
                "heads": ", ".join(f"{layer}:{head}" for layer, head in wanted) or None,
                "keep": keep,
                "size_budget": size_budget,
                "row_block": row_block,
                "effects": None if effects is None else str(MethodSpec.of(effects)),
                "target": _stated(target),
                "link": link,
                "flow": flow,
            },
            # What effects took is in their own record; here only what was tried in vain.
            _cost([reading, following], [measuring] if found is None else []),
            seed=seed,
        ),
    )
    return Attention(record=record, tensors=tensors)


def _stated(target: Target | str | int | None) -> str | int | None:
    return target if target is None or isinstance(target, str | int) else repr(target)


def _cost(forward: Sequence[PassCount], differentiated: Sequence[PassCount]) -> Cost:
    passes = sum(count.passes for count in forward)
    both = [*forward, *differentiated]
    return Cost(
        evaluations=passes,
        distinct_evaluations=passes,
        gradient_evaluations=sum(count.passes for count in differentiated),
        tokens=sum(count.tokens for count in both),
        seconds=sum(count.seconds for count in both),
    )


def attention_size(
    model: Any,
    source: Input,
    *,
    new_tokens: int = 0,
    heads: Heads | None = None,
) -> AttentionSize:
    """What :func:`attend` is going to keep of an input, without running it.

    ``new_tokens``: how many written tokens are read with it. Cost: one pass over two tokens.

    Raises:
        CapabilityError: the model gives no attention.
        OptionError: no such layer or head.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:credit")
        >>> size = whence.attention_size(model, "She has missed 3 payments.")
        >>> size.layers, size.heads
        (3, 12)
    """
    watchable = _watchable(model)
    if new_tokens < 0:
        raise OptionError(f"new_tokens={new_tokens} asked; it must be 0 or more")
    shapes = Shapes(model, watchable.encode(source))
    return shapes.size(forced=max(0, new_tokens - 1), heads=shapes.resolve(heads))


def ablate(
    model: Any,
    source: Input,
    heads: Heads,
    *,
    target: Target | str | int | None = None,
    link: str | None = None,
    ablation: HeadAblation = MEASURED,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    seed: int = 0,
) -> HeadsTogether:
    """What the target loses when some heads are replaced at once.

    ``effect = v(x) - v(x | outputs of the heads <- stand-ins)``, in the target's unit; positive:
    together they raised it. Stand-ins are those of :class:`HeadAblation`, of which ``measure`` and
    ``control`` play no part here.

    Cost: one pass over two tokens, and what :meth:`HeadAblation.together` states.

    Raises:
        CapabilityError: the model's heads cannot be replaced.
        OptionError: no heads, or no such layer or head.

    Example:
        >>> import whence
        >>> model = whence.load("embedded:copier")
        >>> text = "ta mo ki be lo sa ni go da pi ta mo ki be lo sa"
        >>> one = whence.ablate(model, text, [(1, 2)])
        >>> four = whence.ablate(model, text, [(1, 0), (1, 1), (1, 2), (1, 3)])
        >>> one.effect < 0.1 < 3 < four.effect  # any one of them suffices
        True
    """
    watchable = _watchable(model)
    if not heads:
        raise OptionError("no heads given; name at least one, as (layer, head)")
    if link is not None and link not in LINKS:
        raise unknown("link", link, LINKS)
    encoding = watchable.encode(source)
    chosen = Shapes(model, encoding).resolve(heads)
    readout = _Question(target, link, ()).readout(watchable, encoding)
    return ablation.together(
        watchable, encoding, readout, chosen, seed=seed, token_budget=token_budget
    )


def _watchable(model: Any) -> TokenModel:
    if isinstance(model, GivesAttention) and isinstance(model, TokenModel):
        return model
    raise CapabilityError(
        f"attention asked of {type(model).__name__}, which gives only scores. Attention needs "
        "a local transformers model, given by folder or id."
    )


@dataclass(frozen=True, slots=True)
class _Question:
    """What heads are to have an effect on."""

    target: Target | str | int | None
    link: Link | None
    forced: tuple[int, ...]

    def readout(self, model: TokenModel, encoding: Encoding) -> Readout:
        target = self.target
        if target is None and self.forced:
            target = Continuation(token_ids=self.forced)
        elif target is None and model.task in ("causal", "seq2seq"):
            target = NextToken()
        return one_readout(model, encoding, target, self.link, "attention")

    def posed(
        self, model: TokenModel, encoding: Encoding, effects: HeadAblation | None
    ) -> tuple[Readout | None, tuple[str, ...]]:
        """What effects are measured on, and why they are not."""
        if effects is None:
            return None, ("effects of heads were not asked for",)
        if self.target is None and model.task == "embedding":
            return None, (
                "effects of heads are not measured: an embedding decides nothing by itself; give "
                "target=Similarity(other='...')",
            )
        return self.readout(model, encoding), ()


def _measure(
    model: TokenModel,
    encoding: Encoding,
    readout: Readout,
    effects: HeadAblation,
    seed: int,
    token_budget: int,
) -> tuple[Effects | None, tuple[str, ...]]:
    """The effects of heads, and why there are none."""
    found = effects.run(model, encoding, readout, seed=seed, token_budget=token_budget)
    if found is None:
        return None, (
            "effects of heads are not measured: the layers compute their softmax themselves, so "
            "no head's output can be replaced",
        )
    return found, ()


def _follow(
    model: TokenModel, encoding: Encoding, forced: Sequence[int], effects: Effects | None
) -> tuple[tuple[TokenFlow, np.ndarray] | None, tuple[str, ...]]:
    """Contributions of tokens and the position that is explained, and why there are none."""
    size = len(encoding.ids) + len(forced)
    if size > FLOW:
        return None, (f"no flow was followed: {size:,} tokens; it is drawn for {FLOW} at most",)
    if effects is None:  # no target says where it ends; why there is none is noted already
        return None, ()
    try:
        found = contributions(model, encoding, forced=forced)
    except CapabilityError as error:
        return None, (f"no flow was followed: {error}",)
    shares = effects.read_from
    if len(shares) != size:
        return None, (
            "no flow was followed: the target is read with a continuation that is not in the record",
        )
    if not shares.any():
        return None, ("no flow was followed: the target's gradient is zero, so it has no end",)
    target = int(shares.argmax())
    pooled = bool(shares[target] < 1)
    if pooled:
        last = np.eye(size, dtype=found.dtype)
        last[target] = shares
        found = np.concatenate([found, last[None]])
    name = "ALTI contributions: how near what each token sends is to what comes out"
    return (TokenFlow(quantity=name, target=target, pooled=pooled), found), ()


def _entries(
    layers: Sequence[AttentionLayer],
    summaries: Mapping[str, LayerSummary],
    effects: Effects | None,
) -> tuple[HeadEntry, ...]:
    measured = {(e.layer, e.head): e for e in effects.heads} if effects is not None else {}
    clusters = clusters_of(layers, summaries)
    found: list[HeadEntry] = []
    for layer in layers:
        summary = summaries.get(layer.name)
        for head in range(layer.heads):
            key = (layer.name, head)
            entry = measured.get(key, HeadEntry(layer=layer.name, head=head))
            if summary is not None:
                roles = roles_of(summary.statistics[head], summary.uniform)
                entry = replace(entry, roles=roles, cluster=clusters[key])
            found.append(entry)
    return tuple(found)


_PUNCTUATION = regex.compile(r"\s*[\p{P}\p{S}]+\s*")


def _marks(tokens: Sequence[ReadToken]) -> dict[str, Bool[np.ndarray, " tokens"]]:
    special = [token.special or place == 0 for place, token in enumerate(tokens)]
    alone = [
        not token.special and _PUNCTUATION.fullmatch(token.text) is not None for token in tokens
    ]
    return {"sink": np.array(special, dtype=bool), "punctuation": np.array(alone, dtype=bool)}


class _Sink:
    """Takes a watched pass: statistics of each layer, its certificate, matrices asked for."""

    def __init__(
        self,
        tokens: Sequence[ReadToken],
        decoder: Sequence[ReadToken],
        wanted: Sequence[tuple[str, int]],
        asked: StatesKept,
    ) -> None:
        self.tokens = tokens
        self.decoder = decoder
        self.asked: StatesKept = asked
        self.wanted: dict[str, list[int]] = {}
        for layer, head in wanted:
            self.wanted.setdefault(layer, []).append(head)
        self.matrices: dict[tuple[str, int], UInt8[np.ndarray, "queries keys"]] = {}
        self.calls: list[AttentionCall] = []
        self.errors: dict[str, float] = {}
        self.limits: dict[str, float] = {}
        self.found: dict[str, HeadStatistics] = {}
        self.keepers: dict[str, StatesRecorder] = {}

    def rows(
        self,
        call: AttentionCall,
        start: int,
        weights: Float[np.ndarray, "batch heads rows keys"],
        seen: Bool[np.ndarray, "batch rows"],
    ) -> None:
        """Reduce one block of rows."""
        if call.name not in self.found:
            self.found[call.name] = self._statistics(call)
        self.found[call.name].add(start, weights[0])
        if call.name in self.keepers:
            self.keepers[call.name].add(start, weights[0])
        for head in self.wanted.get(call.name, ()):
            empty = np.zeros((call.queries, call.keys), dtype=np.uint8)
            matrix = self.matrices.setdefault((call.name, head), empty)
            matrix[start : start + weights.shape[2]] = code_weights(weights[0, head])

    def _statistics(self, call: AttentionCall) -> HeadStatistics:
        in_decoder = bool(self.decoder) and call.kind == "causal"
        tokens = self.decoder if in_decoder else self.tokens
        ids = np.array([token.id for token in tokens], dtype=np.int64)
        return HeadStatistics(
            call.heads,
            call.queries,
            call.keys,
            ids=None if call.kind == "cross" else ids,
            marks=_marks(tokens),
        )

    def close(self, call: AttentionCall, error: float, rounding: float) -> None:
        """Note the certificate, and what it may be."""
        self.calls.append(call)
        self.errors[call.name] = error
        self.limits[call.name] = max(LIMIT, rounding)

    def shown(self, name: str) -> bool:
        """Whether the certificate holds, or none could be made."""
        return bool(np.isnan(self.errors[name]) or self.errors[name] <= self.limits[name])

    def summaries(self) -> dict[str, LayerSummary]:
        """What is kept of the layers that are shown."""
        return {name: found.summary() for name, found in self.found.items() if self.shown(name)}

    def arrays(self, summaries: Mapping[str, LayerSummary]) -> dict[str, np.ndarray]:
        """All that is kept, by name."""
        found: dict[str, np.ndarray] = {}
        for name, summary in summaries.items():
            found.update(pack_layer(name, summary))
            if self._states_of(name) == "kept":
                keeper = self.keepers[name]
                found.update(pack_states(name, keeper.kept(), keeper.states.dtype))
        for (name, head), matrix in self.matrices.items():
            if self.shown(name):
                found[f"{name}/matrix.{head}"] = matrix
        return found

    def _states_of(self, name: str) -> StatesKept:
        if self.asked != "kept":
            return self.asked
        keeper = self.keepers.get(name)
        good = keeper is not None and keeper.error <= EXACT
        return "kept" if good and self.shown(name) else "not_reproduced"

    def layers(self) -> tuple[AttentionLayer, ...]:
        """The layers' entries in the record, in the order in which they ran."""
        return tuple(self._layer(call) for call in self.calls)

    def _layer(self, call: AttentionCall) -> AttentionLayer:
        error = self.errors[call.name]
        keeper = self.keepers.get(call.name)
        return AttentionLayer(
            name=call.name,
            attention=call.kind,
            heads=call.heads,
            queries=call.queries,
            keys=call.keys,
            certificate=None if np.isnan(error) else error,
            limit=self.limits[call.name],
            shown=self.shown(call.name),
            states=self._states_of(call.name),
            states_error=None if keeper is None else keeper.error,
            states_dtype=None if keeper is None else keeper.states.dtype,
            scaling=None if keeper is None else keeper.states.scaling,
            softcap=None if keeper is None else keeper.states.softcap,
        )


class _StatesSink(_Sink):
    """Takes queries and keys too."""

    def states(self, call: AttentionCall, states: LayerStates) -> None:
        """Hold a layer's states until its rows have come."""
        self.keepers[call.name] = StatesRecorder(states)
