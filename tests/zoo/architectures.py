"""A tiny random model of every text architecture that transformers maps to a task.

A family's own default configuration is shrunk field by field, by the field's name; a family is named
here only where its fields cannot be shrunk alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from tests.zoo import tokenizers as toks
from transformers.models.auto import modeling_auto

__all__ = ["ROW_TASKS", "Architecture", "architectures", "build", "tokenizer_of"]

ROW_TASKS = {
    "causal": ("MODEL_FOR_CAUSAL_LM",),
    "classification": ("MODEL_FOR_SEQUENCE_CLASSIFICATION",),
    "seq2seq": ("MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM",),
    "embedding": ("MODEL_FOR_TEXT_ENCODING",),
    "multimodal": ("MODEL_FOR_IMAGE_TEXT_TO_TEXT", "MODEL_FOR_MULTIMODAL_LM"),
    "masked": ("MODEL_FOR_MASKED_LM",),
    "token_classification": ("MODEL_FOR_TOKEN_CLASSIFICATION",),
}
LARGEST = 8_000_000
"""Parameters above which a model was not shrunk and is not built: 32 MB."""

_WIDTH, _HEADS, _HEAD, _LAYERS = 32, 4, 8, 2
_DEPTH_FIELDS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "encoder_layers",
    "decoder_layers",
    "num_decoder_layers",
    "num_encoder_layers",
    "depth",
    "num_block_layers",
    "text_layers",
    "num_hidden_layers_encoder",
    "num_self_attends_per_block",
    "num_blocks",
)
_SIZES: dict[str, int] = {
    **dict.fromkeys(
        [
            "hidden_size",
            "d_model",
            "n_embd",
            "dim",
            "emb_dim",
            "model_dim",
            "embed_dim",
            "embedding_size",
            "width",
            "text_hidden_size",
            "out_hidden_size",
            "projection_dim",
            "output_dim",
            "proj_dim",
            "text_embed_dim",
            "hidden_size_per_layer_input",
            "encoder_hidden_size",
            "decoder_hidden_size",
            "attention_hidden_size",
            "lru_width",
            "word_embed_proj_dim",
            "projector_hidden_size",
            "text_dim",
            "vision_output_dim",
            "mamba_hidden_size",
            "vision_hidden_size",
            "connector_hidden_size",
            "audio_hidden_size",
            "input_hidden_size",
            "d_latents",
            "qformer_hidden_size",
        ],
        _WIDTH,
    ),
    **dict.fromkeys(_DEPTH_FIELDS, _LAYERS),
    **dict.fromkeys(
        [
            "num_attention_heads",
            "n_head",
            "n_heads",
            "num_heads",
            "encoder_attention_heads",
            "decoder_attention_heads",
            "num_encoder_attention_heads",
            "num_decoder_attention_heads",
            "vision_heads",
            "num_attention_head",
            "linear_num_value_heads",
        ],
        _HEADS,
    ),
    **dict.fromkeys(
        [
            "num_key_value_heads",
            "num_kv_heads",
            "n_head_kv",
            "num_key_value_head",
            "encoder_num_key_value_heads",
            "decoder_num_key_value_heads",
            "linear_num_key_heads",
            "multi_query_group_num",
            "num_attention_groups",
            "num_query_groups",
            "swa_num_key_value_heads",
        ],
        2,
    ),
    **dict.fromkeys(
        [
            "head_dim",
            "d_kv",
            "attention_head_dim",
            "kv_channels",
            "v_head_dim",
            "qk_nope_head_dim",
            "qk_rope_head_dim",
            "linear_key_head_dim",
            "linear_value_head_dim",
            "mamba_head_dim",
            "mamba_d_head",
            "global_head_dim",
            "index_head_dim",
            "swa_v_head_dim",
        ],
        _HEAD,
    ),
    **dict.fromkeys(["rotary_dim", "rotary_ndims"], 4),
    **dict.fromkeys(
        [
            "intermediate_size",
            "d_ff",
            "ffn_dim",
            "encoder_ffn_dim",
            "decoder_ffn_dim",
            "n_inner",
            "inner_dim",
            "ffn_hidden_size",
            "hidden_dim",
            "mlp_dim",
            "decoder_intermediate_size",
            "d_inner",
            "mlp_hidden_size",
            "pooler_num_hidden_size",
            "dense_intermediate_size",
            "intermediate_size_mlp",
            "ffn_size",
            "dff",
            "encoder_intermediate_size",
            "block_ffn_adjust_dims",
            "mlp_intermediate_size",
        ],
        48,
    ),
    **dict.fromkeys(
        [
            "moe_intermediate_size",
            "expert_intermediate_size",
            "shared_expert_intermediate_size",
            "moe_shared_expert_intermediate_size",
            "shared_intermediate_size",
            "expert_ffn_hidden_size",
            "moe_ffn_hidden_size",
            "q_lora_rank",
            "kv_lora_rank",
            "index_hidden_size",
            "o_lora_rank",
            "moe_latent_size",
            "moe_hidden_size",
            "qk_lora_rank",
            "decay_low_rank_dim",
            "gate_low_rank_dim",
            "a_low_rank_dim",
            "v_low_rank_dim",
        ],
        16,
    ),
    **dict.fromkeys(
        [
            "num_experts",
            "num_local_experts",
            "n_routed_experts",
            "moe_num_experts",
            "num_moe_experts",
            "n_routed_expert",
            "num_routed_experts",
            "moe_n_experts",
        ],
        4,
    ),
    **dict.fromkeys(
        [
            "num_experts_per_tok",
            "num_experts_per_token",
            "moe_top_k",
            "moe_topk",
            "moe_k",
            "top_k_experts",
            "expert_num_per_tok",
            "num_selected_experts",
            "experts_per_token",
            "top_k",
        ],
        2,
    ),
    **dict.fromkeys(
        [
            "n_group",
            "topk_group",
            "n_groups",
            "num_shared_experts",
            "n_shared_experts",
            "moe_num_shared_experts",
            "mamba_n_groups",
            "first_k_dense_replace",
        ],
        1,
    ),
    **dict.fromkeys(["state_size", "mamba_d_state", "ssm_state_size", "mamba_state_dim"], 8),
    **dict.fromkeys(["mamba_n_heads", "mamba_num_heads"], 8),
    **dict.fromkeys(
        [
            "max_position_embeddings",
            "n_positions",
            "max_seq_len",
            "max_source_positions",
            "max_target_positions",
            "max_encoder_position_embeddings",
            "max_decoder_position_embeddings",
            "seq_length",
            "max_sequence_length",
            "n_ctx",
            "max_seq_length",
        ],
        160,
    ),
    **dict.fromkeys(["image_size", "input_size", "img_size"], 32),
    **dict.fromkeys(["patch_size", "spatial_patch_size"], 16),
    "linear_head_dim": _HEAD,
    "linear_num_heads": _HEADS,
    "model_max_length": 160,
    "qk_head_dim": 2 * _HEAD,
    "swa_head_dim": 2 * _HEAD,
    "codebook_size": 16,
    "num_labels": 3,
    "type_vocab_size": 2,
    "index_topk": 64,
    "chunk_size": 4,
    "mamba_chunk_size": 4,
    "num_embeddings": 16,
    "hidden_size_per_head": _HEAD,
    "vocab_size_per_layer_input": 64,
    "num_queries": 4,
    "query_length": 4,
    "num_latents": 8,
    "dt_rank": 4,
    "time_step_rank": 4,
    "mamba_dt_rank": 4,
}
_SCALES = {"initializer_range": 0.25, "init_std": 0.25, "initializer_factor": 1.0, "std": 0.25}
_DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth")
_SAME_LENGTH = re.compile(r"layer_types|layers_block_type|layers_types|block_types|layer_type$")
_TOKEN = re.compile(r"_token_(id|index)$|^(image|video|audio)_token$")


@dataclass(frozen=True)
class Architecture:
    """A class of transformers, and the list of transformers that names it."""

    row: str
    kind: str
    model_type: str

    @property
    def key(self) -> str:
        return f"{self.row}/{self.kind}"


def architectures() -> list[Architecture]:
    """Every class once, under the first task that names it."""
    rows: dict[str, Architecture] = {}

    def add(row: str, kind: Any, model_type: str) -> None:
        for name in (kind,) if isinstance(kind, str) else kind:
            if name not in rows and hasattr(transformers, name):
                rows[name] = Architecture(row, name, model_type)

    for row, lists in ROW_TASKS.items():
        for name in lists:
            for model_type, kind in getattr(modeling_auto, f"{name}_MAPPING_NAMES").items():
                add(row, kind, model_type)

    # A model without a head is an embedder where the family has a head that reads whole texts.
    def named(name: str) -> dict[str, Any]:
        return getattr(modeling_auto, f"MODEL_FOR_{name}_MAPPING_NAMES")

    texts = {*named("MASKED_LM"), *named("SEQUENCE_CLASSIFICATION")} - {*named("CAUSAL_LM")}
    for model_type, kind in modeling_auto.MODEL_MAPPING_NAMES.items():
        if model_type in texts | {*named("SEQ_TO_SEQ_CAUSAL_LM")}:
            add("embedding", kind, model_type)
    return list(rows.values())


def tokenizer_of(row: str) -> Any:
    """A tokenizer of the kind that the task's models have."""
    return toks.whole_words(end=row not in ("causal", "multimodal"))


