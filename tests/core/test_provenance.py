from __future__ import annotations

from datetime import datetime
from importlib.metadata import PackageNotFoundError

from whence.core import Cost
from whence.core import provenance as module
from whence.core.provenance import environment, now


def test_costs_add_up_field_by_field():
    one = Cost(evaluations=1, distinct_evaluations=2, gradient_evaluations=3, tokens=4, seconds=0.5)
    assert Cost.total([one, one, Cost(tokens=1)]) == Cost(
        evaluations=2, distinct_evaluations=4, gradient_evaluations=6, tokens=9, seconds=1.0
    )
    assert Cost.total([]) == Cost()


def test_the_time_is_in_utc_to_the_second():
    read = datetime.fromisoformat(now())
    assert read.utcoffset().total_seconds() == 0
    assert read.microsecond == 0


def test_packages_that_are_not_there_have_no_version(monkeypatch):
    assert set(environment()) == {"numpy", "torch", "transformers", "tokenizers"}

    def version(name):
        if name == "torch":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(module, "version", version)
    # Read anew here, and not kept for the tests after this one.
    monkeypatch.setattr(module, "_versions", module._versions.__wrapped__)
    assert environment() == {"numpy": "1", "transformers": "1", "tokenizers": "1"}
