"""Finds the App that `module:attribute` names, and says well why it cannot be had."""

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Final

from streamq.app import App
from streamq.errors import AppNotImportable, StreamqError

FOLDERS: Final = ("", "src")
"""Where applications are looked for, below the current folder."""

# What a module's own code raises while it is imported, ImportError first. Anything else is a fault
# of the machine or of ours, and its traceback is the better message.
_FAULTS: Final = (
    ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError, LookupError,
    ArithmeticError, AssertionError, RuntimeError, OSError,
)  # fmt: skip


def load_app(target: str) -> App:
    """Imports the App. Raises AppNotImportable (exit 4), and a ConfigError of the app's own."""
    name, _, attribute = target.partition(":")
    module = _imported(target, name)
    if not attribute:
        raise AppNotImportable(target, "it is to be module:app", _apps_in(name, module))
    found = getattr(module, attribute, None)
    if isinstance(found, App):
        return found
    what = "it has no attribute" if found is None else f"it is a {type(found).__name__}, no App:"
    raise AppNotImportable(target, f"{what} {attribute}", _apps_in(name, module))


def _imported(target: str, name: str) -> ModuleType:
    for folder in reversed(FOLDERS):
        path = str(Path.cwd() / folder)
        if Path(path).is_dir() and path not in sys.path:
            sys.path.insert(0, path)
    try:
        return importlib.import_module(name)
    except StreamqError:
        raise  # two handlers for one name, an unknown setting: it says more than "not importable"
    except _FAULTS as error:
        raise AppNotImportable(target, _why(error)) from error


def _why(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"ModuleNotFoundError {error.name!r}"
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    if len(frames) > 1 and not isinstance(error, SyntaxError):
        said += f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
    return said


def _apps_in(name: str, module: ModuleType) -> list[str]:
    return sorted(f"{name}:{n}" for n, value in vars(module).items() if isinstance(value, App))
