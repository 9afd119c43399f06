"""``python -m whence``: the same command as ``whence``."""

from __future__ import annotations

if __name__ == "__main__":
    # Imported when run: the command line brings typer and rich.
    from whence.app.cli.main import main

    main()
