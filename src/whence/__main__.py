"""``python -m whence`` and the installed command ``whence``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; a stop while its libraries are loaded ends like any other."""
    try:
        # Imported when run: the command line brings typer and rich.
        from whence.app.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("whence: stopped", file=sys.stderr)  # noqa: T201
        # Exit.INTERRUPTED, which may be what was being loaded.
        sys.exit(130)


if __name__ == "__main__":
    main()