def build(architecture: Architecture) -> tuple[Any, Any]:
    """A module of random weights, and its tokenizer.

    Raises:
        ValueError: the configuration could not be shrunk.
    """
    if architecture.kind in _NOT_ASKED:
        raise ValueError(_NOT_ASKED[architecture.kind])
    tokenizer = tokenizer_of(architecture.row)
    kind = getattr(transformers, architecture.kind)
    config = _tiny_config(kind.config_class, tokenizer)
    if hasattr(config, "is_decoder") and architecture.row == "causal":
        config.is_decoder = True
    if architecture.row in ("classification", "token_classification"):
        config.num_labels = 3
    if architecture.kind.endswith("EncoderModel"):
        config.is_encoder_decoder = False
    if getattr(config, "is_encoder_decoder", False):
        config.decoder_start_token_id = tokenizer.eos_token_id
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in kind(config).parameters())
    if size > LARGEST:
        raise ValueError(f"{size:,} parameters: a field of the configuration was not shrunk")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = kind(config).float().eval()
        with torch.no_grad():
            for parameter in module.parameters():
                # Norms, biases and gates start as constants, which would hide mistakes about them;
                # a few tables are made without being filled.
                if not parameter.numel():
                    continue
                broken = not bool(torch.isfinite(parameter).all()) or parameter.abs().max() > 1e3
                if broken:
                    parameter.zero_()
                if parameter.dim() == 1 or broken or not bool(parameter.any()):
                    parameter.add_(0.1 * torch.randn_like(parameter))
    return module, tokenizer


