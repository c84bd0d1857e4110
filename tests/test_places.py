"""Where our files lie."""

import pytest

from sdmtop.places import config_file, screens_directory, state_directory


@pytest.fixture(params=[0, 1000])
def user(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("os.geteuid", lambda: request.param)
    return int(request.param)


def test_the_base_directories_of_xdg_are_respected(user: int) -> None:
    environment = {"XDG_CONFIG_HOME": "/c/", "XDG_STATE_HOME": "/s", "HOME": "/home/u"}
    assert config_file(environment) == "/c/sdmtop/config.toml"
    assert state_directory(environment) == ("/s/sdmtop" if user else "/var/lib/sdmtop")


@pytest.mark.parametrize("set_to", ["", "relative/path"])
def test_without_them_the_usual_places_below_home_hold(user: int, set_to: str) -> None:
    environment = {"XDG_CONFIG_HOME": set_to, "XDG_STATE_HOME": set_to, "HOME": "/home/u"}
    assert config_file(environment) == "/home/u/.config/sdmtop/config.toml"
    state = "/home/u/.local/state/sdmtop" if user else "/var/lib/sdmtop"
    assert state_directory(environment) == state
    assert screens_directory(environment) == f"{state}/screens"


def test_without_a_home_the_users_entry_tells_it() -> None:
    assert config_file({}).startswith("/")
