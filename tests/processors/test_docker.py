"""The files in docker/ agree with each other and with what they start: no container is needed."""

import re
import shlex
import socket
import subprocess
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
import redis
import yaml

from admin.settings import load_settings as load_admin
from processors.app import app
from processors.settings import load_settings as load_processors
from streamq import load_settings
from streamq.cli import verbs
from streamq.cli.parser import parser_of
from streamq.settings import Env
from tests.support import servers
from tests.support.waiting import until

ROOT: Final = Path(__file__).parents[2]
DOCKER: Final = ROOT / "docker"
SECRETS: Final = {
    "REDIS_PASSWORD": "r3dis",
    "POSTGRES_PASSWORD": "p0stgres",
    "SESSION_SECRET": "s" * 43,
    "METRICS_TOKEN": "m" * 43,
}
OURS: Final = ("worker", "backup", "admin", "exporter")
_VARIABLE: Final = re.compile(r"\$\{([A-Z_]+)(?::([?-])([^}]*))?\}")


def _filled(text: str) -> str:
    """As compose puts variables in: `${NAME:?}` must be set, `${NAME:-else}` need not."""

    def value(found: re.Match[str]) -> str:
        name, mark, other = found.groups()
        if mark != "-":
            assert name in SECRETS, f"{name} is needed, and env.example does not have it"
        return SECRETS.get(name, other or "")

    return _VARIABLE.sub(value, text)


@pytest.fixture(scope="module")
def compose() -> dict[str, dict[str, dict[str, object]]]:
    read: dict[str, dict[str, dict[str, object]]] = yaml.safe_load(
        _filled((DOCKER / "compose.yml").read_text())
    )
    return read


Services = Mapping[str, Mapping[str, object]]


@pytest.fixture
def services(compose: Mapping[str, Services]) -> Services:
    return compose["services"]


def _words(service: Mapping[str, object], field: str = "command") -> list[str]:
    said = service.get(field, [])
    assert isinstance(said, list)
    return [str(word) for word in said]


def _environ(service: Mapping[str, object]) -> dict[str, str]:
    said = service.get("environment", {})
    assert isinstance(said, dict)
    return {str(name): str(value) for name, value in said.items()}


def _args(service: Mapping[str, object]) -> Namespace:
    """Its command, read as `streamq` reads it. Raises UsageError."""
    verb, *words = _words(service)
    return parser_of(verb, verbs.find(verb)).read(words, Namespace())


def _address(service: Mapping[str, object], variable: str) -> tuple[str | None, int | None]:
    parts = urlsplit(_environ(service)[variable])
    return parts.hostname, parts.port


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_one_that_the_program_takes(services: Services, name: str) -> None:
    args = _args(services[name])

    assert getattr(args, "app", None) in (None, "processors.app:app")


@pytest.mark.parametrize("name", ["schema", "buckets"])
def test_a_module_that_is_run_is_there(services: Services, name: str) -> None:
    python, option, module = _words(services[name], "entrypoint")

    assert (python, option) == ("python", "-m")
    found = import_module(module)
    if hasattr(found, "__path__"):
        found = import_module(f"{module}.__main__")
    assert callable(found.main)


def test_every_queue_has_a_worker(services: Services) -> None:
    taken = [*_args(services["worker"]).queue, *_args(services["backup"]).queue]

    assert sorted(str(queue) for queue in taken) == app.queue_names()


@pytest.mark.parametrize("name", ["worker", "backup"])
def test_the_environment_is_enough_for_production(services: Services, name: str) -> None:
    environ = _environ(services[name])

    assert load_settings(environ=environ).env is Env.PRODUCTION
    settings = load_processors(production=True, environ=environ)
    assert settings.database is not None
    assert settings.storage is not None


def test_the_admin_starts_in_production(services: Services) -> None:
    environ = _environ(services["admin"])

    assert load_admin(production=True, environ=environ).database_url == environ["DATABASE_URL"]


def test_addresses_lead_to_services_and_their_ports(services: Services) -> None:
    worker = services["worker"]

    assert _address(worker, "REDIS_URL") == ("redis", 6379)
    assert _address(worker, "DATABASE_URL") == ("postgres", 5432)
    assert _address(worker, "SMTP_URL") == ("mail", 1025)
    host, port = _address(worker, "S3_ENDPOINT_URL")
    assert host == "s3"
    assert str(port) in _words(services["s3"])
    assert {"redis", "postgres", "mail", "s3"} <= services.keys()


def test_the_database_is_the_one_that_postgres_makes(services: Services) -> None:
    made = _environ(services["postgres"])
    server = load_processors(production=True, environ=_environ(services["worker"])).database

    assert server is not None
    assert (server.user, server.password, server.name) == (
        made["POSTGRES_USER"],
        made["POSTGRES_PASSWORD"],
        made["POSTGRES_DB"],
    )


def test_only_loopback_is_published(services: Services) -> None:
    published = [port for service in services.values() for port in _words(service, "ports")]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    [admin] = _words(services["admin"], "ports")
    assert admin.endswith(f":{_args(services['admin']).port}")


