"""Tiny models that answer otherwise as soon as they are not asked one row at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import transformers
from tests.zoo import tokenizers as toks
from tests.zoo.families import LABELS, Tiny, _build, _causal, _encoder, _labelled


def fnet() -> Tiny:
    """Mixes all places by a Fourier transform, those of padding too."""
    return _encoder("fnet", "FNetConfig", "FNetForSequenceClassification", toks.wordpiece())


def xlnet() -> Tiny:
    """Classifies at its last place, which in a batch is padding."""
    tokenizer = toks.wordpiece()
    config = transformers.XLNetConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        n_layer=2,
        n_head=4,
        d_inner=48,
        id2label=LABELS,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.25,
    )
    return _labelled("xlnet", "XLNetForSequenceClassification", config, tokenizer)


def esm() -> Tiny:
    """Scales its embeddings by the share of masked ids."""
    tokenizer = toks.wordpiece()
    return _encoder(
        "esm",
        "EsmConfig",
        "EsmForSequenceClassification",
        tokenizer,
        mask_token_id=tokenizer.mask_token_id,
        token_dropout=True,
        position_embedding_type="rotary",
    )


def gemma3n() -> Tiny:
    """Reads ids through a table of each layer beside its embeddings."""
    tokenizer = toks.bpe()
    return _causal(
        "gemma3n",
        "Gemma3nTextConfig",
        "Gemma3nForCausalLM",
        tokenizer,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
        hidden_size_per_layer_input=8,
        vocab_size_per_layer_input=len(tokenizer),
        num_kv_shared_layers=0,
        laurel_rank=4,
        altup_num_inputs=2,
        activation_sparsity_pattern=[0.0, 0.0],
    )


def hrm() -> Tiny:
    """Runs part of its cycles without gradients, in evaluation too."""
    return _causal("hrm", "HrmTextConfig", "HrmTextForCausalLM", toks.bpe())


def minimax() -> Tiny:
    """Has a cache of its own class, half of it a running state."""
    return _causal(
        "minimax",
        "MiniMaxConfig",
        "MiniMaxForCausalLM",
        toks.bpe(),
        num_local_experts=2,
        layer_types=["linear_attention", "full_attention"],
        block_size=8,
    )


def nllb_moe() -> Tiny:
    """Its experts have room for a share of a batch's tokens, so rows push each other out."""
    tokenizer = toks.byte_bpe_roberta()
    config = transformers.NllbMoeConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        num_experts=4,
        expert_capacity=2,
        encoder_sparse_step=1,
        decoder_sparse_step=1,
        max_position_embeddings=128,
        init_std=0.25,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        moe_eval_capacity_token_fraction=0.2,
        second_expert_policy="all",
    )
    return Tiny("nllb-moe", "seq2seq", _build("NllbMoeForConditionalGeneration", config), tokenizer)


def gpt2_classifier() -> Tiny:
    """Its padding token is its end token, which it skips when it looks for the last token."""
    tokenizer = toks.byte_bpe()
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=128,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.25,
        pad_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        id2label=LABELS,
    )
    return _labelled("gpt2-classifier", "GPT2ForSequenceClassification", config, tokenizer)


def bart_classifier() -> Tiny:
    """Reads its text with an encoder and once more with a decoder."""
    tokenizer = toks.byte_bpe_roberta()
    config = transformers.BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=128,
        init_std=0.25,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        id2label=LABELS,
        scale_embedding=True,
    )
    return _labelled("bart-classifier", "BartForSequenceClassification", config, tokenizer)


def t5_classifier() -> Tiny:
    """The same with two stacks that share one table under three names."""
    tokenizer = toks.unigram()
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        initializer_factor=1.0,
        decoder_start_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        id2label=LABELS,
    )
    return _labelled("t5-classifier", "T5ForSequenceClassification", config, tokenizer)


def longformer() -> Tiny:
    """Pads its rows itself, to a multiple of its window."""
    tokenizer = toks.byte_bpe_roberta()
    return _encoder(
        "longformer",
        "LongformerConfig",
        "LongformerForSequenceClassification",
        tokenizer,
        max_position_embeddings=130,
        sep_token_id=tokenizer.sep_token_id,
        attention_window=8,
    )


ODD: dict[str, Callable[[], Tiny]] = {
    "fnet": cache(fnet),
    "xlnet": cache(xlnet),
    "esm": cache(esm),
    "gemma3n": cache(gemma3n),
    "hrm": cache(hrm),
    "minimax": cache(minimax),
    "nllb-moe": cache(nllb_moe),
    "gpt2-classifier": cache(gpt2_classifier),
    "bart-classifier": cache(bart_classifier),
    "t5-classifier": cache(t5_classifier),
    "longformer": cache(longformer),
}
"""Families outside the conformance battery: each broke a shortcut or a gradient."""