def _tiny_config(kind: Any, tokenizer: Any) -> Any:
    default = kind()
    data = default.to_dict()
    shrunk = _shrunk(data, tokenizer)
    shrunk.pop("transformers_version", None)
    return kind.from_dict(shrunk)


_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_DRAFTS = "it drafts for another model: it reads that model's states and keys, and no token ids"
_SPEAKS = "it has no forward pass: its parts run in generate() alone, and its thinker has a row of its own"
_NOT_ASKED = {
    "Gemma4AssistantForCausalLM": _DRAFTS,
    "Gemma4UnifiedAssistantForCausalLM": _DRAFTS,
    "Qwen2_5OmniForConditionalGeneration": _SPEAKS,
    "Qwen3OmniMoeForConditionalGeneration": _SPEAKS,
}
"""Classes that answer no text, and why."""
_MROPE = {**_ROPE, "mrope_section": [2, 1, 1]}
_OWN: dict[str, dict[str, Any]] = {
    "apertus1p5_vision_tokenizer": {
        "base_channels": 32,
        "latent_channels": 32,
        "channel_multiplier": [1, 1],
    },
    "apertus1p5": {"image_token_offset": 32, "audio_token_offset": 48},
    "bailing_hybrid": {"num_expert_group": 2},
    "bamba": {"attn_layer_indices": [1]},
    "blt": {"encoder_hash_byte_group_vocab": 64},
    "blt_local_encoder": {"hidden_size_global": _WIDTH},
    "blt_local_decoder": {"hidden_size_global": _WIDTH},
    "cohere_compass_text": {
        "rope_parameters": dict.fromkeys(("full_attention", "sliding_attention"), _ROPE)
    },
    "chameleon": {"vocabulary_map": {"<image>": 70, "IMGIMGAZ": 71}},
    "chameleon_vqgan": {"base_channels": 32, "latent_channels": 32, "channel_multiplier": [1, 1]},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"hidden_size": _WIDTH},
    },
    "deepseek_ocr2_encoder": {"num_key_value_heads": _HEADS},
    "deepseek_ocr2_text": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "diffusion_gemma_text": {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 16},
    "dots3_note_vision_encoder": {"adapter_in_dim": _WIDTH, "adapter_out_dim": _WIDTH},
    "dots3_note_audio_encoder": {"adapter_input_size": _WIDTH, "adapter_output_size": _WIDTH},
    # It lists attention and feed-forward blocks one by one, and halves what it counts.
    "dory": {
        "layer_types": ["sliding_attention", "mlp", "full_attention", "mlp"] * 3,
        "num_hidden_layers": 12,
        "n_input_layers": 4,
        "n_recurrent_layers": 4,
        "n_output_layers": 4,
    },
    "dots3_note_text": {
        "layer_types": ["indexed_attention", "sliding_attention"],
        "mlp_layer_types": ["dense", "sparse"],
        "per_layer_config": {},
        "num_key_value_heads": _HEADS,
        "head_dim": 2 * _HEAD,
        "index_n_heads": 2,
    },
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "emu3": {"vocabulary_map": {"<image>": 70, "<|extra_200|>": 71, "<|visual token 000000|>": 72}},
    "emu3_vqgan": {"base_channels": 32, "channel_multiplier": [1, 1], "attn_resolutions": [1]},
    "ernie4_5_vl_moe_text": {
        "rope_parameters": {**_ROPE, "mrope_section": [1, 1, 2]},
        "moe_intermediate_size": [16, 16],
        "moe_k": 2,
    },
    "esmc": {"num_key_value_heads": _HEADS},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_d_head": _HEAD},
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": _WIDTH // 4}},
    "funnel": {"block_sizes": [1, 1], "block_repeats": [1, 1], "d_head": _HEAD},
    "florence_vision": {"embed_dim": [8, 16, 32, 32], "num_heads": [1, 2, 4, 4]},
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 2,
        "intermediate_size": [48] * 4,
        "activation_sparsity_pattern": [0.0] * 4,
        "laurel_rank": 8,
        "vocab_size_per_layer_input": 64,
    },
    "glm5_next_text": {"num_key_value_heads": _HEADS},
    **{
        kind: {
            "rope_parameters": {**_ROPE, "partial_rotary_factor": 1.0, "mrope_section": [2, 1, 1]}
        }
        for kind in ("glm4v_text", "glm4v_moe_text", "glm46v_text", "glm_ocr_text")
    },
    **{
        kind: {"rope_parameters": _MROPE}
        for kind in ("qwen2_vl_text", "qwen2_5_vl_text", "paddleocr_vl_text", "qwen2_5_omni_text")
    },
    **{
        kind: {"vision_start_token_id": 70}
        for kind in ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker")
    },
    "gpt_neo": {
        "attention_types": [[["global", "local"], 1]],
        "attention_layers": ["global", "local"],
    },
    "gemma3n": {"audio_config": None, "vision_config": None},
    "granite4_vision": {
        "downsample_rate": "1/2",
        "vision_config": {"hidden_size": 64},
        "qformer_config": {"hidden_size": 64, "encoder_hidden_size": 64},
        "deepstack_layer_map": [[0, 0], [1, 1]],
    },
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    # Blocks of each stack, which run in two cycles of three and one.
    "hrm_text": {"num_layers_per_stack": 2, "num_hidden_layers": 16},
    "hunyuan_vl_text": {"rope_parameters": {**_ROPE, "mrope_section": [1, 1, 1, 1]}},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2},
    "janus_vqgan": {"base_channels": 32, "latent_channels": 32},
    "layoutlmv3": {"coordinate_size": 4, "shape_size": 8},
    "led": {"max_encoder_position_embeddings": 160, "attention_window": [4, 4]},
    "lilt": {"channel_shrink_ratio": 4, "hidden_size": 48},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "llama4_vision_model": {
        "projector_input_dim": _WIDTH,
        "projector_output_dim": _WIDTH,
        "vision_output_dim": _WIDTH,
        "intermediate_size": 128,
    },
    "mistral4": {"head_dim": 2 * _HEAD},
    "mimi": {
        "upsample_groups": _WIDTH,
        "num_filters": 4,
        "vector_quantization_hidden_dimension": 16,
        "codebook_dim": 16,
    },
    # Without norms of their own its states grow from layer to layer.
    "mobilebert": {"initializer_range": 0.1},
    "molmo2": {"adapter_config": {"vision_feature_layer": [1, 0]}},
    **{kind: {"pooler_hidden_size": _WIDTH} for kind in ("deberta", "deberta-v2")},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "neomme": {"rope_parameters": {"full_attention": {**_ROPE, "partial_rotary_factor": 0.5}}},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 64,
        "indexer_compress_ratio": 4,
    },
    "reformer": {
        "axial_pos_embds_dim": [16, 16],
        "axial_pos_shape": [8, 20],
        "attn_layers": ["local", "lsh"],
        "local_attn_chunk_length": 4,
        "lsh_attn_chunk_length": 4,
    },
    # Its parts that speak: they read no text.
    **{
        kind: {
            "upsample_initial_channel": 32,
            "unit_embed_dim": 16,
            "lang_embed_dim": 8,
            "spkr_embed_dim": 8,
            **dict.fromkeys(("t2u_encoder_ffn_dim", "t2u_decoder_ffn_dim"), 48),
            **dict.fromkeys(
                ("t2u_encoder_layers", "t2u_decoder_layers", "speech_encoder_layers"), 1
            ),
            "speech_encoder_intermediate_size": 48,
        }
        for kind in ("seamless_m4t", "seamless_m4t_v2")
    },
    "step3p5": {"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]},
    "vibevoice_acoustic_tokenizer_encoder": {
        "num_filters": 2,
        "depths": [1, 1],
        "downsampling_ratios": [2],
    },
    "xlstm": {"embedding_dim": _WIDTH},
    "wavtokenizer_encoder": {"codebook_dim": _WIDTH, "num_filters": 4},
    "xlnet": {"d_head": _HEAD},
    "xmod": {"default_language": "en_XX"},
    "zamba2": {
        "hybrid_layer_ids": [1],
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "mamba_headdim": 8,
        "n_mamba_heads": 8,
    },
    "zamba": {
        "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
        "num_hidden_layers": 4,
        "attention_head_dim": 16,
        "attention_hidden_size": 64,
    },
    "zaya": {"num_experts_per_tok": 1},
}
"""Fields by model type that the names alone do not tell."""


