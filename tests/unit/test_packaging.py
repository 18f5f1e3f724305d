"""What is built can be installed and used: nothing that is read at run time is left behind."""

import email.parser
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SHIPPED: Final = [name for name in ("streamq", "processors", "admin") if (ROOT / name).is_dir()]
CORE: Final = {"redis", "hiredis", "msgspec", "croniter", "tzdata"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=50,
    )
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_ships_every_file_of_its_packages_and_no_tests(wheel: zipfile.ZipFile) -> None:
    ours = {
        path.relative_to(ROOT).as_posix()
        for name in SHIPPED
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert shipped == ours
    assert {f"{name}/py.typed" for name in SHIPPED} <= shipped


def test_the_core_needs_five_packages_and_no_more(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    said = email.parser.Parser().parsestr(wheel.read(name).decode())

    needed = [each for each in said.get_all("Requires-Dist", []) if "extra ==" not in each]

    assert {each.partition(">")[0].partition("<")[0].strip() for each in needed} == CORE


def test_every_locked_package_is_pinned_by_hash() -> None:
    for name in ("requirements.lock", "requirements-markers.lock"):
        for entry in _entries((ROOT / name).read_text()):
            assert "==" in entry, f"{name}: {entry}"
            assert "--hash=sha256:" in entry, f"{name}: {entry}"


def test_what_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(each for name in extras for each in extras[name])]
    locked = {
        entry.partition("==")[0] for entry in _entries((ROOT / "requirements.lock").read_text())
    }

    names = {_name(each) for each in asked} - {"streamq"}

    assert names <= locked, f"not in requirements.lock: {sorted(names - locked)}; run `make lock`"


def _entries(lock: str) -> list[str]:
    """Each requirement with its hashes on one line."""
    lines = (line for line in lock.splitlines() if not line.lstrip().startswith("#"))
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def _name(requirement: str) -> str:
    for stop in "[<>=!~; ":
        requirement = requirement.partition(stop)[0]
    return requirement.lower()
