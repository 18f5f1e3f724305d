"""What an application brings by its settings: which names are taken, and what is said of others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamq.brought import Beside, CannotBring, named
from streamq.cli.dev_beside import ENV_FILE, brought
from streamq.errors import InvalidSetting, UnknownSetting
from streamq.settings import shown
from tests.support.settings_files import load

FILE = """
[dev]
beside = "shop.servers:beside"
url_variable = "SHOP_URL"
[web]
links = "shop.pages:links"
"""
VARIABLE = "STREAMQ_TEST_BROUGHT"
NO_FUNCTION = 17

ended: list[Path] = []


@contextmanager
def servers(folder: Path) -> Iterator[Beside]:
    yield Beside({VARIABLE: str(folder)}, (("shelf", "stands"),))
    ended.append(folder)


@contextmanager
def something_else(folder: Path) -> Iterator[str]:
    yield "a server"


def nothing(folder: Path) -> None:
    return None


def test_the_tables_of_dev_and_web_are_read(tmp_path: Path) -> None:
    settings = load(tmp_path, FILE, STREAMQ_DEV__URL_VARIABLE="APP_URL")

    assert settings.dev_beside == "shop.servers:beside"
    assert settings.dev_url_variable == "APP_URL"
    assert settings.web_links == "shop.pages:links"
    origins = {line.key: line.origin for line in shown(settings)}
    assert origins["dev.beside"] == str(tmp_path / "streamq.toml")
    assert origins["dev.url_variable"] == "STREAMQ_DEV__URL_VARIABLE"


@pytest.mark.parametrize(
    ("file", "meant"),
    [
        ('[dev]\nbesides = "a:b"', 'Did you mean "beside"?'),
        ('[web]\nlink = "a:b"', 'Did you mean "links"?'),
        ('[devs]\nbeside = "a:b"', 'Did you mean "dev"?'),
    ],
)
def test_a_slip_in_their_names_is_told(tmp_path: Path, file: str, meant: str) -> None:
    with pytest.raises(UnknownSetting) as refused:
        load(tmp_path, file)

    assert meant in str(refused.value)


@pytest.mark.parametrize("value", ['"shop.servers"', '"a b:c"', "17", "true"])
def test_what_is_no_name_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidSetting, match=r"shop\.servers:beside"):
        load(tmp_path, f"[dev]\nbeside = {value}")


def test_servers_are_up_for_the_block_and_the_environment_knows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "")  # put back at the end
    monkeypatch.chdir(tmp_path)
    Path(".streamq").mkdir()
    ended.clear()

    with brought(f"{__name__}:servers") as facts:
        assert facts == (("shelf", "stands"),)
        assert os.environ[VARIABLE] == ".streamq"
        assert Path(ENV_FILE).read_text() == f"{VARIABLE}=.streamq\n"
        assert Path(ENV_FILE).stat().st_mode & 0o077 == 0
        assert not ended

    assert ended == [Path(".streamq")]
    assert not Path(ENV_FILE).exists()


def test_without_the_setting_nothing_is_brought() -> None:
    with brought(None) as facts:
        assert facts == ()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("no_such_module:servers", "ModuleNotFoundError"),
        (f"{__name__}:severs", "AttributeError"),
        (f"{__name__}:NO_FUNCTION", "it is a int, no function"),
    ],
)
def test_a_name_that_leads_nowhere_says_what_was_looked_for(target: str, why: str) -> None:
    with pytest.raises(CannotBring) as refused:
        named("dev.beside", target)

    assert f"Setting dev.beside names {target}" in str(refused.value)
    assert why in str(refused.value)


@pytest.mark.parametrize("name", ["something_else", "nothing"])
def test_what_brings_something_else_is_refused(name: str) -> None:
    with pytest.raises(CannotBring, match="gives no"), brought(f"{__name__}:{name}"):
        pass
