"""What tests of processors may ask for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.processors import mail_server
from tests.processors.certificates import Authority


@pytest.fixture
async def mails() -> AsyncIterator[mail_server.MailServer]:
    """A mail server that takes everything unless told otherwise, without TLS."""
    async with mail_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that attachments may come from."""
    made = tmp_path / "attachments"
    made.mkdir()
    return made
