"""Of every test: types and shapes of the package are checked, and the order may be another."""

import itertools
import random

from tests.type_checks import install

install("whence")


def pytest_addoption(parser):
    parser.addoption(
        "--shuffle", type=int, metavar="SEED",
        help="run the files, and the tests of each file, in an order drawn by this seed",
    )  # fmt: skip


def pytest_collection_modifyitems(config, items):
    seed = config.getoption("--shuffle")
    if seed is None:
        return
    draw = random.Random(seed)
    files = [list(group) for _, group in itertools.groupby(items, key=lambda item: item.path)]
    draw.shuffle(files)
    for file in files:
        draw.shuffle(file)
    items[:] = itertools.chain.from_iterable(files)
