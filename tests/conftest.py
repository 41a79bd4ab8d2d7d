"""For all tests: property tests draw the same examples every time, no machine is too slow, workers take whole files."""

import pytest
from hypothesis import settings

settings.register_profile("dalsegno", deadline=None, derandomize=True)
settings.load_profile("dalsegno")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from tests.workers import Files

    return Files(config, log)
