"""Names of the files in a stored student's folder."""

from typing import Final

__all__ = [
    "CARD",
    "CERTIFICATE",
    "COMPACT",
    "LOCK",
    "MANIFEST",
    "MODEL",
    "ORIGIN",
    "OURS",
    "REPORT",
    "ROUTER",
    "WEIGHTS",
]

MODEL: Final = "model.json"
"""The student: the source of truth, readable by a person."""

WEIGHTS: Final = "weights.safetensors"
"""Arrays that are too long for the model file."""

CERTIFICATE: Final = "certificate.json"
"""The measurements of the student on held-out texts."""

ORIGIN: Final = "provenance.json"
"""Teacher, date and parts of the texts."""

ROUTER: Final = "router.json"
"""Threshold, regions, applicability domain and audits."""

REPORT: Final = "report.html"
"""The page a person reads."""

CARD: Final = "README.md"
"""The model card."""

COMPACT: Final = "compact"
"""The folder of a small transformer."""

MANIFEST: Final = "manifest.json"
"""The SHA-256 of every file."""

LOCK: Final = ".lock"
"""Held by the process that writes to the folder."""

OURS: Final = frozenset(
    [
        *(MODEL, WEIGHTS, CERTIFICATE, ORIGIN, ROUTER, REPORT, CARD, COMPACT, MANIFEST),
        *("rules.md", "rules.sql", "tree.svg", "model.onnx"),
    ]
)
"""What is written anew with each student; all else in its folder is the user's."""
