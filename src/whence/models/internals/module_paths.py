"""What a module's path says of where it stands: in which stack, and in which block of it."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["innermost_block", "outermost_block", "stack_of"]


def outermost_block(name: str) -> str:
    """The path up to the first number; empty where there is none.

    Example:
        >>> outermost_block("encoder.block.1.layer.0.SelfAttention")
        'encoder.block.1'
    """
    parts = name.split(".")
    return ".".join(parts[: next(_numbers(parts), -1) + 1])


def innermost_block(name: str) -> str:
    """The path up to the last number; empty where there is none.

    In T5 an attention layer and a feed-forward layer share the outermost block and have innermost
    ones of their own.

    Example:
        >>> innermost_block("encoder.block.1.layer.0.SelfAttention")
        'encoder.block.1.layer.0'
    """
    parts = name.split(".")
    return ".".join(parts[: max(_numbers(parts), default=-1) + 1])


def stack_of(name: str) -> str:
    """The stack of blocks: the path before the first number.

    Example:
        >>> stack_of("decoder.block.1.layer.0.SelfAttention")
        'decoder.block'
    """
    parts = name.split(".")
    return ".".join(parts[: next(_numbers(parts), len(parts))])


def _numbers(parts: list[str]) -> Iterator[int]:
    return (index for index, part in enumerate(parts) if part.isdigit())
