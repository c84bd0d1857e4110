"""What holds for all tests."""

from hypothesis import settings

# No test is timed: on a busy machine a deadline would fail what is right.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
