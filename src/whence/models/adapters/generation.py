"""What a model writes: ``generate`` under its own settings, without sampling and beams."""

from __future__ import annotations

from typing import Any

import torch

from whence.models.adapters.local_model import first_of

__all__ = ["written"]

PLAIN: dict[str, tuple[Any, ...]] = {
    "repetition_penalty": (1.0,),
    "encoder_repetition_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "bad_words_ids": (),
    "suppress_tokens": (),
    "begin_suppress_tokens": (),
    "sequence_bias": (),
    "exponential_decay_length_penalty": (),
    "guidance_scale": (1.0,),
    "watermarking_config": (),
    "stop_strings": (),
    "max_time": (),
}
"""Settings that change which token is written, with the values under which they do nothing."""


def written(
    module: Any, inputs: dict[str, torch.Tensor], count: int, stops: set[int], tokenizer: Any
) -> tuple[list[int], list[str]]:
    """Tokens that a model writes greedily after given ones, and what a reader must know of how.

    ``generate`` writes them, so that penalties, forbidden and forced tokens are the model's own. Where
    a module has none, or fails in it, the most probable token is taken each time.
    """
    if not _generates(module):
        return _most_probable(module, inputs, count, stops), []
    try:
        return _generated(module, inputs, count, stops, tokenizer), _settings_notes(module)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # settings that contradict each other, or a code of another release
        note = (
            f"generate() failed ({type(error).__name__}: {_short(error)}): the continuation is the "
            "most probable token each time, without the model's generation settings"
        )
        return _most_probable(module, inputs, count, stops), [note]


def _generated(
    module: Any, inputs: dict[str, torch.Tensor], count: int, stops: set[int], tokenizer: Any
) -> list[int]:
    settings = module.generation_config
    # A last token that is forced where the length ends would be ours, as the length is.
    forced_end = getattr(settings, "forced_eos_token_id", None)
    stop_at_text = getattr(settings, "stop_strings", None) is not None
    result = module.generate(
        **inputs,
        max_new_tokens=count + (forced_end is not None),
        do_sample=False,
        num_beams=1,
        num_return_sequences=1,
        return_dict_in_generate=False,
        # Without one, generate() takes the end token and says so in the log.
        pad_token_id=_padding(module, tokenizer, stops),
        eos_token_id=sorted(stops) or None,
        **({"tokenizer": tokenizer} if stop_at_text else {}),
    )
    start = inputs[_grows(inputs)].shape[1]
    return [int(token) for token in result[0, start:]][:count]


def _grows(inputs: dict[str, torch.Tensor]) -> str:
    """The input that what is written is appended to."""
    return "decoder_input_ids" if "decoder_input_ids" in inputs else "input_ids"


def _settings_notes(module: Any) -> list[str]:
    """What a reader must know of the settings under which a continuation was written."""
    settings = module.generation_config
    notes: list[str] = []
    changes = {
        name: value
        for name, plain in PLAIN.items()
        if (value := getattr(settings, name, None)) not in (None, [], {}, *plain)
    }
    if changes:
        listed = ", ".join(f"{name}={_short(value)}" for name, value in changes.items())
        notes.append(
            f"the continuation is written under the model's generation settings ({listed}); scores are "
            "of the model's own probabilities, before these settings change them"
        )
    sampled = bool(getattr(settings, "do_sample", False))
    beams = int(getattr(settings, "num_beams", None) or 1)
    if sampled or beams > 1:
        how = "sample" if sampled else f"search with {beams} beams"
        notes.append(
            f"the model's generation settings {how}; explained is the greedy continuation, which they "
            "need not write"
        )
    return notes


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _generates(module: Any) -> bool:
    able = getattr(module, "can_generate", None)
    return (
        hasattr(module, "generate")
        and getattr(module, "generation_config", None) is not None
        and (able is None or bool(able()))
    )


def _padding(module: Any, tokenizer: Any, stops: set[int]) -> int:
    for source in (module.generation_config, module.config, tokenizer):
        token = getattr(source, "pad_token_id", None)
        if token is not None:
            return int(token)
    return min(stops, default=0)


def _most_probable(
    module: Any, inputs: dict[str, torch.Tensor], count: int, stops: set[int]
) -> list[int]:
    """The most probable next token, ``count`` times or until an end token."""
    name = _grows(inputs)
    tokens: list[int] = []
    while len(tokens) < count and not (tokens and tokens[-1] in stops):
        tail = torch.tensor([tokens], dtype=torch.long, device=inputs[name].device)
        given = {**inputs, name: torch.cat([inputs[name], tail], dim=1)}
        if name == "input_ids":
            given["attention_mask"] = torch.ones_like(given[name])
        logits = first_of(module(**given, use_cache=False), "logits")
        tokens.append(int(logits[0, -1].argmax()))
    return tokens
