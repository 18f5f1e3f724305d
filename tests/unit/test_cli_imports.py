"""What is asked often starts in the time of a bare interpreter: it imports next to nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamq.embedded import EmbeddedServer
from tests.support.command_line import CommandLine

HEAVY = {"redis", "hiredis", "msgspec", "croniter", "asyncio", "ssl", "http", "uvloop", "inspect"}

# The console script does the same.
PROGRAM = """\
import sys
from streamq.cli import main
try:
    code = main(sys.argv[1:])
finally:
    print("\\n" + " ".join(sorted({name.partition(".")[0] for name in sys.modules})))
sys.exit(code)
"""


def _imported(line: CommandLine, *words: str) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        env=line.environ(),
        cwd=line.folder,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended
    return set(ended.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["--help"], ["health"], ["health", "--json"], ["version"]])
def test_help_health_and_version_import_nothing_heavy(
    words: list[str], server: EmbeddedServer, prefix: str, tmp_path: Path
) -> None:
    found = _imported(CommandLine(server.url, prefix, tmp_path), *words)

    assert found & HEAVY == set()


def test_the_check_sees_what_a_verb_does_import(
    server: EmbeddedServer, prefix: str, tmp_path: Path
) -> None:
    found = _imported(CommandLine(server.url, prefix, tmp_path), "queues")

    assert {"redis", "msgspec", "asyncio"} <= found
