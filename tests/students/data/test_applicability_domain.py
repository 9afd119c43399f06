import pytest

from whence.core.errors import InputError, OptionError, RecordError
from whence.students.data.applicability_domain import ApplicabilityDomain, unknown_token_rate
from whence.students.features.tokenizer import words


def test_learnt_on_select_and_applied():
    fit = ["paid late fee", "paid"]
    select = ["paid late"] * 98 + ["new words here entirely now", "paid " * 9]
    domain = ApplicabilityDomain.learn(fit, select, covers=0.98)
    assert (domain.longest, domain.rarest) == (5, 0.0)
    texts = ["paid late fee", "paid once", "paid " * 6]
    assert domain.outside(texts).tolist() == [False, True, True]
    assert ApplicabilityDomain.learn(fit, select, covers=1.0).longest == 9
    assert ApplicabilityDomain.from_json(domain.to_json()) == domain


def test_words_are_those_of_the_students_own_tokenizer():
    domain = ApplicabilityDomain.learn(["Didn’t pay, twice."], ["didn't pay it"], covers=1.0)
    assert domain.rarest == pytest.approx(1 / 3)
    assert domain.beyond("DIDN'T pay twice") is None
    assert domain.beyond("never paid twice") is not None


def test_refusals():
    with pytest.raises(InputError):
        ApplicabilityDomain.learn([], ["a"])
    with pytest.raises(OptionError, match="covers"):
        ApplicabilityDomain.learn(["a"], ["a"], covers=0.0)
    with pytest.raises(OptionError, match="rarest"):
        ApplicabilityDomain(vocabulary=frozenset(), longest=3, rarest=1.5)


def test_texts_from_the_shortest_that_was_cut_on_are_beyond():
    domain = ApplicabilityDomain.learn(["paid late fee"], ["paid late"] * 5, covers=1.0, cut_from=9)
    why = "the teacher may read a part only (texts from 9 characters on)"
    assert [domain.beyond(text) for text in ("paid fee", "paid late")] == [None, why]
    assert domain.outside(["paid fee", "paid late"]).tolist() == [False, True]
    assert ApplicabilityDomain.from_json(domain.to_json()) == domain
    assert (domain.longest, domain.rarest, domain.cut_from) == (2, 0.0, 9)
    with pytest.raises(OptionError, match="cut_from=0"):
        ApplicabilityDomain.learn(["a"], ["a"], cut_from=0)


def test_an_older_file_has_no_cut():
    tree = {"longest": 3, "rarest": 0.5, "vocabulary": ["a"]}
    assert ApplicabilityDomain.from_json(tree).cut_from is None
    with pytest.raises(RecordError, match="not a valid 'ApplicabilityDomain': at cut_from"):
        ApplicabilityDomain.from_json({**tree, "cut_from": "long"})


def test_the_share_is_of_words_and_marks():
    assert unknown_token_rate("", frozenset()) == 0.0
    assert unknown_token_rate("?!", frozenset()) == 1.0
    assert unknown_token_rate("Late?", frozenset({"late"})) == 0.5


def test_a_stored_domain_spells_out_no_word_and_decides_alike():
    names = [f"surname{i}" for i in range(420)]
    texts = [f"{name} paid late, then in full" for name in names]
    domain = ApplicabilityDomain.learn(texts, texts[:50])
    stored = domain.to_json().decode()
    assert not any(name in stored for name in [*names, "late"])
    plain = frozenset(word for text in texts for word in words(text))
    # As earlier versions stored it: the words themselves, without a salt.
    old = ApplicabilityDomain(vocabulary=plain, longest=domain.longest, rarest=domain.rarest)
    tree = old.to_tree()
    del tree["salt"]
    old = ApplicabilityDomain.from_tree(tree)
    again = ApplicabilityDomain.from_json(stored)
    for text in [*texts[:20], "unknown words", "surname1 and surname2", "surname9 paid"]:
        assert again.beyond(text) == old.beyond(text)
