"""The stacks of an event loop's tasks, as text for a log: what is everybody waiting for?"""

import asyncio
import traceback
from typing import Final

TASKS_MAX: Final = 200
FRAMES_MAX: Final = 12


def stacks_of_tasks() -> str:
    """One paragraph a task of the running loop, the innermost frame last; at most TASKS_MAX."""
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    parts = []
    for task in tasks[:TASKS_MAX]:
        lines = [f"{task.get_name()}: {getattr(task.get_coro(), '__qualname__', '?')}"]
        for frame in task.get_stack(limit=FRAMES_MAX):
            lines += [
                f"  {each.filename}:{each.lineno} {each.name}: {each.line}"
                for each in traceback.extract_stack(frame, limit=1)
            ]
        parts.append("\n".join(lines))
    if len(tasks) > TASKS_MAX:
        parts.append(f"and {len(tasks) - TASKS_MAX} more")
    return "\n".join(parts)
