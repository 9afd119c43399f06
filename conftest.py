"""Types and shapes of the whole package are checked while any of its tests runs."""

from tests.type_checks import install

install("whence")