def test_prometheus_asks_the_exporter_with_its_token(services: Services) -> None:
    said = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    job = next(job for job in said["scrape_configs"] if job["job_name"] == "streamq")
    args = _args(services["exporter"])

    assert job["static_configs"] == [{"targets": [f"exporter:{args.port}"]}]
    assert args.host == "0.0.0.0"
    assert _environ(services["exporter"])["METRICS_TOKEN"] == SECRETS["METRICS_TOKEN"]
    assert job["authorization"]["credentials_file"] == "/run/secrets/metrics_token"
    assert _words(services["prometheus"], "secrets") == ["metrics_token"]


def test_what_waits_for_another_waits_for_one_that_is_there(
    compose: Mapping[str, Services], services: Services
) -> None:
    for service in services.values():
        waits = service.get("depends_on", {})
        assert isinstance(waits, dict)
        assert waits.keys() <= services.keys()
        for volume in _words(service, "volumes"):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or (DOCKER / source).is_file()


@pytest.mark.parametrize("name", ["redis", "s3", "mail", *OURS, "prometheus", "schema", "buckets"])
def test_a_container_may_no_more_than_it_must(services: Services, name: str) -> None:
    service = services[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_no_image_is_whatever_is_newest(services: Services) -> None:
    for service in services.values():
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+", str(service["image"])), service["image"]


def test_env_example_names_every_secret() -> None:
    lines = (DOCKER / "env.example").read_text().splitlines()

    empty = {line[:-1] for line in lines if re.fullmatch("[A-Z_]+=", line)}
    assert empty == SECRETS.keys()


# ---- the Dockerfile


def _instructions() -> Iterator[tuple[str, str]]:
    text = (DOCKER / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest


def _last(word: str) -> str:
    return [rest for found, rest in _instructions() if found == word][-1]


def test_nothing_in_the_image_runs_as_root() -> None:
    assert _last("USER") == "10001"
    users = [rest for word, rest in _instructions() if word == "USER"]
    assert users[0] == "10001", "the target worker"


def test_what_is_copied_is_there_and_not_ignored() -> None:
    kept = {
        line[1:]
        for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source
        for word, rest in _instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }

    assert copied == kept
    assert all((ROOT / source).exists() for source in copied)


def test_targets_are_stages(services: Services) -> None:
    stages = {rest.split()[-1] for word, rest in _instructions() if word == "FROM"}

    for service in services.values():
        build = service.get("build")
        if isinstance(build, dict):
            assert build["target"] in stages
            assert (DOCKER / str(build["context"]) / str(build["dockerfile"])).is_file()


def test_the_image_asks_the_health_port_that_the_worker_opens(services: Services) -> None:
    _, _, check = _last("HEALTHCHECK").partition("CMD ")
    _, verb, *words = yaml.safe_load(check)
    asked = parser_of(verb, verbs.find(verb)).read(words, Namespace())

    for name in ("worker", "backup"):
        assert str(_args(services[name]).health_port) == str(asked.port)


def test_the_command_of_the_image_is_one_that_the_program_takes() -> None:
    assert yaml.safe_load(_last("ENTRYPOINT")) == ["streamq"]
    verb, *words = yaml.safe_load(_last("CMD"))

    parser_of(verb, verbs.find(verb)).read(words, Namespace())


def test_pg_dump_is_of_the_servers_version(services: Services) -> None:
    arguments = dict(
        rest.split("=", 1) for word, rest in _instructions() if word == "ARG" and "=" in rest
    )

    assert str(services["postgres"]["image"]).startswith(f"postgres:{arguments['POSTGRES']}.")


def test_the_extras_of_the_image_are_those_of_the_package() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    found = re.search(r'"streamq\[([a-z,]+)\]', text)
    assert found is not None
    known = (ROOT / "pyproject.toml").read_text()
    for extra in found[1].split(","):
        assert re.search(rf"^{extra} = \[", known, re.MULTILINE), extra


# ---- redis.conf


def test_redis_takes_its_configuration(tmp_path: Path) -> None:
    binary = servers.find(servers.chosen())
    assert binary is not None
    (tmp_path / "password.conf").write_text(f"requirepass {SECRETS['REDIS_PASSWORD']}\n")
    text = (DOCKER / "redis.conf").read_text()
    for there, here in (("/etc/redis", str(tmp_path)), ("/data", str(tmp_path))):
        assert there in text
        text = text.replace(there, here)
    (tmp_path / "redis.conf").write_text(text)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    words: Sequence[str] = [
        *(str(binary.path), str(tmp_path / "redis.conf"), "--port", str(port)),
        *shlex.split("--bind 127.0.0.1"),
    ]
    with (
        subprocess.Popen(words, stdout=subprocess.DEVNULL) as server,
        redis.Redis(port=port, password=SECRETS["REDIS_PASSWORD"]) as client,
    ):
        try:
            until(lambda: _answers(client), "Redis answers", limit_s=10)
            told = client.config_get("maxmemory-policy", "appendonly", "requirepass")
        finally:
            server.terminate()

    assert told == {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "requirepass": SECRETS["REDIS_PASSWORD"],
    }


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
