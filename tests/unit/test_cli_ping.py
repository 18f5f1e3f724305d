"""Is Redis there? Asked over a bare socket, of everything that may stand at its address."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from streamq.cli.ping import ping, shown
from streamq.embedded import EmbeddedServer
from streamq.errors import RedisRefusedPassword, RedisSpeaksTls, RedisUnavailable
from streamq.lookup import RedisPlace
from tests.processors.certificates import Authority
from tests.support import servers
from tests.support.waiting import until

PASSWORD = "p@ss:w/rd %1"


def _place(url: str) -> RedisPlace:
    return RedisPlace(url, "REDIS_URL")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server on a TCP port that wants a password."""
    with EmbeddedServer(
        tmp_path_factory.mktemp("r"),
        binary=servers.find(servers.chosen()),
        append_only=False,
        tcp=True,
    ) as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", PASSWORD)
        yield server


@contextmanager
def _listening(answer: bytes | None, *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port where every caller is told the same; None: nothing, for as long as it waits."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        callers: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                callers.append(caller)
                if tls is not None:
                    _shake_hands(caller, tls, answer)
                elif answer is not None:
                    caller.recv(1_024)
                    caller.sendall(answer)
                    caller.close()

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        serving.join(5)
        for caller in callers:
            caller.close()


def _shake_hands(caller: socket.socket, tls: ssl.SSLContext, answer: bytes | None) -> None:
    try:
        with tls.wrap_socket(caller, server_side=True) as secure:
            secure.recv(1_024)
            secure.sendall(answer or b"")
    except OSError:
        return  # no TLS from the other side: its alert is sent


def test_a_server_that_runs_answers(server: EmbeddedServer) -> None:
    assert ping(_place(server.url)) > 0


def test_a_port_where_nobody_listens_is_said_to_refuse() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(RedisUnavailable) as caught:
        ping(_place(f"redis://localhost:{port}"))

    assert str(caught.value) == (
        f"SQ101 Cannot reach Redis at localhost:{port} (from REDIS_URL): connection refused."
        " Is it running? Start one:  streamq dev   or   redis-server."
    )


def test_a_socket_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RedisUnavailable, match=r"no such file or directory") as caught:
        ping(_place(f"unix://{tmp_path}/no.sock"))

    assert caught.value.where == f"{tmp_path}/no.sock"


def test_silence_is_reported_at_the_limit_and_not_at_the_end_of_time() -> None:
    with _listening(None) as port, pytest.raises(RedisUnavailable, match="no answer in time"):
        ping(_place(f"redis://127.0.0.1:{port}"), limit_s=0.2)


def test_a_host_that_no_resolver_knows_is_said_to_be_unknown() -> None:
    with pytest.raises(RedisUnavailable, match=r"unknown host|no answer in time"):
        ping(_place("redis://no-such-host.invalid:6379"), limit_s=1.0)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "it is loading its data"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it answers 'HTTP/1.1 400 Bad Request'"),
        (b"", "it closed the connection"),
    ],
)
def test_what_answers_and_is_no_ready_redis_is_told_apart(answer: bytes, why: str) -> None:
    with _listening(answer) as port, pytest.raises(RedisUnavailable) as caught:
        ping(_place(f"redis://127.0.0.1:{port}"))

    assert caught.value.why == why


def test_the_right_password_is_let_in(guarded: EmbeddedServer) -> None:
    port = guarded.address[1] if isinstance(guarded.address, tuple) else 0

    assert ping(_place(f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}")) > 0
    assert ping(_place(f"redis://default:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/2")) > 0


@pytest.mark.parametrize(
    ("login", "user"), [("", "default"), (":wrong@", "default"), ("ana:x@", "ana")]
)
def test_a_wrong_password_is_told_with_its_user(
    guarded: EmbeddedServer, login: str, user: str
) -> None:
    port = guarded.address[1] if isinstance(guarded.address, tuple) else 0

    with pytest.raises(RedisRefusedPassword) as caught:
        ping(_place(f"redis://{login}127.0.0.1:{port}"))

    assert str(caught.value) == f"SQ102 Redis refused the password of REDIS_URL (user {user})."


def test_a_password_for_a_server_that_wants_none_does_no_harm(server: EmbeddedServer) -> None:
    assert ping(_place(f"unix://:needless@{server.address}")) > 0


def test_a_server_that_speaks_tls_says_so_to_who_does_not(tmp_path: Path) -> None:
    tls = Authority(tmp_path).server_context()
    with _listening(b"+PONG\r\n", tls=tls) as port, pytest.raises(RedisSpeaksTls) as caught:
        ping(_place(f"redis://127.0.0.1:{port}"))

    assert str(caught.value) == (
        f"SQ103 Redis at 127.0.0.1:{port} (from REDIS_URL) speaks TLS:"
        " use rediss:// or REDIS_TLS=true"
    )


def test_tls_is_spoken_and_the_certificate_checked(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with _listening(b"+PONG\r\n", tls=authority.server_context()) as port:
        url = f"rediss://127.0.0.1:{port}"

        assert ping(_place(f"{url}?ssl_ca_certs={authority.path}")) > 0
        assert ping(_place(f"{url}?ssl_cert_reqs=none")) > 0
        with pytest.raises(RedisUnavailable, match="its certificate is not trusted"):
            ping(_place(url))


def test_tls_to_a_server_that_speaks_none_is_told(guarded: EmbeddedServer) -> None:
    port = guarded.address[1] if isinstance(guarded.address, tuple) else 0

    with pytest.raises(RedisUnavailable, match="if it speaks none, use redis://"):
        ping(_place(f"rediss://127.0.0.1:{port}"), limit_s=0.3)


def test_of_the_nodes_of_a_cluster_the_first_that_answers_counts() -> None:
    with _listening(b"+PONG\r\n") as port:
        assert ping(_place(f"redis+cluster://127.0.0.1:1,127.0.0.1:{port}")) > 0


def test_sentinels_say_where_the_master_is(tmp_path: Path) -> None:
    binary = servers.find(servers.chosen())
    assert binary is not None
    with (
        servers.running(binary, tcp=True) as master,
        closing(socket.create_server(("127.0.0.1", 0))) as free,
    ):
        assert isinstance(master.address, tuple)
        port = free.getsockname()[1]
        free.close()
        conf = tmp_path / "sentinel.conf"
        conf.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
            f"sentinel monitor master 127.0.0.1 {master.address[1]} 1\n"
        )
        sentinel = subprocess.Popen(
            [binary.path, conf, "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until(lambda: _answers(f"redis://127.0.0.1:{port}"), "the sentinel answers")

            assert ping(_place(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/master/0")) > 0
            with pytest.raises(RedisUnavailable, match="the sentinel does not know other"):
                ping(_place(f"redis+sentinel://127.0.0.1:{port}/other/0"))
        finally:
            sentinel.terminate()
            sentinel.wait(10)


def _answers(url: str) -> bool:
    try:
        return ping(_place(url)) > 0
    except RedisUnavailable:
        return False


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("redis://:secret@host:6380/1", "host:6380"),
        ("redis://host", "host:6379"),
        ("unix:///run/my%20redis.sock", "/run/my redis.sock"),
        ("redis+sentinel://u:p@a,b/master/0", "a,b"),
    ],
)
def test_a_place_is_shown_without_its_login(url: str, where: str) -> None:
    assert shown(_place(url)) == where
