"""An S3 of our own, moto's server, on 127.0.0.1: for development and tests.

    with S3Server(Path(".streamq/s3")) as s3:
        os.environ.update(s3.variables)

It is a process of its own, which ends when ours does, and asks nobody for a key.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streamq.errors import ConfigError

END_LIMIT_S: Final = 10.0
BACKUPS: Final = "imobibase-backups"
EXPORTS: Final = "imobibase-exports"


class NoS3(ConfigError):
    """There is no S3 of our own here, or it does not start: the message says why."""


class S3Server:
    """One server with the application's two buckets in it.

    `folder` keeps its objects as files, a second behind; None: they end with it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._kept = folder
        self._server: subprocess.Popen[str] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """For S3_ENDPOINT_URL."""
        return self._url

    @property
    def variables(self) -> dict[str, str]:
        """What the application's environment says to use it."""
        return {
            "S3_ENDPOINT_URL": self._url,
            "BACKUP_BUCKET": BACKUPS,
            "EXPORT_BUCKET": EXPORTS,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "stand-in",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
        }

    def __enter__(self) -> Self:
        if find_spec("moto") is None:
            raise NoS3(
                "S3_ENDPOINT_URL is not set, and moto is not installed:"
                ' pip install "streamq[embedded]"'
            )
        self._server = subprocess.Popen(
            [sys.executable, "-m", "processors.standins.s3_server", *self._words()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C at the terminal is not for it
        )
        assert self._server.stdout is not None
        self._url = self._server.stdout.readline().strip()
        if not self._url:
            self.__exit__(None, None, None)
            raise NoS3("moto's server did not start: what it said stands above")
        return self

    def _words(self) -> list[str]:
        kept = [] if self._kept is None else [f"--folder={self._kept.absolute()}"]
        return [BACKUPS, EXPORTS, *kept]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.close()
        try:
            server.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()
