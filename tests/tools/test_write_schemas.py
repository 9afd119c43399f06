"""The command that the page of records names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from whence.core.store import RECORDS

ROOT = Path(__file__).parents[2]


def test_the_schemas_are_written_to_a_folder(tmp_path):
    page = (ROOT / "docs" / "reference" / "records.md").read_text("utf-8")
    command = "python tools/write_schemas.py FOLDER"
    assert f"`{command}`" in page
    folder = tmp_path / "schema"
    arguments = command.replace("FOLDER", str(folder)).split()[1:]
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True)
    assert {path.stem for path in folder.iterdir()} == set(RECORDS)
    for kind, record in RECORDS.items():
        assert json.loads((folder / f"{kind}.json").read_text("utf-8")) == record.json_schema()
