"""What the tests' own runner tries again, and what it does not."""

from pathlib import Path

import msgspec
import pytest

from tests.conftest import EXIT_BROKEN
from tests.support import on_servers
from tests.support.servers import ServerKind


@pytest.mark.parametrize(
    ("code", "failed", "again", "passes"),
    [
        pytest.param(0, 0, None, True, id="all is well"),
        pytest.param(1, 2, 0, True, id="they pass alone"),
        pytest.param(1, 2, 1, False, id="one fails alone too"),
        pytest.param(1, on_servers.AGAIN_MAX + 1, None, False, id="too many"),
        pytest.param(EXIT_BROKEN, 1, None, False, id="a broken invariant"),
        pytest.param(2, 1, None, False, id="it was interrupted"),
    ],
)
def test_a_few_that_fail_beside_others_are_tried_alone(
    monkeypatch: pytest.MonkeyPatch, code: int, failed: int, again: int | None, passes: bool
) -> None:
    names = [f"tests/x.py::test_{n}" for n in range(failed)]
    ran: list[tuple[str, ...]] = []

    def run(kind: ServerKind, cache: str, *arguments: str) -> int:
        ran.append(arguments)
        kept = Path(cache) / "v" / "cache"
        kept.mkdir(parents=True, exist_ok=True)
        (kept / "lastfailed").write_bytes(msgspec.json.encode(dict.fromkeys(names, True)))
        if len(ran) == 1:
            return code
        assert again is not None, "tried again"
        return again

    monkeypatch.setattr(on_servers, "_pytest", run)

    assert on_servers._passes(ServerKind.VALKEY) is passes
    assert ran[1:] == ([] if again is None else [tuple(names)])
