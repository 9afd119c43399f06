"""The JSON Schema of every kind of record, written when the docs are built.

``mkdocs.yml`` names this file as a hook; the schemas appear under ``reference/schema/``. Without the
docs: ``python tools/write_schemas.py FOLDER``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from whence.core.store import RECORDS


def schemas() -> dict[str, str]:
    """The schema of each kind, as JSON text."""
    return {
        kind: json.dumps(record.json_schema(), indent=2, sort_keys=True) + "\n"
        for kind, record in RECORDS.items()
    }


def on_files(files: Any, *, config: Any) -> Any:
    """Add the schemas to the files of the site; mkdocs calls this by its name."""
    from mkdocs.structure.files import File

    for kind, text in schemas().items():
        files.append(File.generated(config, f"reference/schema/{kind}.json", content=text))
    return files


def main(arguments: list[str]) -> None:
    """Write the schema of each kind to a folder."""
    if len(arguments) != 1:
        raise SystemExit(f"expected one folder, got {len(arguments)} arguments")
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for kind, text in schemas().items():
        (folder / f"{kind}.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
