import numpy as np
import pytest

from whence.core.errors import InputError, OptionError
from whence.students.features.tokenizer import tokens, words
from whence.students.features.vectorizer import Feature, Features, ReadableFeatures

ODD = [
    "",
    "  ",
    "Didn’t! İstanbul’s Straße, naïve\u0301 café",
    "a_b 1,000.5 — «x»",
    "日本 e\u0301é 👍🏽",
]
TEXTS = ["The payer is not late, he paid.", "He paid late twice.", "A loan is owed."]


def learn(**options):
    return ReadableFeatures(**{"least_texts": 1, **options}).learn(TEXTS)


def test_spans_are_where_the_words_stand():
    features = learn(longest=2)
    for text in TEXTS:
        for column, places in features.spans(text).items():
            words = features.kept[column].words.split()
            for start, end in places:
                piece = text[start:end].casefold()
                assert piece.startswith(words[0])
                assert piece.endswith(words[-1])


def test_words_are_those_of_tokens():
    for text in [*TEXTS, *ODD]:
        assert words(text) == [token.text for token in tokens(text)]


@pytest.mark.parametrize("longest", [1, 2, 3])
@pytest.mark.parametrize(
    "more", [{}, {"negation": True, "position": True, "lexicons": {"debt": ["loan", "owed"]}}]
)
def test_table_has_what_spans_show(longest, more):
    texts = [*TEXTS, *ODD]
    features = ReadableFeatures(least_texts=1, longest=longest, **more).learn(texts)
    assert any(feature.words.count(" ") == longest - 1 for feature in features.kept)
    table = features.table(texts)
    for row, text in enumerate(texts):
        assert sorted(table[[row]].indices) == list(features.spans(text))
    assert set(np.unique(table.data)) == {1.0}


def test_negation_ends_at_a_mark_and_reaches_four_words():
    features = learn(negation=True, longest=1)
    denied = {f.words for f in features.kept if f.kind == "denied"}
    assert denied == {"late"}


def test_lexicons_count_up_to_three():
    features = learn(longest=1, lexicons={"debt": ["loan", "OWED"]})
    found = [features.describe(j) for j in features.of("loan owed") if j >= len(features) - 2]
    assert found == ["a word of debt", "2 or more words of debt"]
    assert features.cost([len(features) - 1, len(features) - 2]) == 4 + 6 + 2


def test_rare_features_leave_and_most_is_kept():
    features = ReadableFeatures(least_texts=2, longest=1).learn(TEXTS)
    assert {f.words for f in features.kept} == {"he", "paid", "late", "is", "."}
    assert len(ReadableFeatures(least_texts=1, most=3).learn(TEXTS)) == 3


def test_what_the_teacher_did_not_read_is_not_looked_at():
    features = learn(longest=1)
    table = features.table(["late paid"], read_to=[4])
    assert [features.kept[j].words for j in table.indices] == ["late"]


def test_written_and_read_back():
    features = learn(negation=True, lexicons={"debt": ("loan",)})
    again = Features.from_json(features.to_json())
    assert again.kept == features.kept
    assert (again.table(TEXTS) != features.table(TEXTS)).nnz == 0


def test_refusals():
    with pytest.raises(InputError, match="no feature"):
        ReadableFeatures(least_texts=9).learn(TEXTS)
    with pytest.raises(OptionError, match="longest=0"):
        learn(longest=0)
    with pytest.raises(OptionError, match="no word"):
        learn(lexicons={"debt": []})


def test_costs_are_words():
    assert Feature("ngram", "paid late").cost == 2
    assert Feature("denied", "late").cost == 2


def test_columns_in_a_wider_table():
    wider = learn()
    some = Features(wider.spec, [wider.kept[j] for j in (4, 1, 7)])
    assert some.columns_in(wider).tolist() == [4, 1, 7]
    part = wider.table(TEXTS)[:, some.columns_in(wider)]
    assert (part != some.table(TEXTS)).nnz == 0


def test_lexicons_hold_phrases_and_marks():
    spec = ReadableFeatures(longest=1, least_texts=1, lexicons={"debt": ["Past due", "write-off"]})
    features = spec.learn(["it is past due", "a write-off", "due past"])
    column = len(features) - 1
    assert features.describe(column) == "a word of debt"
    assert [column in features.of(t) for t in ("PAST DUE!", "a write-off", "due, past")] == [
        True, True, False,
    ]  # fmt: skip
    assert features.spans("now past  due")[column] == [(4, 13)]


def test_words_are_alike_however_they_are_encoded():
    from unicodedata import normalize

    from whence.students.features.tokenizer import words

    assert words(normalize("NFC", "café")) == words(normalize("NFD", "café")) == ["café"]
    # Signs that nobody sees are no words and part none.
    assert words("in\u00adsolvent \ufeffnot\u200b good\ufe0f") == ["insolvent", "not", "good"]
    assert words("他迟到了。") == ["他", "迟", "到", "了", "。"]
    assert words("A4他 isn’t") == ["a4", "他", "isn't"]


def test_a_number_is_read_in_each_written_form_and_cut_at_a_round_threshold():
    forms = ["{0},{1:03d}", "{0}.{1:03d},50 EUR", "${2:g}k", "{2:g} thousand", "EUR {3}"]
    values = [500 * k for k in range(3, 43)]
    texts = [
        f"I am {20 + 7 * k % 40} years old, asking for {forms[k % 5].format(v // 1000, v % 1000, v / 1000, v)}"
        for k, v in enumerate(values)
    ]
    features = ReadableFeatures(longest=1).learn(texts)
    says = [features.describe(j) for j in range(len(features))]
    column = says.index("amount > 10,000")
    held = [column in features.of(text) for text in texts]
    # ".50" lifts one amount of exactly 10,000 above it, if it is written in that form.
    assert sum(h != (v > 10_000) for h, v in zip(held, values, strict=True)) <= 1
    assert "age <= 30" in says
    # What every text has tells nothing, and its weight would be an intercept.
    assert "'years'" not in says
    again = Features.from_json(features.to_json())
    assert [again.of(text) for text in texts] == [features.of(text) for text in texts]
    assert again.describe(column, there=False) == "amount <= 10,000 (or none)"
    spans = features.spans("a loan of 12 thousand")[column]
    assert spans == [(10, 21)]
