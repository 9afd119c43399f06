"""Views are loaded when a value is first displayed, and a class without one is refused by name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.samples import attribution

from whence.core import display
from whence.core.errors import CapabilityError


@pytest.mark.parametrize(
    ("view", "form"),
    [
        (display.text_of, "text"),
        (display.fragment_of, "an HTML element"),
        (display.page_of, "a page"),
    ],
)
def test_a_class_without_a_view_is_refused(view, form):
    with pytest.raises(CapabilityError, match=f"a complex has no view as {form}"):
        view(1j)


def test_a_page_is_written_where_a_path_is_given(tmp_path):
    path = tmp_path / "e.html"
    page = display.page_of(attribution(), path)
    assert path.read_text("utf-8") == page


def test_views_are_loaded_at_the_first_display():
    code = (
        "import sys\n"
        "from whence.core.display import text_of\n"
        "from tests.samples import attribution\n"
        "assert 'whence.app.views' not in sys.modules\n"
        "assert 'pain' in text_of(attribution())\n"
        "assert 'whence.app.views' in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
