"""How the tests of methods ask: for the scores alone, since judging them asks the model more."""

from __future__ import annotations

from functools import partial

import whence

explain = partial(whence.explain, trust="off")
