"""How the SDK of Sentry is started, and that nobody pays for it who does not."""

import subprocess
import sys

import pytest
import sentry_sdk

from streamq import sentry
from streamq.errors import InvalidSetting, MissingExtra
from streamq.settings import Settings, load_settings, shown
from tests.support.sentry_side import DSN, started, stop


def test_without_a_dsn_nothing_is_started() -> None:
    assert not sentry.start(Settings())
    assert not sentry.active()


def test_nothing_of_the_sdk_is_imported_by_who_does_not_use_it() -> None:
    program = "import sys, streamq.app, streamq.run.worker; print('sentry_sdk' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout == "False\n"


def test_it_is_started_once_and_one_that_runs_is_left_as_it_is() -> None:
    with started():
        client = sentry_sdk.get_client()
        assert sentry.start(Settings(sentry_dsn=DSN))
        assert sentry_sdk.get_client() is client
        assert sentry.is_ours()
    assert not sentry.active()


def test_an_applications_own_is_left_as_it_is() -> None:
    sentry_sdk.init(DSN, default_integrations=False)
    try:
        client = sentry_sdk.get_client()
        assert sentry.start(Settings(sentry_dsn="https://def@sentry.example/2"))
        assert sentry_sdk.get_client() is client
        assert not sentry.is_ours()
    finally:
        stop()


def test_what_is_no_dsn_is_said_without_its_key() -> None:
    settings = load_settings(environ={"SENTRY_DSN": "https://s3cr3t@sentry.example/no-number"})

    with pytest.raises(InvalidSetting) as refused:
        sentry.start(settings)

    assert str(refused.value).startswith(
        'SQ311 Setting sentry_dsn = "https://***@sentry.example/no-number" (from SENTRY_DSN):'
    )
    assert "s3cr3t" not in str(refused.value)


def test_the_key_is_not_shown_with_the_settings() -> None:
    lines = {line.key: line for line in shown(load_settings(environ={"SENTRY_DSN": DSN}))}

    assert lines["sentry_dsn"].value == '"https://***@sentry.example/1"'
    assert lines["sentry_dsn"].origin == "SENTRY_DSN"


def test_a_missing_library_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    monkeypatch.setattr(sentry, "active", lambda: False)

    with pytest.raises(MissingExtra) as refused:
        sentry.start(Settings(sentry_dsn=DSN))

    assert str(refused.value) == (
        'SQ601 Reports to Sentry need sentry-sdk:  pip install "streamq[sentry]"'
    )


@pytest.mark.parametrize("share", ["0", "1", "0.25", ".5"])
def test_the_share_of_traces_is_a_number_from_0_to_1(share: str) -> None:
    settings = load_settings(environ={"SENTRY_TRACES_SAMPLE_RATE": share})

    assert settings.sentry_traces == float(share)


@pytest.mark.parametrize("share", ["2", "-1", "x", "1.5", "1e-3"])
def test_what_is_no_share_is_refused(share: str) -> None:
    with pytest.raises(InvalidSetting, match="give a number from 0 to 1"):
        load_settings(environ={"SENTRY_TRACES_SAMPLE_RATE": share})