def _shrunk(data: dict[Any, Any], tokenizer: Any) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in data):
        return {key: _field("", value, tokenizer) for key, value in data.items()}
    # id2label has numbers for keys.
    named = {key: value for key, value in data.items() if key not in ("id2label", "label2id")}
    result = {key: _field(key, value, tokenizer) for key, value in named.items()}
    layers = max(
        (len(v) for k, v in result.items() if isinstance(v, list) and _SAME_LENGTH.search(k)),
        default=None,
    )
    if layers is not None:
        for key in result:
            if key in _DEPTH_FIELDS and isinstance(data[key], int):
                result[key] = layers
            if isinstance(result[key], list) and _SAME_LENGTH.search(key):
                kinds = result[key]
                result[key] = [kinds[i % len(kinds)] for i in range(layers)]
    if "num_attention_heads" in data and data["num_attention_heads"] == data.get(
        "num_key_value_heads"
    ):
        result["num_key_value_heads"] = result.get("num_attention_heads")
    depths = {value for key, value in data.items() if key in _DEPTHS}
    count = next((result[key] for key in _DEPTHS if isinstance(result.get(key), int)), _LAYERS)
    for key, value in data.items():
        if key == "per_layer_config" and value:
            result[key] = {k: v for k, v in result[key].items() if int(k) < count}
        elif isinstance(value, list) and len(value) in depths and not _SAME_LENGTH.search(key):
            size = _SIZES.get(key.removesuffix("_per_layer"))
            result[key] = [size or each for each in value[:count]]
    for key, value in _OWN.get(data.get("model_type", ""), {}).items():
        inside = isinstance(value, dict) and isinstance(result.get(key), dict) and "rope" not in key
        result[key] = {**result[key], **value} if inside else value
    special = [k for k in result if _TOKEN.search(k) and isinstance(result[k], int)]
    text = {"pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"}
    for place, key in enumerate(sorted(set(special) - text)):
        # Of a modality that the text does not hold: an id that no word of the test has.
        result[key] = len(tokenizer) - 1 - place
    return result


