"""One captured pass over an input: what it read, what a sink stored of it, what the model decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from whence.attention.common import read_tokens
from whence.attention.effect_target import EffectTarget
from whence.attention.head_ablation import HeadAblation
from whence.attention.head_effects import HeadName
from whence.attention.record_sink import RecordSink, StatesChoice, StatesRecordSink
from whence.attention.size import AttentionSize, Heads, Shapes
from whence.core.attention_record import ReadToken
from whence.core.errors import CapabilityError, OptionError, unknown
from whence.core.explanations import Decision
from whence.core.provenance import MethodSpec, Setting
from whence.models.protocols import Encoding, Input, TokenModel

__all__ = ["KEEP", "SIZE_BUDGET", "Capture", "CaptureOptions", "Keep", "capture"]

SIZE_BUDGET = 512 * 2**20
"""Bytes of queries and keys that ``keep="auto"`` stores at most. Chosen by hand: a file that a laptop
opens; not calibrated."""

Keep = Literal["auto", "states", "summary"]
KEEP: tuple[Keep, ...] = ("auto", "states", "summary")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptureOptions:
    """The options of :func:`~whence.attention.attend.attend` that say what is captured and stored."""

    generate: bool
    heads: Heads | None
    keep: str
    effects: HeadAblation | None
    max_new_tokens: int
    size_budget: int
    row_block: int
    token_budget: int
    flow: bool
    seed: int

    def check(self, model: TokenModel) -> None:
        """Refuse what cannot be done.

        Raises:
            OptionError: an unknown word, or a number below its least value.
            CapabilityError: the model does not generate.
        """
        if self.keep not in KEEP:
            raise unknown("keep", self.keep, KEEP)
        for name in ("max_new_tokens", "row_block", "size_budget", "token_budget"):
            value = getattr(self, name)
            if value < 1:
                raise OptionError(f"expected {name} of 1 or more, got {name}={value}")
        if self.seed < 0:
            raise OptionError(f"expected a seed of 0 or more, got seed={self.seed}")
        if self.generate and model.task not in {"causal", "seq2seq"}:
            raise CapabilityError(
                f"generate=True needs a model that writes: only causal and seq2seq models do, this "
                f"is one for {model.task}"
            )

    def states(self, size: AttentionSize) -> StatesChoice:
        """Whether states are stored."""
        if self.keep == "summary":
            return "not_asked"
        over = self.keep == "auto" and size.states > self.size_budget
        return "over_budget" if over else "kept"

    def settings(self, matrices: Sequence[HeadName], question: EffectTarget) -> dict[str, Setting]:
        """The options as the record states them."""
        target = question.target
        return {
            "generate": self.generate,
            "max_new_tokens": self.max_new_tokens if self.generate else None,
            "heads": ", ".join(f"{layer}:{head}" for layer, head in matrices) or None,
            "keep": self.keep,
            "size_budget": self.size_budget,
            "row_block": self.row_block,
            "effects": None if self.effects is None else str(MethodSpec.of(self.effects)),
            "target": target if target is None or isinstance(target, str | int) else repr(target),
            "link": question.link,
            "flow": self.flow,
        }


class Capture(NamedTuple):
    """One captured pass: ``continuation`` as written, ``read`` as read (without its last token)."""

    encoding: Encoding
    continuation: tuple[int, ...]
    read: tuple[int, ...]
    matrices: tuple[HeadName, ...]
    tokens: tuple[ReadToken, ...]
    decoder: tuple[ReadToken, ...]
    sink: RecordSink
    decision: Decision
    notes: tuple[str, ...]


def capture(
    model: TokenModel,
    source: Input,
    options: CaptureOptions,
    announce: Callable[[AttentionSize], None] | None,
) -> Capture:
    """Capture the attention of one pass over the input, and a continuation where one is written."""
    inner = cast("Any", model)
    encoding = model.encode(source)
    continuation: list[int] = []
    if options.generate:
        continuation = inner.greedy(encoding, options.max_new_tokens)
    # No token is read after the last one written.
    read = continuation[:-1]
    shapes = Shapes(inner, encoding)
    # Before the pass over the text: a head that does not exist has cost two tokens.
    matrices = shapes.resolve(options.heads)
    size = shapes.size(forced=len(read), heads=matrices)
    if announce is not None:
        announce(size)
    states = options.states(size)
    tokens, decoder = read_tokens(model, encoding, read)
    sink_type = StatesRecordSink if states == "kept" else RecordSink
    sink = sink_type(tokens, decoder, matrices, states)
    notes, decision = inner.attention(encoding, sink, forced=read, row_block=options.row_block)
    if decision is None:
        decision = Decision(text=model.decode(continuation))
    return Capture(
        encoding,
        tuple(continuation),
        tuple(read),
        matrices,
        tokens,
        decoder,
        sink,
        decision,
        (*notes, *sink.notes()),
    )
