"""A real browser for tests: Debian's Chromium, driven by playwright; else a line says why not."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support import apt

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
PACKAGE: Final = "chromium"
LIMIT_MS: Final = 20_000.0


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips the test where there is none; in CI that is a failure, after Debian's was asked for."""
    program = _found()
    if program is None and apt.may_install():
        apt.install(PACKAGE)
        program = _found()
    if program is None:
        missing = f"no browser on PATH ({', '.join(PROGRAMS)}): apt-get install {PACKAGE}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    # A container's root has no sandbox of the browser's own; what is opened here is ours.
    words = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=words, timeout=LIMIT_MS)
        try:
            yield browser
        finally:
            browser.close()


def _found() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)
