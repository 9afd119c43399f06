from __future__ import annotations

import numpy as np
import pytest
from tests.samples import attribution, trust_label

from whence.core import KeptPool, MethodSpec, TrustError, read_record
from whence.core.arrays import frozen_array


def test_a_label_reads_back(tmp_path):
    path = tmp_path / "label.json"
    label = trust_label()
    label.save(path)
    assert read_record(path) == label
    judged = attribution(trust=label)
    judged.save(path)
    assert read_record(path) == judged


def test_masks_read_back_as_booleans():
    assert trust_label().pool.coalitions().tolist() == [[True, False, False], [False, True, True]]
    assert KeptPool(
        masks=(),
        values=frozen_array(np.zeros((0, 1))),
        full=frozen_array([1.0]),
        complete=True,
        seed=0,
        masker=MethodSpec(name="Deletion"),
    ).coalitions().shape == (0, 0)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"masks": ("10",)}, "1 masks and 2 rows"),
        ({"masks": ("10", "1")}, "one length"),
        ({"masks": ("10", "1x")}, "one length"),
        ({"full": frozen_array([1.0])}, "as many answers"),
    ],
)
def test_pools_that_do_not_fit_are_refused(changes, match):
    kept = {
        "masks": ("10", "01"),
        "values": frozen_array(np.zeros((2, 2))),
        "full": frozen_array([1.0, 2.0]),
        "complete": True,
        "seed": 0,
        "masker": MethodSpec(name="Deletion"),
        **changes,
    }
    with pytest.raises(ValueError, match=match):
        KeptPool(**kept)


def test_grades_are_ordered():
    label = trust_label(grade="C", reasons=("it does not add up",))
    label.require("C")
    with pytest.raises(TrustError, match=r"grade B or better.*it does not add up"):
        label.require()
    assert label.usable
    assert not trust_label(grade="abstain").usable
    trust_label(grade="uncalibrated").require("uncalibrated")


def test_an_explanation_answers_for_its_label():
    attribution(trust=trust_label(grade="A")).assert_trust("A")
    with pytest.raises(TrustError, match="never judged"):
        attribution().assert_trust()
    with pytest.raises(TrustError, match="abstain"):
        attribution(trust=trust_label(grade="abstain")).assert_trust(min="C")


def test_a_label_of_other_scores_is_refused():
    with pytest.raises(ValueError, match="'nobody', which is no output"):
        attribution(trust=trust_label(output="nobody"))
    with pytest.raises(ValueError, match="judges 1 of 3"):
        attribution(trust=trust_label(reliable=(True,)))


def test_a_measurement_is_found_by_its_name():
    label = trust_label()
    assert label.measurement("pool-fidelity").value == 0.7
    assert label.measurement("entropy") is None


def test_what_is_not_finite_is_no_measurement():
    from dataclasses import replace

    found = trust_label().measurement("pool-fidelity")
    for change in ({"value": np.nan}, {"random": np.inf}, {"best": -np.inf}):
        with pytest.raises(ValueError, match="no finite value"):
            replace(found, **change)
    with pytest.raises(ValueError, match="no finite value"):
        replace(found, interval=replace(found.interval, high=np.inf))


def test_version_2_carried_no_label():
    import json

    from whence.core import Attribution

    tree = json.loads(attribution().to_json())
    tree["schema_version"] = 2
    del tree["trust"], tree["digest"]
    assert Attribution.from_json(json.dumps(tree)) == attribution()


def test_a_selection_reads_back_and_fits_itself():
    from dataclasses import replace

    from tests.samples import selection

    from whence.core import Selection

    found = selection()
    assert Selection.from_json(found.to_json()) == found
    with pytest.raises(ValueError, match="candidates x texts"):
        replace(found, texts=3)
    with pytest.raises(ValueError, match="is no candidate"):
        replace(found, chosen="nobody")
