"""Settings from a file and variables made up for one test."""

from pathlib import Path

from streamq.settings import Settings, load_settings


def load(folder: Path, file: str = "", **environ: str) -> Settings:
    """What a process reads that runs in `folder`, with that streamq.toml and those variables."""
    (folder / "streamq.toml").write_text(file)
    return load_settings(environ=environ, start=folder)
