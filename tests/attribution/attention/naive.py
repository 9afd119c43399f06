"""Each method written again from its paper, the plain way: eager weights, whole matrices."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import torch
from scipy.optimize import linprog
from tests.asking import explain
from tests.zoo.families import FAMILIES, _causal
from tests.zoo.tokenizers import bpe

import whence
from whence.games.segmenters import segmenter_by_name
from whence.games.token_alignment import align

TEXT = "He denies chest pain but reports a mild cough since Monday."


@cache
def gemma2():
    return _causal(
        "gemma2",
        "Gemma2Config",
        "Gemma2ForCausalLM",
        bpe(),
        sliding_window=8,
        query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "full_attention"],
    )


STACKS = ["bert", "gpt2", "llama", "mistral", "gemma2"]


def tiny(name):
    return gemma2() if name == "gemma2" else FAMILIES[name]()


class Seen:
    """One eager pass of a plain stack, and what is needed to follow it by hand."""

    def __init__(self, name):
        self.tiny = tiny(name)
        self.model = whence.load(self.tiny.pair)
        self.encoding = self.model.encode(TEXT)
        self.ids = torch.tensor(self.encoding.ids[None])
        self.module = copy.deepcopy(self.tiny.module).eval()
        self.module.set_attn_implementation("eager")
        self.n = self.ids.shape[1]
        self.position = 0 if self.tiny.task == "classification" else self.n - 1
        self.blocks, self.parts = _blocks(name, self.module)
        inputs, outputs = [], []
        handles = [
            block.register_forward_hook(lambda m, a, o: outputs.append(_first(o)))
            for block in self.blocks
        ]
        handles += [
            block.register_forward_pre_hook(
                lambda m, a, k: inputs.append(_state(a, k)), with_kwargs=True
            )
            for block in self.blocks
        ]
        found = self.module(self.ids, output_attentions=True)
        for handle in handles:
            handle.remove()
        self.attentions = found.attentions
        self.states, self.after = inputs, outputs
        self.weights = [a[0].detach().double().numpy() for a in found.attentions]
        self.logits = found.logits
        logits = found.logits[0]
        self.row = logits if self.tiny.task == "classification" else logits[-1]
        self.label = int(self.row.argmax())
        self.value = self.row[self.label]

    def explain(self, method, **settings):
        target = self.label if self.tiny.task == "classification" else whence.NextToken()
        settings.setdefault("unit", "token")
        settings.setdefault("link", "logit")
        return explain(self.model, TEXT, method=method, target=target, **settings)

    def gather(self, row):
        return gather(self.encoding, row)


def gather(encoding, row):
    """Sums over the tokens of each feature of the unit token."""
    segmentation = segmenter_by_name("token").segment(encoding.document, encoding)
    return np.array([row[group].sum() for group in align(segmentation, encoding)[1].groups])


def _first(output):
    return output[0] if isinstance(output, tuple) else output


def _state(given, named):
    return given[0] if given else named["hidden_states"]


def _blocks(name, module):
    """Blocks, and for each: (normed input -> values), projection matrix, how it joins."""
    if name == "bert":
        blocks = list(module.bert.encoder.layer)
        parts = [
            {
                "value": b.attention.self.value,
                "before": lambda x: x,
                "project": b.attention.output.dense.weight,
                "bias": b.attention.output.dense.bias,
                "inner": None,
                "outer": b.attention.output.LayerNorm,
            }
            for b in blocks
        ]
    elif name == "gpt2":
        blocks = list(module.transformer.h)
        parts = []
        for b in blocks:
            width = b.attn.c_proj.weight.shape[0]
            parts.append(
                {
                    "value": lambda x, b=b, w=width: b.attn.c_attn(x)[..., 2 * w :],
                    "before": b.ln_1,
                    "project": b.attn.c_proj.weight.T,
                    "bias": b.attn.c_proj.bias,
                    "inner": None,
                    "outer": None,
                }
            )
    else:
        blocks = list(module.model.layers)
        parts = [
            {
                "value": b.self_attn.v_proj,
                "before": b.input_layernorm,
                "project": b.self_attn.o_proj.weight,
                "bias": None,
                "inner": b.post_attention_layernorm if name == "gemma2" else None,
                "outer": None,
            }
            for b in blocks
        ]
    return blocks, parts


def rollout(weights):
    """Abnar & Zuidema 2020, section 3: A = 0.5 W + 0.5 I, renormalised, multiplied."""
    joint = np.eye(weights[0].shape[1])
    for layer in weights:
        mixed = 0.5 * layer.mean(axis=0) + 0.5 * np.eye(layer.shape[1])
        mixed /= mixed.sum(axis=1, keepdims=True)
        joint = mixed @ joint
    return joint


def max_flow(weights, sources, position):
    """The same paper's flow, as a linear program over float capacities."""
    n, layers = weights[0].shape[1], len(weights)
    edges, most = [], []
    for level, layer in enumerate(weights):
        mixed = 0.5 * layer.mean(axis=0) + 0.5 * np.eye(n)
        for i in range(n):
            for j in range(n):
                if mixed[i, j] > 0:
                    edges.append((level * n + j, (level + 1) * n + i))
                    most.append(mixed[i, j])
    goal = layers * n + position
    cost = np.array([-1.0 if head == goal else 0.0 for _, head in edges])
    kept = [v for v in range((layers + 1) * n) if v != goal and v not in set(sources)]
    balance = np.zeros((len(kept), len(edges)))
    row = {v: i for i, v in enumerate(kept)}
    for e, (tail, head) in enumerate(edges):
        if tail in row:
            balance[row[tail], e] -= 1
        if head in row:
            balance[row[head], e] += 1
    found = linprog(
        cost,
        A_eq=balance,
        b_eq=np.zeros(len(kept)),
        bounds=list(zip([0] * len(most), most, strict=True)),
    )
    return -found.fun


