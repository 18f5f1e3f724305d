"""The application as a process meets it: what it needs, and how it says what is missing."""

import subprocess
import sys

import pytest

LIMIT_S = 30


@pytest.mark.parametrize(
    ("package", "what"),
    [
        ("aiosmtplib", "mails"),
        ("jinja2", "mails"),
        ("boto3", "files in S3"),
        ("httpx2", "calls by HTTP"),
        ("reportlab", "PDFs"),
        ("xlsxwriter", "workbooks"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_brings_it(
    package: str, what: str
) -> None:
    without = f"import sys; sys.modules[{package!r}] = None; import processors.app"

    ended = subprocess.run(
        [sys.executable, "-c", without],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert f'SQ601 {what} need {package}:  pip install "streamq[processors]"' in ended.stderr
