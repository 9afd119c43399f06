"""Nothing perturbed, nothing changed: over random Unicode, for every tokenizer family."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tests.fakes import FakeModel
from tests.zoo import tokenizers as toks

from whence.core import InputError
from whence.games import (
    AttentionMask,
    Deletion,
    MaskToken,
    Pad,
    Paragraphs,
    Passages,
    Replacement,
    Sentences,
    Tokens,
    Turns,
    Words,
    align,
)
from whence.games.token_alignment import FeatureTokens
from whence.models.encoding import Encoder

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.lists(
        st.sampled_from(
            [
                "don't",
                "cafe\u0301",
                "👩\u200d👩\u200d👧",
                "🇩🇪",
                "银行拒绝",
                "テスト",
                "שלום",
                "قرض",
                "42 %",
                "1,250.50",
                "e.g.",
                "Dr. No",
                "...",
                "?!",
                "\n\n",
                "\t",
                "\u200f",
                "\x00",
                "a\u0300\u0301",
                "[MASK]",
                "<s>",
                "state-of-the-art",
                "£900",
                "  ",
                "ﬁ",
                "½",
                "İ",
                "ß",
            ]
        ),
        min_size=1,
        max_size=12,
    ).map(" ".join),
)
SEGMENTERS = [Tokens(), Words(), Sentences(), Paragraphs(), Passages(words=3), Turns()]


def _bare(tokenizer):
    """What maskers need of a model: special ids, and a tokenizer for the stand-in text."""
    return FakeModel(
        tokenizer=tokenizer,
        mask_id=tokenizer.mask_token_id,
        pad_id=tokenizer.pad_token_id,
        bos_id=tokenizer.bos_token_id,
        unknown_id=tokenizer.unk_token_id,
    )


@functools.cache
def _encoder(name):
    return Encoder(toks.ALL[name](), ref=name, limit=None)


@pytest.mark.parametrize("name", toks.ALL)
@given(text=TEXTS)
@example(text="\u0301a")
@example(text="a\u200d\u200db \u00a0 c")
@example(text="👍🏽👍")
def test_all_present_is_the_models_own_input(name, text):
    tokenizer = toks.ALL[name]()
    assume(text.strip())
    encoding = _encoder(name).encode(text)
    own = tokenizer(text)["input_ids"]
    assert encoding.ids.tolist() == own
    model = _bare(tokenizer)
    for segmenter in SEGMENTERS:
        try:
            raw = segmenter.segment(encoding.document, encoding)
            segmentation, tokens = align(raw, encoding)
        except InputError:
            continue  # nothing the model reads: refused, which is a defined result
        _check_features(text, encoding, raw, segmentation, tokens)
        _check_rows(model, encoding, segmentation, tokens, own)


def _check_features(text, encoding, raw, segmentation, tokens: FeatureTokens):
    for feature in segmentation.features:
        assert text[feature.start : feature.end] == feature.text
        assert feature.text.strip() == feature.text != ""
    covered = np.zeros(len(text), dtype=bool)
    for span in (*segmentation.features, *segmentation.unread):
        assert not covered[span.start : span.end].any()
        covered[span.start : span.end] = True
    lost = [c for c, seen in zip(text, covered, strict=True) if not seen and not c.isspace()]
    assert lost == [], f"{raw.unit} loses {lost}"
    for index, group in enumerate(tokens.groups):
        assert len(group) > 0
        assert np.all(tokens.owner[group] == index)
        assert np.all(np.diff(group) > 0)
    assert not np.any(encoding.frozen & (tokens.owner >= 0))
    assert sum(len(group) for group in tokens.groups) == int((tokens.owner >= 0).sum())


def _check_rows(model, encoding, segmentation, tokens, own):
    n = len(segmentation)
    maskers = [Deletion(), AttentionMask(), Replacement(text="x y")]
    if model.vocabulary.mask_id is not None:
        maskers.append(MaskToken())
    if model.vocabulary.pad_id is not None:
        maskers.append(Pad())
    for masker in maskers:
        bare = model.vocabulary.bos_id is None and np.all(tokens.owner >= 0)
        if bare and isinstance(masker, Deletion):
            continue  # refused: nothing would be left to read
        make = masker.bind(model, encoding, tokens)
        full, without = make(np.stack([np.ones(n, dtype=bool), np.arange(n) != 0]))
        assert full.ids.tolist() == own
        assert full.attention is None
        rest = encoding.ids[tokens.owner != 0].tolist()
        if isinstance(masker, Deletion):
            assert without.ids.tolist() == rest or not rest
        elif isinstance(masker, AttentionMask):
            assert without.ids.tolist() == own
            assert without.attention.tolist() == (tokens.owner != 0).tolist()
        elif isinstance(masker, Replacement):
            stand_in = model.tokenize("x y").tolist()
            assert len(without.ids) == len(rest) + len(stand_in)
        else:
            assert len(without.ids) == len(own)
            kept = tokens.owner != 0
            assert np.array_equal(without.ids[kept], encoding.ids[kept])
            assert len(set(without.ids[~kept].tolist())) == 1
