"""Writes the JSON Schema of every kind of record to docs/reference/schema."""

from __future__ import annotations

import json
from pathlib import Path

from whence.core.store import RECORDS

FOLDER = Path(__file__).parents[1] / "docs" / "reference" / "schema"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for kind, record in RECORDS.items():
        text = json.dumps(record.json_schema(), indent=2, sort_keys=True) + "\n"
        (FOLDER / f"{kind}.json").write_text(text)
        print(FOLDER / f"{kind}.json")


if __name__ == "__main__":
    main()
