"""What holds for all tests."""

import os

import pytest
from hypothesis import settings

# No test is timed: on a busy machine a deadline would fail what is right.
settings.register_profile("untimed", deadline=None)
settings.register_profile("deep", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "untimed"))


@pytest.hookimpl(optionalhook=True)  # There may be no xdist.
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: half of their time tests of the console wait for a screen to come to rest."""
    return 2 * (os.cpu_count() or 1)
