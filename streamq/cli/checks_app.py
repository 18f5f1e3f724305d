"""Can the application be imported, and do its handlers say what they take?"""

from collections.abc import Iterator

from streamq.cli.checks import Finding, Level
from streamq.cli.example import contents, handlers_of
from streamq.errors import ConfigError, InvalidInput
from streamq.handlers import Handler
from streamq.run.loading import load_app
from streamq.settings import Settings


def app_findings(target: str | None, settings: Settings) -> Iterator[Finding]:
    """Imports it: its modules run, its lifespan does not."""
    if target is None:
        yield Finding(
            "app",
            Level.NOTE,
            "none is named, so nothing is known of handlers",
            'app = "module:app" in streamq.toml, or: streamq doctor module:app',
        )
        return
    try:
        app = load_app(target)
        app.configure(settings)
        settings.check_queues(app.queue_names())
        app.schedules.check()
    except (ConfigError, InvalidInput) as error:
        yield Finding("app", Level.ERROR, str(error))
        return
    handlers = [*handlers_of(app)]
    yield Finding(
        "app",
        Level.OK if handlers else Level.WARNING,
        f"{target}: {contents(app)}",
        "" if handlers else "is the module imported that registers them?",
    )
    yield from _on_handlers(handlers)


def _on_handlers(handlers: list[Handler]) -> Iterator[Finding]:
    for handler in handlers:
        label = f"{handler.queue}/{handler.name}"
        if handler.codec.kind is object:
            yield Finding(
                "handlers",
                Level.NOTE,
                f"{label} takes any data: its first parameter has no type, so nothing is checked",
                "annotate it with a Payload",
            )
        if handler.coroutine is None:
            yield Finding(
                "handlers",
                Level.NOTE,
                f"{label} is a plain function: it runs in a thread, where nothing can stop it",
            )
