"""No secret is compared by `==`, whose time tells how far a guess was right. Control 6."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tidiness import PACKAGES

ROOT = Path(__file__).parents[3]
WORDS = frozenset(
    {
        "token", "secret", "sig", "signature", "password", "passwd", "digest", "hmac", "mac",
        "credential", "hash", "hashed", "seal", "cookie", "apikey",
    }
)  # fmt: skip

NO_SECRETS = {
    "streamq/run/sleep.py": "a token there is one that wakes a worker, and lies in a list of Redis",
    "processors/integrations/portal.py": "the digest of a feed that is open to all",
    "processors/integrations/pushing.py": "the hash of a row, to see whether it changed",
}


def compared(source: str) -> Iterator[str]:
    """The comparisons of a source that could tell a secret: with `==` or `!=`, by a name of one.

    Against a literal there is nothing to tell: it stands in the source. How long a secret is, is
    none.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        if not any(isinstance(each, ast.Eq | ast.NotEq) for each in node.ops):
            continue
        if any(isinstance(side, ast.Constant) or _is_length(side) for side in sides):
            continue
        if any(_words(side) & WORDS for side in sides):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _is_length(side: ast.expr) -> bool:
    return isinstance(side, ast.Call) and isinstance(side.func, ast.Name) and side.func.id == "len"


def _words(side: ast.expr) -> set[str]:
    """The words of the name that a side of a comparison goes by."""
    while isinstance(side, ast.Call | ast.Subscript | ast.Attribute):
        if isinstance(side, ast.Attribute):
            return set(side.attr.lower().split("_")) | _words(side.value)
        side = side.func if isinstance(side, ast.Call) else side.value
    return set(side.id.lower().split("_")) if isinstance(side, ast.Name) else set()


FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_no_secret_is_compared_by_its_beginning() -> None:
    assert len(FILES) > 100
    found = {
        str(path.relative_to(ROOT)): said
        for path in FILES
        if str(path.relative_to(ROOT)) not in NO_SECRETS
        and (said := list(compared(path.read_text("utf-8"))))
    }

    assert found == {}
    assert all((ROOT / name).is_file() for name in NO_SECRETS)


@pytest.mark.parametrize(
    "source",
    [
        "given == token", "self.secret != given", "x if a.session_token == b else y",
        "signature(x) == y", "request.headers['x'] == self._settings.cron_secret",
        "digest.hex() == given", "a == b == password",
    ],
)  # fmt: skip
def test_the_rule_sees_what_it_is_for(source: str) -> None:
    assert list(compared(source))


@pytest.mark.parametrize(
    "source",
    [
        "token == ''", "secret is None", "compare_digest(token, given)", "x == y", "token in known",
        "len(keys.secret) != SECRET_BYTES",
    ],
)  # fmt: skip
def test_the_rule_lets_what_is_in_order_pass(source: str) -> None:
    assert not list(compared(source))
