"""The command line: ``whence explain | methods | models | demo | version``."""
