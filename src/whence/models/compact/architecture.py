"""A small BERT from its sizes, and a vocabulary from texts; drawn from a seed of its own."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float

from whence.models.compact.sizes import Sizes

__all__ = ["learnt_tokenizer", "reduced", "seeded", "small_bert"]

PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Whatever is drawn from the global generator comes from ``seed`` in this context.

    Initialisers and dropout take no generator of their own. The state of the global one is put
    back at the end, after an exception too; only the CPU's is used and touched.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield


def learnt_tokenizer(texts: Sequence[str], *, size: int, longest: int) -> Any:
    """A tokenizer whose pieces are learnt from some texts.

    Byte pairs of lower-cased words with the space before them, so that every text can be spelt;
    [CLS] before and [SEP] after it. The same texts give the same pieces in every process, which
    the word-piece trainer of the library does not: it breaks ties by the order of a hash table.

    Sennrich et al. (2016), arXiv:1508.07909.

    Args:
        texts: training texts.
        size: pieces at most, of which 256 are bytes and 5 special.
        longest: tokens of a text that a model reads, [CLS] and [SEP] included.

    Example:
        >>> tokenizer = learnt_tokenizer(["a late fee", "a Late reply"], size=280, longest=16)
        >>> tokenizer.tokenize("late")
        ['Ġlate']
    """
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )  # fmt: skip
    from transformers import PreTrainedTokenizerFast

    special = [PAD, UNKNOWN, START, END, MASK]
    tokenizer: Any = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    template = processors.TemplateProcessing(
        single=f"{START} $A {END}",
        pair=f"{START} $A {END} $B {END}",
        special_tokens=[(name, special.index(name)) for name in (START, END)],
    )
    # A piece holds the space before its word; trimmed, its offsets are those of the word alone.
    trimmed = processors.ByteLevel(trim_offsets=True)
    tokenizer.post_processor = processors.Sequence([trimmed, template])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNKNOWN, cls_token=START,
        sep_token=END, mask_token=MASK, model_max_length=longest,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def small_bert(labels: Sequence[str], sizes: Sizes, *, vocabulary: int, pad: int | None) -> Any:
    """A BERT classifier of these sizes with weights just drawn; call it in :func:`seeded`.

    It keeps its softmax where the weights can be had and differentiated. Devlin et al. (2019),
    arXiv:1810.04805; of these sizes: Turc et al. (2019), arXiv:1908.08962.
    """
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        # The ratio of every BERT (Devlin et al. 2019, section 3).
        intermediate_size=4 * sizes.hidden,
        max_position_embeddings=sizes.tokens,
        hidden_dropout_prob=sizes.dropout,
        # The weights that are held against the teacher's must be those of the softmax itself.
        attention_probs_dropout_prob=0.0,
        pad_token_id=pad,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type="single_label_classification",
    )
    module: Any = BertForSequenceClassification(config)
    module.set_attn_implementation("eager")
    return module


def reduced(
    table: Float[torch.Tensor, "ids teacher_width"], width: int
) -> Float[torch.Tensor, "ids width"]:
    """The table of a teacher's embeddings in fewer coordinates, scaled as BERT draws its own.

    The coordinates along which the table varies most. TinyBERT matches ``E W`` to the teacher's
    embeddings by gradient steps; the best ``E`` of that width is known in closed form, and the
    student starts from it (Eckart and Young 1936, doi:10.1007/BF02288367). Words that the
    teacher holds alike are alike to the student, also those that it never meets in training.
    """
    wide = table.double()
    centred = wide - wide.mean(dim=0)
    # Directions of the covariance, [width, width], and not a decomposition of the table, which has
    # 30,000 rows and more. That squares the condition number, which float64 can afford. eigh sorts
    # upwards: the leading directions are the last columns.
    _, directions = torch.linalg.eigh(centred.T @ centred)
    best = centred @ directions[:, -width:]
    # 0.02 is BERT's own spread, to which the drawn positions are fitted.
    return (best * (0.02 / best.std())).to(torch.float32)