def chefer(value, attentions):
    """Chefer, Gur & Wolf 2021, equations 5 and 6, from gradients by the weights themselves."""
    slopes = torch.autograd.grad(value, attentions, retain_graph=True)
    relevance = torch.eye(attentions[0].shape[2], dtype=torch.float64)
    for weight, slope in zip(attentions, slopes, strict=True):
        raised = (weight[0] * slope[0]).clamp(min=0).mean(0).double()
        relevance = relevance + raised @ relevance
    return relevance.detach().numpy()


def sent(seen, layer):
    """``T[i, j] = sum_h A_h[i, j] f_h(x_j)``: ``[queries, keys, model]``, every pair."""
    part, weights = seen.parts[layer], torch.tensor(seen.weights[layer])
    with torch.no_grad():
        value = part["value"](part["before"](seen.states[layer]))[0].double()
        heads = len(weights)
        width = part["project"].shape[1] // heads
        groups = value.shape[1] // width
        value = value.view(seen.n, groups, width).repeat_interleave(heads // groups, dim=1)
        project = part["project"].double().view(-1, heads, width)
        vectors = torch.einsum("jhd,mhd->hjm", value, project)
        return torch.einsum("hij,hjm->ijm", weights, vectors)


def norms(seen, layer):
    """Kobayashi et al. 2020: the length of every pair's vector."""
    return sent(seen, layer).norm(dim=2).numpy()


def norm_rollout(seen):
    joint = np.eye(seen.n)
    for layer in range(len(seen.blocks)):
        found = norms(seen, layer)
        joint = (0.5 * found / found.sum(axis=1, keepdims=True) + 0.5 * np.eye(seen.n)) @ joint
    return joint


def _frozen(norm, state, vectors):
    """A norm's linear part, its divisor that of ``state`` [i, model], on ``vectors`` [i, j, model]."""
    if isinstance(norm, torch.nn.LayerNorm):
        deviation = torch.sqrt(state.var(dim=1, unbiased=False) + norm.eps)
        centred = vectors - vectors.mean(dim=2, keepdim=True)
        return centred / deviation[:, None, None] * norm.weight.double()
    size = torch.sqrt(state.pow(2).mean(dim=1) + norm.eps)
    return vectors / size[:, None, None] * (1 + norm.weight.double())  # gemma's gain


def alti(seen, layer):
    """Ferrando et al. 2022, equations 5 to 8, on whole ``[i, j, model]`` tensors."""
    part = seen.parts[layer]
    with torch.no_grad():
        vectors = sent(seen, layer)
        written = vectors.sum(dim=1) + (0 if part["bias"] is None else part["bias"].double())
        residual = seen.states[layer][0].double()
        if part["inner"] is not None:
            vectors = _frozen(part["inner"], written, vectors)
            written = part["inner"](written.float()).double()
        diagonal = torch.arange(seen.n)
        vectors[diagonal, diagonal] += residual
        result = written + residual
        if part["outer"] is not None:
            vectors = _frozen(part["outer"], result, vectors)
            result = part["outer"](result.float()).double()
        near = result.abs().sum(1)[:, None] - (result[:, None] - vectors).abs().sum(2)
        near = near.clamp(min=0)
        return (near / near.sum(dim=1, keepdim=True)).numpy()


def alti_rollout(seen):
    joint = np.eye(seen.n)
    for layer in range(len(seen.blocks)):
        joint = alti(seen, layer) @ joint
    return joint


def value_zeroing(seen):
    """Mohebbi et al. 2023, equations 2 and 3: one token and one layer at a time."""
    joint = np.eye(seen.n)
    for layer, block in enumerate(seen.blocks):
        scores = np.zeros((seen.n, seen.n))
        for j in range(seen.n):
            got = []
            handle = block.register_forward_hook(lambda m, a, o, got=got: got.append(_first(o)))
            linear, cut = _value_linear(seen, layer)

            def zero(m, a, o, j=j, cut=cut):
                o = o.clone()
                o[:, j, cut] = 0
                return o

            other = linear.register_forward_hook(zero)
            with torch.no_grad():
                seen.module(seen.ids)
            handle.remove()
            other.remove()
            own, new = seen.after[layer][0].double(), got[0][0].double()
            scores[:, j] = (
                1 - torch.nn.functional.cosine_similarity(own, new, dim=1).detach().numpy()
            )
        total = scores.sum(axis=1, keepdims=True)
        joint = (scores / total) @ joint
    return joint


def _value_linear(seen, layer):
    block = seen.blocks[layer]
    if hasattr(block, "attention"):
        return block.attention.self.value, slice(None)
    if hasattr(block, "attn"):
        width = block.attn.c_proj.weight.shape[0]
        return block.attn.c_attn, slice(2 * width, None)
    return block.self_attn.v_proj, slice(None)


def knocked_out(seen, positions, tokens):
    """Geva et al. 2023: the value with edges cut in every layer by a mask given to the model."""
    least = torch.finfo(torch.float32).min
    mask = torch.zeros(1, 1, seen.n, seen.n)
    if seen.tiny.task == "causal":
        mask = mask.masked_fill(torch.ones(seen.n, seen.n).triu(1).bool(), least)
    for i in positions:
        for j in tokens:
            if i != j:
                mask[0, 0, i, j] = least
    with torch.no_grad():
        logits = seen.module(seen.ids, attention_mask=mask).logits[0]
    row = logits if seen.tiny.task == "classification" else logits[-1]
    return float(row[seen.label])


def two_streams(value, encoder, own, cross):
    """Chefer et al. 2021, equations 6, 7, 9, 10: the relevance of encoder tokens to decoder ones."""
    slopes = torch.autograd.grad(value, [*encoder, *own, *cross], retain_graph=True)
    raised = [
        (w[0] * s[0]).clamp(min=0).mean(0).double().detach().numpy()
        for w, s in zip([*encoder, *own, *cross], slopes, strict=True)
    ]
    first, count = len(encoder), len(own)
    source = np.eye(encoder[0].shape[2])
    for layer in raised[:first]:
        source = source + layer @ source
    here = np.eye(own[0].shape[2])
    there = np.zeros((len(here), len(source)))
    for layer in range(count):
        a = raised[first + layer]
        here, there = here + a @ here, there + a @ there
        there = there + _bar(here).T @ raised[first + count + layer] @ _bar(source)
    return there


def _bar(relevance):
    added = relevance - np.eye(len(relevance))
    total = added.sum(axis=1, keepdims=True)
    return np.where(total > 0, added / np.where(total > 0, total, 1), 0) + np.eye(len(relevance))