def _field(key: str, value: Any, tokenizer: Any) -> Any:
    if isinstance(value, dict):
        if key in ("rope_parameters", "rope_scaling"):
            return _rope(value)
        return _shrunk(value, tokenizer)
    if key == "vocab_size" or (key.endswith("_vocab_size") and key != "type_vocab_size"):
        return len(tokenizer)
    if key in ("pad_token_id", "bos_token_id", "eos_token_id"):
        token = getattr(tokenizer, key)
        return tokenizer.eos_token_id if token is None else token
    if key == "decoder_start_token_id":
        return tokenizer.eos_token_id
    if key in ("forced_bos_token_id", "forced_eos_token_id"):
        return None
    if key in _SCALES and isinstance(value, float | int):
        return _SCALES[key]
    if isinstance(value, list) and _SAME_LENGTH.search(key) and value:
        return list(dict.fromkeys(value)) * (1 if len(set(value)) > 1 else _LAYERS)
    if key in ("head_dim", "num_key_value_heads") and value is None:
        return _SIZES[key] if key == "head_dim" else _HEADS
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if key in _SIZES and not isinstance(value, list):
        return min(value, _SIZES[key]) if value > 0 else value
    return value


def _rope(rope: dict[str, Any]) -> dict[str, Any]:
    result = dict(rope)
    for key, value in rope.items():
        if isinstance(value, dict):
            result[key] = _rope(value)
        elif key == "mrope_section":
            result[key] = [2, 1, 1][: len(value)]
        elif key in ("short_factor", "long_factor"):
            result[key] = [1.0] * (_HEAD // 2)
    return result
