"""The marks of progress that a handler sets on its way."""

import pytest

from streamq import Context


def progress_marks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Whole percents, in order, of all handlers that run from now on in this test."""
    marks: list[int] = []
    real = Context.progress

    def progress(self: Context, value: float) -> object:
        marks.append(round(value * 100))
        return real(self, value)

    monkeypatch.setattr(Context, "progress", progress)
    return marks
