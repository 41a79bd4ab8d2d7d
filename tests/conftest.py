"""For all tests: property tests draw the same examples every time, no machine is too slow, workers take whole files."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Two processes that compile the same loops at once can spoil each other's cache, so every worker has its own.
if worker := os.getenv("PYTEST_XDIST_WORKER"):
    os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / f"numba-{worker}")

settings.register_profile("dalsegno", deadline=None, derandomize=True)
settings.load_profile("dalsegno")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from tests.workers import Files

    return Files(config, log)
