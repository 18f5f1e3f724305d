"""DATABASE_URL: which are taken, with which TLS, and that no word of one is shown."""

import pytest

from processors.database.url import InvalidDatabaseUrl, parse_database_url

FAR = "postgresql://app:s3cr3t@db.imobibase.com/imobibase"


def test_its_parts() -> None:
    server = parse_database_url("postgres://app:s3%40cr3t@db.imobibase.com:6432/imobi-base")

    assert (server.host, server.port, server.name) == ("db.imobibase.com", "6432", "imobi-base")
    assert (server.user, server.password) == ("app", "s3@cr3t")


@pytest.mark.parametrize(
    ("url", "sslmode"),
    [
        (FAR, "verify-full"),
        (f"{FAR}?sslmode=require", "require"),
        ("postgresql://app@localhost/imobibase", "prefer"),
        ("postgresql://app@127.0.0.1/imobibase", "prefer"),
        ("postgresql://app@[::1]/imobibase", "prefer"),
        ("postgresql://app@/imobibase?host=/run/postgresql", "prefer"),
        ("postgresql://app@localhost,db.imobibase.com/imobibase", "verify-full"),
    ],
)
def test_off_this_machine_tls_with_a_verified_name_is_the_rule(url: str, sslmode: str) -> None:
    assert parse_database_url(url).sslmode == sslmode


@pytest.mark.parametrize(
    "url",
    [
        "mysql://app:s3cr3t@db/imobibase",
        "host=evil password=s3cr3t",
        "postgresql://app:s3cr3t@db",
        "postgresql://:s3cr3t@db/imobibase",
        "postgresql://app:s3cr3t@db/host%3Devil",
        "postgresql://app:s3cr3t@db/-Fp",
        "postgresql://app:s3cr3t@db/a%20b",
        "postgresql://app:s3cr3t@db/postgresql%3A%2F%2Fevil",
        "postgresql://app:s3cr3t@db/imobibase?service=evil",
        "postgresql://app:s3cr3t@db/imobibase?passfile=/etc/passwd",
        "postgresql://app:s3cr3t@db/imobibase?nonsense=1",
        "postgresql://app:s3cr3t@[db/imobibase",
        "postgresql://app:s3cr3t@db/imobi%00base",
    ],
)
def test_a_url_that_would_lead_elsewhere_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidDatabaseUrl) as caught:
        parse_database_url(url)

    assert "s3cr3t" not in str(caught.value)
    assert "evil" not in str(caught.value)


def test_the_password_is_in_nobodys_repr() -> None:
    server = parse_database_url(FAR)

    assert "s3cr3t" not in f"{server!r} {server}"
    assert "s3cr3t" in server.conninfo()
