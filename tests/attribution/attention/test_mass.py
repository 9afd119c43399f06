"""Methods over attention mass: each against its paper done by hand, and what must hold of it."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import torch
from tests.asking import explain
from tests.attribution.attention import naive
from tests.zoo.families import FAMILIES, VARIANTS

import whence
from whence.attribution.attention.norm_based import written_norms
from whence.attribution.attention.relevance_propagation import propagate
from whence.attribution.attention.rollout import MeanAttention
from whence.core import BudgetError, CapabilityError, OptionError
from whence.games.attention_game import AttentionGame
from whence.games.batching import DEFAULT_TOKEN_BUDGET
from whence.games.contributions import contributions
from whence.games.segmenters import segmenter_by_name
from whence.games.token_alignment import align

MASS = ["Rollout", "NormBased", "Alti", "ValueZeroing"]
BY_HAND = {
    "Rollout": lambda seen: naive.rollout(seen.weights),
    "NormBased": naive.norm_rollout,
    "Alti": naive.alti_rollout,
    "ValueZeroing": naive.value_zeroing,
}


def game_of(name, targets=(), text=naive.TEXT, **settings):
    tiny = {**FAMILIES, **VARIANTS}[name]()
    model = whence.load(tiny.pair)
    encoding = model.encode(text)
    readout = model.readout(encoding, targets)
    _, tokens = align(segmenter_by_name("word").segment(encoding.document, encoding), encoding)
    return AttentionGame(model, encoding, readout, tokens, **settings)


@pytest.mark.parametrize("method", MASS)
@pytest.mark.parametrize("name", naive.STACKS)
def test_agrees_with_its_paper_done_by_hand(name, method):
    seen = naive.Seen(name)
    found = seen.explain(method)
    want = seen.gather(BY_HAND[method](seen)[seen.position])
    tolerance = 1e-3 if method == "ValueZeroing" else 2e-5
    assert np.allclose(found.scores[:, 0], want, atol=tolerance)
    assert want.max() > 0.02
    assert found.values[0] == pytest.approx(seen.value.item(), abs=2e-5)
    assert np.isnan(found.base_values[0])


@pytest.mark.parametrize("name", naive.STACKS)
def test_gradients_by_weights_need_no_weights(name):
    seen = naive.Seen(name)
    found = seen.explain("GradientWeightedAttention")
    want = naive.chefer(seen.value, seen.attentions) - np.eye(seen.n)
    want = seen.gather(want[seen.position])
    assert np.allclose(found.scores[:, 0], want, rtol=2e-3, atol=2e-5 * want.max())
    assert found.unit == "relevance"


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_encoder_decoders_by_hand(name):
    tiny = FAMILIES[name]()
    model = whence.load(tiny.pair)
    module = copy.deepcopy(tiny.module)
    module.set_attn_implementation("eager")
    ids = torch.tensor(model.encode(naive.TEXT).ids[None])
    forced = [model.tokenize(" good bad")[0].item(), model.tokenize(" good bad")[-1].item()]
    start = torch.tensor([[module.config.decoder_start_token_id, forced[0]]])
    out = module(ids, decoder_input_ids=start, output_attentions=True, use_cache=False)
    value = out.logits[0, 0, forced[0]] + out.logits[0, 1, forced[1]]
    target = whence.Continuation(token_ids=tuple(forced))
    settings = {"target": target, "link": "logit", "unit": "token"}
    encoding = model.encode(naive.TEXT)
    game = game_of(name, [target])
    # The readout's default link is another; where it is read from does not depend on it.
    chosen = model.readout(encoding, [target], link="logit")
    game._readout = chosen
    shares = game.follow().runs[0].shares[0]
    assert shares.sum() == pytest.approx(1, abs=1e-5)  # of gradients in single precision
    assert (shares > 0).all()

    want = naive.two_streams(
        value, out.encoder_attentions, out.decoder_attentions, out.cross_attentions
    )
    found = explain(model, naive.TEXT, method="GradientWeightedAttention", **settings)
    want = naive.gather(encoding, shares @ want)
    assert np.allclose(found.scores[:, 0], want, rtol=5e-3, atol=2e-5 * want.max())

    def mixed(weights):
        return 0.5 * weights[0].detach().double().numpy().mean(axis=0)

    source = np.eye(ids.shape[1])
    for layer in out.encoder_attentions:
        source = (mixed(layer) + 0.5 * np.eye(len(source))) @ source
    own, there = np.eye(2), np.zeros((2, len(source)))
    for self_layer, cross_layer in zip(out.decoder_attentions, out.cross_attentions, strict=True):
        step = mixed(self_layer) + 0.5 * np.eye(2)
        own, there = step @ own, step @ there
        own, there = 0.5 * own, 0.5 * there + mixed(cross_layer) @ source
    found = explain(model, naive.TEXT, method="Rollout", **settings)
    assert np.allclose(found.scores[:, 0], naive.gather(encoding, shares @ there), atol=2e-5)
    share = 100 * (1 - float(naive.gather(encoding, shares @ there).sum()))
    assert f"{share:.0f} % of the attention" in found.notes[0]


def test_attention_flow_is_a_maximum_flow():
    for name in ("bert", "mistral"):
        seen = naive.Seen(name)
        found = seen.explain("AttentionFlow", unit="word")
        game = game_of(name)
        for index in (0, game.n // 2, game.n - 1):
            want = naive.max_flow(seen.weights, game.groups[index], seen.position)
            assert found.scores[index, 0] == pytest.approx(want, abs=1e-5)
        assert found.unit == "flow of attention"


def test_flow_on_a_thinned_graph_says_what_it_hides_and_refuses_what_is_too_long():
    seen = naive.Seen("bert")
    whole = seen.explain("AttentionFlow")
    thin = seen.explain("AttentionFlow", options={"exact": 2, "keep": 3})
    assert (thin.scores <= whole.scores + 1e-6).all()
    assert (thin.scores < whole.scores - 1e-3).any()
    weights = [layer.mean(axis=0) for layer in seen.weights]
    hidden = max(1 - np.sort(w, axis=1)[:, -3:].sum(axis=1).min() for w in weights)
    assert f"at most {100 * hidden:.0f} % of a position's attention was left out" in thin.notes[1]
    with pytest.raises(OptionError, match="limit=5"):
        seen.explain("AttentionFlow", options={"limit": 5})
    with pytest.raises(OptionError, match="keep=0"):
        whence.AttentionFlow(keep=0)


@pytest.mark.parametrize("method", MASS)
@pytest.mark.parametrize("name", ["bert", "gpt2", "embedder"])
def test_shares_sum_to_one_with_what_lies_on_special_tokens(name, method):
    tiny = {**FAMILIES, **VARIANTS}[name]()
    model = whence.load(tiny.pair)
    target = whence.Similarity(other="a rich fox") if name == "embedder" else None
    found = explain(model, naive.TEXT, method=method, target=target)
    assert (found.scores >= 0).all()
    said = float(re.match(r"(\d+) % of the", found.notes[0]).group(1))
    assert found.scores.sum() == pytest.approx(1 - said / 100, abs=0.006)


def test_rollout_of_uniform_attention_in_closed_form():
    class Uniform(MeanAttention):
        def rows(self, call, start, stop):
            mean = np.full((stop - start, call.keys), 1 / call.keys)
            return (mean / 2)[None], np.full(stop - start, 0.5)

    game = game_of("bert")
    passes = game.follow()
    found, written = propagate(game, passes, Uniform(passes.trace))
    layers, n = len(passes.runs[0].calls), game.size
    want = np.full(n, (1 - 0.5**layers) / n)
    want[0] += 0.5**layers
    assert np.allclose(found[:, 0], want)
    assert not written.any()


def test_norms_by_gram_matrices_are_norms():
    rng = np.random.default_rng(0)
    weights = rng.random((3, 4, 5)).astype(np.float32)
    vectors = rng.normal(size=(5, 3, 7))
    want = np.linalg.norm(np.einsum("hij,jhm->ijm", weights, vectors), axis=2)
    found = written_norms(weights, vectors @ vectors.transpose(0, 2, 1))
    assert np.allclose(found, want, atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "gemma2"])
def test_contributions_are_the_layers_of_alti(name):
    seen = naive.Seen(name)
    found = contributions(seen.model, naive.TEXT)
    want = np.stack([naive.alti(seen, layer) for layer in range(len(seen.blocks))])
    assert np.allclose(found, want, atol=2e-5)
    assert np.allclose(found.sum(axis=2), 1, atol=1e-5)
    with pytest.raises(OptionError, match="allows 5 tokens"):
        contributions(seen.model, naive.TEXT, memory=4 * len(seen.blocks) * 25)


def test_contributions_refuse_what_they_are_not_defined_for():
    with pytest.raises(CapabilityError, match="gives no attention"):
        contributions(whence.load(lambda texts: [1.0 for _ in texts]), "a b")
    with pytest.raises(CapabilityError, match="encoder"):
        contributions(whence.load(FAMILIES["t5"]().pair), "a b")
    forced = whence.load(FAMILIES["gpt2"]().pair)
    size = len(forced.encode("a b").ids)
    assert contributions(forced, "a b", forced=[3, 4]).shape == (2, size + 2, size + 2)


def test_where_an_output_is_read_from():
    assert game_of("bert").follow().runs[0].shares.tolist()[0][0] == 1.0
    game = game_of("llama", [whence.NextToken()])
    shares = game.follow().runs[0].shares[0]
    assert shares[-1] == 1.0
    assert len(shares) == game.size
    # Two continuations of their own: each output has shares in its own pass alone.
    texts = [whence.Continuation(text=" good"), whence.Continuation(text=" bad fine")]
    game = game_of("llama", texts)
    first, second = game.follow().runs
    assert first.shares[0].sum() == pytest.approx(1, abs=1e-5)
    assert second.shares[1].sum() == pytest.approx(1, abs=1e-5)
    assert not first.shares[1].any()
    assert not second.shares[0].any()
    read = np.flatnonzero(second.shares[1])
    assert read[0] == game.size - 1
    assert read[-1] == second.shares.shape[1] - 1


@pytest.mark.parametrize("method", ["Rollout", "GradientWeightedAttention", "ValueZeroing"])
def test_several_outputs_are_as_each_alone(method):
    model = whence.load(FAMILIES["llama"]().pair)
    targets = [whence.Continuation(text=" good"), whence.Continuation(text=" bad fine")]
    both = explain(model, naive.TEXT, method=method, target=targets)
    for index, target in enumerate(targets):
        alone = explain(model, naive.TEXT, method=method, target=target)
        assert np.allclose(both.scores[:, index], alone.scores[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        ("Rollout", (1, 0)),
        ("AttentionFlow", (1, 0)),
        ("NormBased", (1, 0)),
        ("Alti", (1, 0)),
        ("GradientWeightedAttention", (1, 0)),
        ("ValueZeroing", (1, 1)),
    ],
)
def test_passes_are_counted_and_blocks_run_as_often_as_said(method, passes):
    tiny = FAMILIES["bert"]()
    model = whence.load(tiny.pair)
    size = len(model.encode(naive.TEXT).ids)
    rows = []
    block = tiny.module.bert.encoder.layer[0]
    hook = block.register_forward_hook(lambda m, a, o: rows.append(len(a[0])))
    try:
        found = explain(model, naive.TEXT, method=method, target="low")
    finally:
        hook.remove()
    cost = found.provenance.cost
    # Where gradients are reported, seven passes or more hold them to the answer.
    probes = cost.gradient_evaluations - passes[0]
    assert probes in (range(7, 17, 2) if method == "GradientWeightedAttention" else (0,))
    assert cost.evaluations == passes[1] * size
    # One row more in each batch of zeroed keys, for the block as it is; and the decision's pass.
    batches = -(-size // (DEFAULT_TOKEN_BUDGET // size))
    assert sum(rows) == 2 + probes + passes[1] * (size + batches)


def test_too_small_a_budget_is_refused_before_anything_runs():
    model = whence.load(FAMILIES["bert"]().pair)
    size = len(model.encode(naive.TEXT).ids)
    with pytest.raises(BudgetError, match=f"needs {size + 1}"):
        explain(model, naive.TEXT, method="ValueZeroing", budget=size)


def test_models_without_attention_hear_what_works():
    with pytest.raises(CapabilityError, match=r"Rollout needs attention.*KernelShap"):
        explain(whence.load(lambda texts: [1.0 for _ in texts]), "a b", method="Rollout")
    with pytest.raises(CapabilityError, match=r"compute their softmax.*IntegratedGradients"):
        explain(whence.load(FAMILIES["deberta-v2"]().pair), "a b", method="Rollout")
    with pytest.raises(CapabilityError, match=r"effect='target' is.*Rollout"):
        explain(whence.load(FAMILIES["bart"]().pair), "a b", method="ValueZeroing")


def test_a_gated_output_and_parallel_blocks_are_refused(monkeypatch):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    tokenizer = naive.bpe()
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        use_parallel_residual=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = whence.load((GPTNeoXForCausalLM(config).eval(), tokenizer))
    assert explain(model, "a good fox", method="NormBased").scores.sum() > 0
    with pytest.raises(CapabilityError, match=r"could not be followed.*NormBased|Rollout"):
        explain(model, "a good fox", method="Alti")
    block = model.module.gpt_neox.layers[0].attention
    gate = block.dense.register_forward_pre_hook(lambda m, a: (a[0].sigmoid(),))
    try:
        with pytest.raises(CapabilityError, match=r"gated.*Rollout"):
            explain(model, "a good fox", method="NormBased")
    finally:
        gate.remove()


def test_weights_that_are_not_the_kernels_are_told(monkeypatch):
    from whence.models.internals import trace as tracing

    real = tracing.RowReader.read

    def other(self, lines, **more):
        result, weights, seen = real(self, lines, **more)
        return result * 1.1, weights, seen

    model = whence.load(FAMILIES["bert"]().pair)
    assert explain(model, "a good fox", method="Rollout").outcome == "converged"
    monkeypatch.setattr(tracing.RowReader, "read", other)
    found = explain(model, "a good fox", method="Rollout")
    assert found.outcome == "not_converged"
    assert any("did not use" in note for note in found.notes)


@pytest.mark.parametrize("method", [*MASS, "GradientWeightedAttention", "AttentionFlow"])
@pytest.mark.parametrize("how", ["model", "autocast"])
def test_half_precision_is_near_full(method, how):
    tiny = FAMILIES["gemma3"]()
    exact = whence.load(tiny.pair)
    target = whence.NextToken(token=20)
    full = explain(exact, naive.TEXT, method=method, target=target)
    if how == "model":
        module = copy.deepcopy(tiny.module).to(torch.bfloat16)
        rough = whence.load((module, tiny.tokenizer))
        half = explain(rough, naive.TEXT, method=method, target=target)
    else:
        half = explain(exact, naive.TEXT, method=method, target=target, precision="bfloat16")
    assert half.outcome == "converged"
    assert np.allclose(half.scores, full.scores, atol=0.05 * full.scores.max())
    assert not np.array_equal(half.scores, full.scores)


@pytest.mark.parametrize("method", [*MASS, "AttentionKnockout"])
def test_layers_that_share_their_weights_are_layers_all_the_same(method):
    from transformers import AlbertConfig, AlbertForSequenceClassification

    tokenizer = FAMILIES["bert"]().tokenizer
    config = AlbertConfig(
        vocab_size=len(tokenizer),
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = AlbertForSequenceClassification(config).eval()
    model = whence.load((module, tokenizer))
    found = explain(model, naive.TEXT, method=method)
    assert np.abs(found.scores).max() > 1e-3
    if method == "Rollout":
        eager = copy.deepcopy(module)
        eager.set_attn_implementation("eager")
        ids = torch.tensor(model.encode(naive.TEXT).ids[None])
        weights = eager(ids, output_attentions=True).attentions
        assert len(weights) == 3
        want = naive.rollout([w[0].detach().double().numpy() for w in weights])[0]
        whole = explain(model, naive.TEXT, method=method, unit="token")
        assert np.allclose(
            whole.scores[:, 0], naive.gather(model.encode(naive.TEXT), want), atol=1e-5
        )
    if method == "AttentionKnockout":
        with pytest.raises(OptionError, match="share their weights"):
            explain(model, naive.TEXT, method=method, options={"first_layer": 1})


def test_memory_that_is_full_halves_the_batch_of_zeroed_keys(monkeypatch):
    from whence.models.internals.trace import Trace

    model = whence.load(FAMILIES["bert"]().pair)
    calm = explain(model, naive.TEXT, method="ValueZeroing")
    real, sizes = Trace.with_values_zeroed, []

    def full(self, call, keys):
        sizes.append(len(keys))
        if len(keys) > 3:
            raise MemoryError
        return real(self, call, keys)

    monkeypatch.setattr(Trace, "with_values_zeroed", full)
    found = explain(model, naive.TEXT, method="ValueZeroing")
    assert np.allclose(found.scores, calm.scores, atol=1e-5)
    assert max(sizes) > 3
    assert 1 < sizes[-2] <= 3
