from __future__ import annotations

import json

import numpy as np
import pytest
from tests.asking import explain
from tests.zoo.families import FAMILIES

import whence
from whence.core import InputError, OptionError, RecordError
from whence.workflows.adopt import read_explanation

TEXT = "the payment was late again and the bank did not wait for it any more"


def _late(texts):
    return [3.0 * t.count("late") - 1.0 * t.count("wait") for t in texts]


def test_a_kept_explanation_is_judged_as_it_would_have_been(tmp_path):
    model = whence.load(FAMILIES["bert"]().pair)
    found = whence.explain(model, TEXT, method="leave-one-out", trust="default")
    path = tmp_path / "kept.json"
    found.save(path)
    kept = whence.read_record(path)
    assert kept == found
    again = whence.judge(model, kept, level="default").trust
    assert [q.finding for q in again.quantities] == [q.finding for q in found.trust.quantities]
    # Answers of single precision from batches of other sizes; the value is a share of 1.
    assert again.quantities[0].measurements[0].value == pytest.approx(
        found.trust.quantities[0].measurements[0].value, abs=1e-5
    )
    with pytest.raises(OptionError, match="unknown level"):
        whence.judge(model, kept, level="thorough")


def test_pairs_and_conversations_are_put_again():
    model = whence.load(FAMILIES["bert"]().pair)
    pair = explain(model, ("the bank paid", "it was late"), method="leave-one-out")
    assert whence.judge(model, pair, level="quick").trust.quantities
    writer = whence.load(FAMILIES["llama"]().pair)
    if writer._tokenizer.chat_template:
        messages = [{"role": "user", "content": "was it late"}]
        said = explain(writer, messages, method="leave-one-out")
        assert whence.judge(writer, said, level="quick").trust.quantities


def test_another_text_is_not_put_in_its_place():
    model = whence.load(_late)
    found = explain(model, TEXT)
    with pytest.raises(InputError, match=r"they differ|other tokens"):
        whence.judge(model, found, source="another text")


def test_scores_from_elsewhere_are_judged(tmp_path):
    model = whence.load(_late)
    words = [(word, 3.0 * (word == "late") - 1.0 * (word == "wait")) for word in TEXT.split()]
    good = whence.judge(model, whence.adopt(model, TEXT, words, method="lime 0.2"), level="default")
    assert good.trust.grade == "uncalibrated"
    assert good.provenance.method.name == "lime 0.2"
    assert good.trust.quantities[4].finding == "not_measured"
    rng = np.random.default_rng(3)
    bad = [(word, float(rng.normal())) for word in TEXT.split()]
    assert whence.judge(model, whence.adopt(model, TEXT, bad)).trust.grade == "abstain"
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps({"text": TEXT, "scores": words, "method": "theirs"}))
    assert np.array_equal(read_explanation(model, path).scores[:, 0], [s for _, s in words])


@pytest.mark.parametrize(
    ("scores", "match"),
    [
        ([], "got none"),
        ([("late", float("nan"))], "finite score"),
        ([("late", True)], "finite score"),
        ([("late", 1.0), ("payment", 1.0)], "reading order"),
        ([("late",)], "finite score"),
        ([("", 1.0)], r"expected \(word, score\)"),
        ([(0.5, 1, 1.0)], r"expected \(word, score\)"),
    ],
)
def test_scores_that_do_not_fit_the_text_are_refused(scores, match):
    with pytest.raises(InputError, match=match):
        whence.adopt(whence.load(_late), TEXT, scores)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "is not JSON"),
        ("[1]", "neither"),
        ('{"text": "a"}', "neither"),
        ('{"text": "a", "scores": [], "colour": 1}', "only"),
        ('{"text": "a", "scores": 3}', "list of"),
        ('{"kind": "banana"}', "banana"),
    ],
)
def test_files_that_hold_no_explanation_are_refused(tmp_path, content, match):
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=match):
        read_explanation(whence.load(_late), path)
    with pytest.raises(RecordError, match="could not read"):
        read_explanation(whence.load(_late), tmp_path / "nowhere.json")


def test_an_attribution_is_wanted(tmp_path):
    model = whence.load(_late)
    found = whence.explain(model, TEXT, method="leave-one-out")
    path = tmp_path / "label.json"
    found.trust.save(path)
    with pytest.raises(RecordError, match="expected an attribution"):
        read_explanation(model, path)
    found.save(path)
    assert read_explanation(model, path) == found


def test_replaying_a_record():
    tiny = FAMILIES["bert"]()
    model = whence.load(tiny.pair)
    found = whence.explain(model, TEXT, method="leave-one-out")
    held = whence.verify(model, found)
    assert held.holds
    assert held.asked == 5
    assert held.same_model is True
    assert held.worst <= held.tolerance
    bare = whence.verify(model, explain(model, TEXT, method="leave-one-out"))
    assert bare.asked == 1
    other = whence.verify(whence.load(FAMILIES["bert"](num_hidden_layers=1).pair), found)
    assert not other.holds
    assert other.same_model is False
    for settings, match in (({"masks": -1}, "masks=-1"), ({"tolerance": 0.0}, "above 0")):
        with pytest.raises(OptionError, match=match):
            whence.verify(model, found, **settings)


def test_a_forged_answer_is_found():
    from dataclasses import replace

    model = whence.load(_late)
    found = whence.explain(model, TEXT, method="leave-one-out")
    values = np.array(found.trust.pool.values)
    values[3] += 0.5
    forged = replace(
        found, trust=replace(found.trust, pool=replace(found.trust.pool, values=values))
    )
    replayed = whence.verify(model, forged, masks=len(values))
    assert not replayed.holds
    assert "1 of 33" in replayed.says
    # The answers are the same, the weights are not known to be.
    assert whence.verify(model, found).same_model is None


def test_a_record_is_replayed_by_the_masker_of_its_pool():
    model = whence.load(FAMILIES["bert"]().pair)
    found = whence.explain(model, TEXT, method="input-x-gradient", masker="deletion")
    assert whence.verify(model, found).holds
    judged = whence.judge(model, found, level="quick", masker="pad")
    assert judged.trust.pool.masker.name == "Pad"
    assert whence.verify(model, judged).holds
    with pytest.raises(OptionError, match="seed=-1"):
        whence.verify(model, found, seed=-1)
    with pytest.raises(OptionError, match="seed=-1"):
        whence.judge(model, found, seed=-1)


def test_scores_from_elsewhere_are_not_made_again_under_a_name_of_ours():
    model = whence.load(_late)
    words = [(word, float(word == "late")) for word in TEXT.split()]
    judged = whence.judge(model, whence.adopt(model, TEXT, words, method="lime"))
    assert judged.trust.quantities[4].finding == "not_measured"
