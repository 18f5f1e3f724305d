"""What is in an app, and a command that adds a job to it: for whoever has just begun."""

import json
import shlex
from collections.abc import Iterator
from typing import Final

from msgspec import inspect

from streamq.app import App
from streamq.cli.text import number
from streamq.handlers import Handler

_FIELDS_MAX: Final = 8
_PLAIN: Final[tuple[tuple[type[inspect.Type], object], ...]] = (
    (inspect.StrType, "..."),
    (inspect.IntType, 1),
    (inspect.FloatType, 1.0),
    (inspect.BoolType, True),
    (inspect.ListType, []),
    (inspect.NoneType, None),
)


def add_command(app: App) -> str | None:
    """For the first handler, by queue and name; None for an app without handlers."""
    handler = next(handlers_of(app), None)
    return None if handler is None else _command(handler)


def contents(app: App) -> str:
    """`9 queues, 9 handlers, 9 schedules`."""
    found = [
        number(len(app.queue_names()), "queue"),
        number(len([*handlers_of(app)]), "handler"),
    ]
    if schedules := len(app.schedules.declared):
        found.append(number(schedules, "schedule"))
    return ", ".join(found)


def handlers_of(app: App) -> Iterator[Handler]:
    """Every handler of an app that jobs may be added for, by queue and name."""
    for queue in app.queue_names():
        for name in app.handlers.names(queue, planners=False):
            # A pattern is found under its own name too: the star stands for any text.
            if (handler := app.handlers.find(queue, name)) is not None:
                yield handler


def _command(handler: Handler) -> str:
    name = handler.name
    if name.endswith("*"):
        # Any name that the pattern takes: the function's own is as good as another.
        name = name[:-1] + str(getattr(handler.function, "__name__", "job")).replace("_", "-")
    payload = json.dumps(_example_of(inspect.type_info(handler.codec.kind)), ensure_ascii=False)
    return f"streamq add {handler.queue} {name} {shlex.quote(payload)} --wait"


def _has_example(kind: inspect.Type) -> bool:
    match kind:
        case inspect.Metadata(extra_json_schema={"examples": [_, *_]}):
            return True
        case _:
            return False


def _example_of(kind: inspect.Type) -> object:
    """A value of that type: its own example (`Meta(examples=[...])`), of a struct what it needs
    and what has one."""
    match kind:
        case inspect.Metadata(extra_json_schema={"examples": [first, *_]}):
            return first
        case inspect.Metadata(type=inner):
            return _example_of(inner)
        case inspect.StructType(fields=fields) | inspect.DataclassType(fields=fields):
            needed = [f for f in fields if f.required or _has_example(f.type)][:_FIELDS_MAX]
            return {field.encode_name: _example_of(field.type) for field in needed}
        case inspect.UnionType(types=(first, *_)):
            return _example_of(first)
        case inspect.LiteralType(values=(first, *_)):
            return first
        case inspect.EnumType(cls=choices):
            return next(iter(choices)).value
        case _:
            return next((value for of, value in _PLAIN if isinstance(kind, of)), {})
