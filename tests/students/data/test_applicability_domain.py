import pytest

from whence.core.errors import InputError, OptionError, RecordError
from whence.students.data.applicability_domain import Reach, unmet_share


def test_learnt_on_select_and_applied():
    fit = ["paid late fee", "paid"]
    select = ["paid late"] * 98 + ["new words here entirely now", "paid " * 9]
    reach = Reach.learn(fit, select, covers=0.98)
    assert (reach.longest, reach.rarest) == (5, 0.0)
    texts = ["paid late fee", "paid once", "paid " * 6]
    assert reach.outside(texts).tolist() == [False, True, True]
    assert Reach.learn(fit, select, covers=1.0).longest == 9
    assert Reach.from_json(reach.to_json()) == reach


def test_words_are_those_of_the_students_own_tokenizer():
    reach = Reach.learn(["Didn’t pay, twice."], ["didn't pay it"], covers=1.0)
    assert reach.rarest == pytest.approx(1 / 3)
    assert reach.beyond("DIDN'T pay twice") is None
    assert reach.beyond("never paid twice") is not None


def test_refusals():
    with pytest.raises(InputError):
        Reach.learn([], ["a"])
    with pytest.raises(OptionError, match="covers"):
        Reach.learn(["a"], ["a"], covers=0.0)
    with pytest.raises(OptionError, match="rarest"):
        Reach(vocabulary=frozenset(), longest=3, rarest=1.5)


def test_texts_from_the_shortest_that_was_cut_on_are_beyond():
    reach = Reach.learn(["paid late fee"], ["paid late"] * 5, covers=1.0, cut_from=9)
    why = "the teacher may read a part only (texts from 9 characters on)"
    assert [reach.beyond(text) for text in ("paid fee", "paid late")] == [None, why]
    assert reach.outside(["paid fee", "paid late"]).tolist() == [False, True]
    assert Reach.from_json(reach.to_json()) == reach
    assert (reach.longest, reach.rarest, reach.cut_from) == (2, 0.0, 9)
    with pytest.raises(OptionError, match="cut_from=0"):
        Reach.learn(["a"], ["a"], cut_from=0)


def test_an_older_file_has_no_cut():
    tree = {"longest": 3, "rarest": 0.5, "vocabulary": ["a"]}
    assert Reach.from_json(tree).cut_from is None
    with pytest.raises(RecordError, match="not a valid 'Reach': at cut_from"):
        Reach.from_json({**tree, "cut_from": "long"})


def test_the_share_is_of_words_and_marks():
    assert unmet_share("", frozenset()) == 0.0
    assert unmet_share("?!", frozenset()) == 1.0
    assert unmet_share("Late?", frozenset({"late"})) == 0.5
