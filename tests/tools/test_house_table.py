"""What the tool counts, on a package small enough to count by hand."""

from __future__ import annotations

from tools.house_table import table

FILES = {
    "__init__.py": "",
    "scoring.py": """\
from whence.model import Model

# A comment of its own.
def score(model, text, *, seed=0, **options):  # one that follows code
    return isinstance(model, FittedRules | Model)
""",
    "model.py": """\
from typing import TYPE_CHECKING
from whence import scoring

if TYPE_CHECKING:
    import whence.view


class Model:
    def answer(self, text):
        return scoring.score(self, text)
""",
    "view.py": "import whence.model\n",
    "families/rules.py": """\
class FittedRules:
    def same(self, other):
        return isinstance(other, FittedRules)
""",
}


def test_everything_is_counted(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "src/whence" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    counted = table(tmp_path)
    assert counted["files"] == "5"
    assert counted["lines of source"] == "19"
    assert counted["median file, lines"] == "3"
    assert counted["largest file, lines"] == "10"
    assert counted["largest function, lines"] == "2"
    assert counted["most parameters of a function"] == "4"
    assert counted["comment lines"] == f"{1 / 19:.1%}".replace("%", " %")
    assert counted["isinstance branches on student families"] == "1"
    assert counted["modules whose name ends in -ing"] == "1"
    # scoring and model import each other; the view is only imported for types.
    assert counted["modules in an import cycle"] == "2"
