"""Models looked at across depth, texts of equal token length, and three of them by hand.

The by-hand forward passes are written from the papers' equations in float64, with the weights
read by name: GPT-2 (Radford et al. 2019), LLaMA (Touvron et al. 2023, arXiv:2302.13971; rotary
positions arXiv:2104.09864, grouped queries arXiv:2305.13245) and BERT (arXiv:1810.04805).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import transformers
from tests.zoo import tokenizers as toks
from tests.zoo.families import FAMILIES, LABELS, SIZE, Tiny, _build, _causal, _common

import whence

CLEAN = "He denies chest pain on day c but reports a cough."
OTHER = "He denies chest pain on day d but reports a cough."


def gemma2() -> Tiny:
    return _causal(
        "gemma2",
        "Gemma2Config",
        "Gemma2ForCausalLM",
        toks.bpe(),
        sliding_window=8,
        query_pre_attn_scalar=8,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
    )


def gpt_oss() -> Tiny:
    return _causal(
        "gpt-oss",
        "GptOssConfig",
        "GptOssForCausalLM",
        toks.bpe(),
        sliding_window=8,
        num_local_experts=4,
        num_experts_per_tok=2,
    )


def albert() -> Tiny:
    """Its layers share their weights: one block that runs twice."""
    tokenizer = toks.wordpiece()
    settings = {**SIZE, **_common(tokenizer), "embedding_size": 16, "id2label": LABELS}
    config = transformers.AlbertConfig(**settings)
    module = _build("AlbertForSequenceClassification", config)
    return Tiny("albert", "classification", module, tokenizer)


ACROSS = {**FAMILIES, "gemma2": cache(gemma2), "gpt-oss": cache(gpt_oss)}


@cache
def loaded(name):
    return whence.load(ACROSS[name]().pair)


def target_of(model):
    """A continuation that the model need not write first, or the predicted label."""
    return whence.Continuation(text=" a b") if model.task in ("causal", "seq2seq") else None


class ByHand:
    """A model by its equations: states after each block, and its logits from the last of them.

    ``change(layer, state)`` stands after each block, ``heads(layer, outputs)`` before each output
    projection; what they return is gone on with.
    """

    def __init__(self, name):
        module = ACROSS[name]().module
        self.name = name
        self.config = module.config
        self.w = {key: value.double() for key, value in module.state_dict().items()}

    def run(self, ids, change=None, heads=None):
        change = change or (lambda layer, state: state)
        heads = heads or (lambda layer, outputs: outputs)
        with torch.inference_mode():
            states = self._states(torch.tensor(np.asarray(ids)), change, heads)
            return states, self.tail(states[-1])

    def _states(self, ids, change, heads):
        x = self._embed(ids)
        states = []
        for layer in range(2):
            x = change(layer, getattr(self, f"_{self.name}")(layer, x, heads))
            states.append(x)
        return states

    def _embed(self, ids):
        n = len(ids)
        if self.name == "gpt2":
            return self.w["transformer.wte.weight"][ids] + self.w["transformer.wpe.weight"][:n]
        if self.name == "llama":
            return self.w["model.embed_tokens.weight"][ids]
        root = "bert.embeddings"
        x = self.w[f"{root}.word_embeddings.weight"][ids]
        x = x + self.w[f"{root}.position_embeddings.weight"][:n]
        return self._norm(
            f"{root}.LayerNorm", x + self.w[f"{root}.token_type_embeddings.weight"][0]
        )

    def tail(self, x):
        """Everything behind the last block, by name."""
        if self.name == "gpt2":
            return self._norm("transformer.ln_f", x) @ self.w["lm_head.weight"].T
        if self.name == "llama":
            return self._rms("model.norm", x) @ self.w["lm_head.weight"].T
        pooled = torch.tanh(self._linear("bert.pooler.dense", x[0]))
        return self._linear("classifier", pooled)[None]

    def _linear(self, name, x):
        bias = self.w.get(f"{name}.bias")
        return x @ self.w[f"{name}.weight"].T + (0 if bias is None else bias)

    def _norm(self, name, x):
        small = getattr(self.config, "layer_norm_eps", None) or self.config.layer_norm_epsilon
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + small).sqrt()
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def _rms(self, name, x):
        scale = (x.square().mean(-1, keepdim=True) + self.config.rms_norm_eps).sqrt()
        return x / scale * self.w[f"{name}.weight"]

    @staticmethod
    def _attend(q, k, v, causal):
        scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1])
        if causal:
            later = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        return torch.einsum("hqk,khd->qhd", torch.softmax(scores, -1), v)

    def _gpt2(self, layer, x, heads):
        root, n = f"transformer.h.{layer}", len(x)
        normed = self._norm(f"{root}.ln_1", x)
        joint = normed @ self.w[f"{root}.attn.c_attn.weight"] + self.w[f"{root}.attn.c_attn.bias"]
        q, k, v = (part.view(n, 4, 8) for part in joint.split(32, dim=-1))
        z = heads(layer, self._attend(q, k, v, causal=True)).reshape(n, 32)
        x = x + z @ self.w[f"{root}.attn.c_proj.weight"] + self.w[f"{root}.attn.c_proj.bias"]
        normed = self._norm(f"{root}.ln_2", x)
        inner = normed @ self.w[f"{root}.mlp.c_fc.weight"] + self.w[f"{root}.mlp.c_fc.bias"]
        curve = math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)
        inner = 0.5 * inner * (1 + torch.tanh(curve))
        return x + inner @ self.w[f"{root}.mlp.c_proj.weight"] + self.w[f"{root}.mlp.c_proj.bias"]

    def _llama(self, layer, x, heads):
        root, n = f"model.layers.{layer}", len(x)
        normed = self._rms(f"{root}.input_layernorm", x)
        q = self._linear(f"{root}.self_attn.q_proj", normed).view(n, 4, 8)
        k = self._linear(f"{root}.self_attn.k_proj", normed).view(n, 2, 8)
        v = self._linear(f"{root}.self_attn.v_proj", normed).view(n, 2, 8)
        q, k = self._rotated(q), self._rotated(k)
        k, v = (part.repeat_interleave(2, dim=1) for part in (k, v))
        z = heads(layer, self._attend(q, k, v, causal=True)).reshape(n, 32)
        x = x + self._linear(f"{root}.self_attn.o_proj", z)
        normed = self._rms(f"{root}.post_attention_layernorm", x)
        gate = self._linear(f"{root}.mlp.gate_proj", normed)
        inner = gate * torch.sigmoid(gate) * self._linear(f"{root}.mlp.up_proj", normed)
        return x + self._linear(f"{root}.mlp.down_proj", inner)

    def _rotated(self, x):
        theta = self.config.rope_parameters["rope_theta"]
        speed = theta ** (-torch.arange(0, 8, 2, dtype=torch.float64) / 8)
        angle = torch.outer(torch.arange(len(x), dtype=torch.float64), speed)[:, None]
        first, second = x[..., :4], x[..., 4:]
        turned = [
            first * angle.cos() - second * angle.sin(),
            second * angle.cos() + first * angle.sin(),
        ]
        return torch.cat(turned, -1)

    def _bert(self, layer, x, heads):
        root, n = f"bert.encoder.layer.{layer}", len(x)
        q, k, v = (
            self._linear(f"{root}.attention.self.{part}", x).view(n, 4, 8)
            for part in ("query", "key", "value")
        )
        z = heads(layer, self._attend(q, k, v, causal=False)).reshape(n, 32)
        written = self._linear(f"{root}.attention.output.dense", z)
        x = self._norm(f"{root}.attention.output.LayerNorm", x + written)
        inner = self._linear(f"{root}.intermediate.dense", x)
        inner = 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
        return self._norm(
            f"{root}.output.LayerNorm", x + self._linear(f"{root}.output.dense", inner)
        )
