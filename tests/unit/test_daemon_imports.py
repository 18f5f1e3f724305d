"""The daemon keeps away from what its children run."""

import subprocess
import sys

IMPORTS = """
import sys
import streamq.run.daemon
print(sorted(m for m in sys.modules if m.split(".")[0] in ("streamq", "uvloop", "psutil")))
"""


def test_it_imports_neither_an_app_nor_what_runs_handlers() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=30, check=True
    )

    assert "streamq.run.daemon" in done.stdout
    for module in ("streamq.app", "streamq.run.worker", "streamq.run.child", "uvloop", "psutil"):
        assert f"'{module}'" not in done.stdout
