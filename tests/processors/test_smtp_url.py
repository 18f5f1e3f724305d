"""SMTP_URL: every form that is taken, and that none that is refused shows its password."""

import pytest

from processors.clients.smtp_url import InvalidSmtpUrl, Security, SmtpServer, parse_smtp_url

PASSWORD = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "smtp://mail.example.com",
            SmtpServer(host="mail.example.com", port=25, security=Security.AUTO),
        ),
        ("smtp://localhost:1025/", SmtpServer(host="localhost", port=1025, security=Security.AUTO)),
        (
            "smtps://mail.example.com",
            SmtpServer(host="mail.example.com", port=465, security=Security.TLS),
        ),
        (
            "smtp+starttls://mail.example.com",
            SmtpServer(host="mail.example.com", port=587, security=Security.STARTTLS),
        ),
        (
            "smtp://mail.example.com?starttls=required",
            SmtpServer(host="mail.example.com", port=587, security=Security.STARTTLS),
        ),
        (
            "smtp://mail.example.com?starttls=off",
            SmtpServer(host="mail.example.com", port=25, security=Security.PLAIN),
        ),
        ("smtp://[::1]:2525", SmtpServer(host="::1", port=2525, security=Security.AUTO)),
        (
            "smtps://api%40key:p%2Fw%3A%23@mail.example.com?timeout=5&cafile=/etc/ssl/ours.pem",
            SmtpServer(
                host="mail.example.com",
                port=465,
                security=Security.TLS,
                username="api@key",
                password="p/w:#",
                cafile="/etc/ssl/ours.pem",
                reply_s=5.0,
            ),
        ),
    ],
)
def test_a_url_names_a_server(url: str, expected: SmtpServer) -> None:
    assert parse_smtp_url(url) == expected


def test_a_login_at_another_host_needs_tls() -> None:
    server = parse_smtp_url(f"smtp://user:{PASSWORD}@mail.example.com")

    assert server.security is Security.STARTTLS
    with pytest.raises(InvalidSmtpUrl, match="unencrypted"):
        parse_smtp_url(f"smtp://user:{PASSWORD}@mail.example.com?starttls=off")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_login_on_this_machine_may_do_without(host: str) -> None:
    assert parse_smtp_url(f"smtp://user:{PASSWORD}@{host}").security is Security.AUTO


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "mail.example.com:587",
        f"http://user:{PASSWORD}@mail.example.com",
        f"smtp+tls://user:{PASSWORD}@mail.example.com",
        f"smtp://user:{PASSWORD}@",
        f"smtp://user:{PASSWORD}/x@mail.example.com",
        f"smtp://user:{PASSWORD}#x@mail.example.com",
        f"smtp://user:{PASSWORD}?x@mail.example.com",
        f"smtp://user:12?{PASSWORD}=x@mail.example.com",
        f"smtp://user:{PASSWORD}%0d%0a@mail.example.com",
        f"smtp://user%00:{PASSWORD}@mail.example.com",
        f"smtp://user:{PASSWORD}%ff@mail.example.com",
        f"smtp://user:{PASSWORD}@mail.example.com:0",
        f"smtp://user:{PASSWORD}@mail.example.com:99999",
        f"smtp://user:{PASSWORD}@mail.example.com:{PASSWORD}",
        f"smtp://user:{PASSWORD}@mail.example.com/{PASSWORD}",
        f"smtp://user:{PASSWORD}@mail.example.com#{PASSWORD}",
        f"smtp://user:{PASSWORD}@mail.example.com?timeout=0",
        f"smtp://user:{PASSWORD}@mail.example.com?timeout=1e9",
        f"smtp://user:{PASSWORD}@mail.example.com?timeout=nan",
        f"smtp://user:{PASSWORD}@mail.example.com?timeout=",
        f"smtp://user:{PASSWORD}@mail.example.com?starttls=maybe",
        f"smtp://user:{PASSWORD}@mail.example.com?verify=off",
        f"smtps://user:{PASSWORD}@mail.example.com?starttls=off",
        f"smtp+starttls://user:{PASSWORD}@mail.example.com?starttls=auto",
        f"smtp://user:{PASSWORD}@mail example.com",
        f"smtp://user:{PASSWORD}@mail.example.com\n",
        f"smtp://user:{PASSWORD}@[::1",
        f"smtp://user:{PASSWORD}@[zz::1]",
        f"smtp://user:{PASSWORD}@-mail.example.com",
        f"smtp://user:{PASSWORD}@máil.example.com",
        f"smtp://user:{PASSWORD}@{'x' * 3_000}",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InvalidSmtpUrl) as caught:
        parse_smtp_url(url)

    assert PASSWORD not in str(caught.value)


def test_a_server_is_printed_without_its_login() -> None:
    server = parse_smtp_url(f"smtps://user:{PASSWORD}@mail.example.com")

    assert str(server) == "mail.example.com:465 (tls)"
    assert PASSWORD not in repr(server)
    assert PASSWORD not in f"{server!r} {[server]}"
