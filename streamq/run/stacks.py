"""The stacks of an event loop's tasks, as text for a log: what is everybody waiting for?"""

import asyncio
import types
from collections.abc import Iterator
from typing import Final

TASKS_MAX: Final = 200
FRAMES_MAX: Final = 30


def stacks_of_loop() -> str:
    """One paragraph a task of the running loop, the innermost frame last; at most TASKS_MAX."""
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    parts = [
        "\n  ".join([task.get_name(), *_frames(task.get_coro())]) for task in tasks[:TASKS_MAX]
    ]
    if len(tasks) > TASKS_MAX:
        parts.append(f"and {len(tasks) - TASKS_MAX} more")
    return "\n".join(parts)


def _frames(awaited: object) -> Iterator[str]:
    """From a coroutine to what it awaits, and so on: a task itself shows only the outermost."""
    for _ in range(FRAMES_MAX):
        match awaited:
            case types.CoroutineType():
                frame, inner = awaited.cr_frame, awaited.cr_await
            case types.GeneratorType():
                frame, inner = awaited.gi_frame, awaited.gi_yieldfrom
            case types.AsyncGeneratorType():
                frame, inner = awaited.ag_frame, awaited.ag_await
            case _:
                if awaited is not None:
                    yield f"waits for {type(awaited).__name__}"
                return
        if frame is None:
            return
        yield f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        awaited = inner
