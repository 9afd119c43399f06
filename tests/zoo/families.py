"""Tiny models of every family, built from their configuration: no file, no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import transformers
from tests.zoo import tokenizers as toks

LABELS = {0: "low", 1: "middle", 2: "high"}
SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "initializer_range": 0.25,
}


@dataclass(frozen=True)
class Tiny:
    """A model with its tokenizer, and what it is."""

    name: str
    task: str
    module: Any
    tokenizer: Any

    @property
    def pair(self) -> tuple[Any, Any]:
        return self.module, self.tokenizer


def _common(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _build(kind: str, config: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = getattr(transformers, kind)(config)
        with torch.no_grad():
            # Norms and biases start as constants, which would hide mistakes about them.
            for parameter in module.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def _labelled(name: str, kind: str, config: Any, tokenizer: Any) -> Tiny:
    return Tiny(name, "classification", _build(kind, config), tokenizer)


def _encoder(name: str, config_kind: str, kind: str, tokenizer: Any, **more: Any) -> Tiny:
    settings = {**SIZE, **_common(tokenizer), "id2label": LABELS, **more}
    config = getattr(transformers, config_kind)(**settings)
    return _labelled(name, kind, config, tokenizer)


def bert(name: str = "bert", **more: Any) -> Tiny:
    return _encoder(name, "BertConfig", "BertForSequenceClassification", toks.wordpiece(), **more)


def roberta() -> Tiny:
    return _encoder(
        "roberta",
        "RobertaConfig",
        "RobertaForSequenceClassification",
        toks.byte_bpe_roberta(),
        max_position_embeddings=130,
    )


def distilbert() -> Tiny:
    tokenizer = toks.wordpiece()
    config = transformers.DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
        max_position_embeddings=128,
        initializer_range=0.25,
        id2label=LABELS,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _labelled("distilbert", "DistilBertForSequenceClassification", config, tokenizer)


def modernbert() -> Tiny:
    tokenizer = toks.wordpiece()
    return _encoder(
        "modernbert",
        "ModernBertConfig",
        "ModernBertForSequenceClassification",
        tokenizer,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        local_attention=16,
    )


def deberta() -> Tiny:
    return _encoder(
        "deberta-v2",
        "DebertaV2Config",
        "DebertaV2ForSequenceClassification",
        toks.wordpiece(),
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_buckets=16,
        type_vocab_size=0,
    )


def _causal(name: str, config_kind: str, kind: str, tokenizer: Any, **more: Any) -> Tiny:
    settings = {
        **SIZE,
        **_common(tokenizer),
        "num_key_value_heads": 2,
        "head_dim": 8,
        **more,
    }
    config = getattr(transformers, config_kind)(**settings)
    return Tiny(name, "causal", _build(kind, config), tokenizer)


def gpt2() -> Tiny:
    tokenizer = toks.byte_bpe()
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=128,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.25,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Tiny("gpt2", "causal", _build("GPT2LMHeadModel", config), tokenizer)


def llama() -> Tiny:
    return _causal("llama", "LlamaConfig", "LlamaForCausalLM", toks.bpe())


def qwen3() -> Tiny:
    return _causal("qwen3", "Qwen3Config", "Qwen3ForCausalLM", toks.chat_bpe())


def gemma3() -> Tiny:
    return _causal(
        "gemma3",
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        toks.bpe(),
        sliding_window=8,
        query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "full_attention"],
    )


def mistral() -> Tiny:
    return _causal("mistral", "MistralConfig", "MistralForCausalLM", toks.bpe(), sliding_window=8)


def mixtral() -> Tiny:
    return _causal(
        "mixtral",
        "MixtralConfig",
        "MixtralForCausalLM",
        toks.bpe(),
        num_local_experts=4,
        num_experts_per_tok=2,
    )


def t5() -> Tiny:
    tokenizer = toks.unigram()
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        initializer_factor=1.0,
        decoder_start_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    return Tiny("t5", "seq2seq", _build("T5ForConditionalGeneration", config), tokenizer)


def bart() -> Tiny:
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
        forced_eos_token_id=None,
        scale_embedding=True,
    )
    return Tiny("bart", "seq2seq", _build("BartForConditionalGeneration", config), tokenizer)


def multi_label() -> Tiny:
    return bert("multi-label", problem_type="multi_label_classification")


def reward() -> Tiny:
    return bert("reward", id2label={0: "reward"})


def llama_classifier() -> Tiny:
    tokenizer = toks.bpe()
    settings = {**SIZE, **_common(tokenizer), "num_key_value_heads": 2, "id2label": LABELS}
    config = transformers.LlamaConfig(**settings)
    return _labelled("llama-classifier", "LlamaForSequenceClassification", config, tokenizer)


def embedder() -> Tiny:
    tokenizer = toks.wordpiece()
    config = transformers.BertConfig(**{**SIZE, **_common(tokenizer)})
    return Tiny("embedder", "embedding", _build("BertModel", config), tokenizer)


def t5_encoder() -> Tiny:
    whole = t5()
    return Tiny(
        "t5-encoder", "embedding", _build("T5EncoderModel", whole.module.config), whole.tokenizer
    )


def gpt2_embedder() -> Tiny:
    whole = gpt2()
    return Tiny(
        "gpt2-embedder", "embedding", _build("GPT2Model", whole.module.config), whole.tokenizer
    )


TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def tagger(kind: str = "Bert", **more: Any) -> Tiny:
    """A labeller of tokens."""
    tokenizer = toks.wordpiece() if kind == "Bert" else toks.byte_bpe_roberta()
    settings = {**SIZE, **_common(tokenizer), "id2label": dict(enumerate(TAGS)), **more}
    config = getattr(transformers, f"{kind}Config")(**settings)
    module = _build(f"{kind}ForTokenClassification", config)
    return Tiny(f"{kind} tagger", "token_classification", module, tokenizer)


def masked(kind: str = "Bert") -> Tiny:
    """A masked language model."""
    tokenizer = toks.wordpiece() if kind == "Bert" else toks.byte_bpe_roberta()
    config = getattr(transformers, f"{kind}Config")(**{**SIZE, **_common(tokenizer)})
    module = _build(f"{kind}ForMaskedLM", config)
    return Tiny(f"{kind} masked", "masked_lm", module, tokenizer)


FAMILIES: dict[str, Callable[[], Tiny]] = {
    "bert": cache(bert),
    "roberta": cache(roberta),
    "distilbert": cache(distilbert),
    "modernbert": cache(modernbert),
    "deberta-v2": cache(deberta),
    "gpt2": cache(gpt2),
    "llama": cache(llama),
    "qwen3": cache(qwen3),
    "gemma3": cache(gemma3),
    "mistral": cache(mistral),
    "mixtral": cache(mixtral),
    "t5": cache(t5),
    "bart": cache(bart),
}
"""The families the conformance battery runs over."""

VARIANTS: dict[str, Callable[[], Tiny]] = {
    "multi-label": cache(multi_label),
    "reward": cache(reward),
    "llama-classifier": cache(llama_classifier),
    "embedder": cache(embedder),
}

EMBEDDERS: dict[str, Callable[[], Tiny]] = {
    "embedder": VARIANTS["embedder"],
    "t5-encoder": cache(t5_encoder),
    "gpt2-embedder": cache(gpt2_embedder),
}


TAGGERS = {kind: cache(lambda kind=kind: tagger(kind)) for kind in ("Bert", "Roberta")}
MASKED = {kind: cache(lambda kind=kind: masked(kind)) for kind in ("Bert", "Roberta")}


def save(tiny: Tiny, folder: Any) -> None:
    """Write model and tokenizer as a Hugging Face folder."""
    tiny.module.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
