"""Templates: what they must be given, and that what they are given cannot become anything else."""

from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from processors.clients.mailbox import MailRefused
from processors.templates import catalogue, render
from processors.templates.brand import CONTRAST_MIN, Branding, contrast, palette
from processors.templates.catalogue import TEMPLATES, Welcome, template_data
from processors.templates.links import link_host
from processors.templates.render import Bodies, Site
from processors.templates.shown import unlinked

SITE = Site(
    app_url="https://app.imobibase.com",
    branding=Branding(website="https://imobibase.com"),
    link_hosts=None,
)
SUBJECT = "Bem-vindo ao ImobiBase"


def rendered(data: dict[str, object], site: Site = SITE) -> Bodies:
    return render.render(template_data("welcome", data), subject=SUBJECT, site=site, year=2026)


class Tags(HTMLParser):
    """The elements of a page, whether they are closed in order, and where its links lead."""

    VOID = frozenset({"meta", "br", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.attributes: dict[str, dict[str, str | None]] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes.setdefault(tag, dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_welcome_is_said_in_both_bodies() -> None:
    mail = rendered({"userName": "João", "loginUrl": "https://app.imobibase.com/entrar"})

    for body in (mail.html, mail.text):
        assert "Boas-vindas, João!" in body
        assert "https://app.imobibase.com/entrar" in body
        assert "2026 ImobiBase" in body


def test_the_page_is_whole_and_says_its_language() -> None:
    page = Tags(rendered({"userName": "João"}).html)

    assert page.open == []
    assert page.attributes["html"]["lang"] == "pt-BR"
    assert page.seen.count("h1") == 1
    assert "script" not in page.seen
    assert page.attributes["table"]["role"] == "presentation"


def test_an_absent_login_link_is_the_applications_own() -> None:
    mail = rendered({"userName": "João"})

    assert "https://app.imobibase.com/login" in Tags(mail.html).links
    assert "\nhttps://app.imobibase.com/login\n" in mail.text


@pytest.mark.parametrize("template", list(TEMPLATES))
@pytest.mark.parametrize("kind", ["html", "txt"])
def test_every_template_has_both_files(template: str, kind: str) -> None:
    assert (Path(render.__file__).parent / "email" / f"{template}.{kind}").is_file()


@pytest.mark.parametrize(
    ("template", "data", "says"),
    [
        ("welcome", {}, 'template "welcome": Object missing required field `userName`'),
        ("welcome", {"userName": 7}, r"Expected `str`, got `int` - at `\$.userName`"),
        ("welcome", {"userName": None}, r"Expected `str`, got `null` - at `\$.userName`"),
        ("welcome", {"userName": ""}, "data.userName: is blank"),
        ("welcome", {"userName": " \t"}, "data.userName: is blank"),
        ("welcome", {"userName": "x" * 2_001}, "data.userName: 2001 characters, at most 2000"),
        ("welcome", {"userName": "Ana\nBo"}, "data.userName: U\\+000A at character 3"),
        ("welcome", {"userName": "Ana\x00"}, "data.userName: U\\+0000 at character 3"),
        ("welcome", {"userName": "Ana\u2028"}, "data.userName: U\\+2028 at character 3"),
        ("welcome", {"userName": "Ana\ud800"}, "data.userName: U\\+D800 at character 3"),
        ("welcome", {"usrName": "Ana"}, 'no variable "usrName". Did you mean "userName"\\?'),
        ("welcome", {"user_name": "Ana"}, 'Did you mean "userName"\\? It takes userName, loginUrl'),
        ("welcome", {"userName": "Ana", "loginUrl": "/login"}, "data.loginUrl: is no link"),
        ("wellcome", {"userName": "Ana"}, 'no template "wellcome". Did you mean "welcome"\\?'),
        ("../welcome", {"userName": "Ana"}, "Known: contract-expiring, "),
        ("welcome.html", {"userName": "Ana"}, "there is no template"),
        ("layout", {}, "there is no template"),
    ],
)
def test_what_a_template_cannot_be_filled_with_is_refused(
    template: str, data: dict[str, object], says: str
) -> None:
    with pytest.raises(MailRefused, match=says) as caught:
        template_data(template, data)

    assert str(caught.value).encode("utf-8", "backslashreplace")


HOSTILE_NAMES = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><a href="https://evil.example">clique</a>',
    "' onmouseover='alert(1)",
    "</td></tr></table>",
    "<!--",
    "-->",
    "&lt;b&gt;",
    "{{ branding }}",
    "{% raw %}",
    "{{ ''.__class__.__mro__ }}",
    "${7*7}",
    "]]>",
    "<style>*{display:none}</style>",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_stays_text(name: str) -> None:
    harmless, mail = rendered({"userName": "Ana"}), rendered({"userName": name})

    page = Tags(mail.html)
    assert page.seen == Tags(harmless.html).seen
    assert page.links == Tags(harmless.html).links
    assert f"Boas-vindas, {name}!" in mail.text.replace("\u200b", "")


@pytest.mark.parametrize(
    "name", ["veja https://evil.example/x", "evil.example", "www.evil.com.br ganhou", "a.b.example"]
)
def test_a_name_holds_nothing_that_mail_readers_make_a_link_of(name: str) -> None:
    mail = rendered({"userName": name})

    for body in (mail.html, mail.text):
        assert name not in body
        assert name in body.replace("\u200b", "")


@pytest.mark.parametrize("text", ["R$ 1.550,00", "João P. Silva", "01/12/2026", "São Paulo - SP"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert unlinked(text) == text


@pytest.mark.parametrize(
    "link",
    [
        "",
        "/login",
        "//evil.example",
        "app.imobibase.com/login",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "ftp://app.imobibase.com/",
        "https:///login",
        "https://",
        "https://app.imobibase.com@evil.example/",
        "https://user:pw@app.imobibase.com/",
        "https://app.imobibase.com\\@evil.example/",
        "https://app.imobibase.com/\r\nBcc: e@x.br",
        "https://app.imobibase.com/ x",
        'https://app.imobibase.com/"onclick=',
        "https://app.imobibase.com/<b>",
        "https://app.imobibase.com:port/",
        "https://[::1",
        "https://app.imobibase.com/\x00",
        "https://app.imobibase.com/\u2028",
        "https://im\u00f3bi.example/",
        "https://app.imobibase.com/" + "x" * 2_048,
    ],
)
def test_what_is_no_link_is_refused(link: str) -> None:
    with pytest.raises(MailRefused):
        link_host(link, "data.loginUrl")


@pytest.mark.parametrize(
    ("link", "host"),
    [
        ("https://app.imobibase.com/login?next=/a&b=1#top", "app.imobibase.com"),
        ("HTTPS://APP.imobibase.com", "app.imobibase.com"),
        ("http://127.0.0.1:5000/login", "127.0.0.1"),
        ("http://[::1]:5000/login", "::1"),
        ("https://app.imobibase.com/im\u00f3veis", "app.imobibase.com"),
    ],
)
def test_a_links_host_is_what_a_browser_would_go_to(link: str, host: str) -> None:
    assert link_host(link, "data.loginUrl") == host


def test_links_lead_only_where_the_operator_allows() -> None:
    site = msgspec.structs.replace(SITE, link_hosts=frozenset({"app.imobibase.com"}))

    rendered({"userName": "Ana", "loginUrl": "https://app.imobibase.com/x"}, site)
    rendered({"userName": "Ana"}, site)

    for link in ("https://evil.example/x", "https://app.imobibase.com.evil.example/"):
        with pytest.raises(MailRefused, match=r"data\.loginUrl: leads to .*evil.example"):
            rendered({"userName": "Ana", "loginUrl": link}, site)


@pytest.mark.parametrize(
    ("primary", "secondary"),
    [
        ("#2563eb", "#1e40af"),
        ("#f97316", "#ea580c"),
        ("#3b82f6", "#2563eb"),
        ("#ffffff", "#ffff00"),
        ("#000000", "#000000"),
        ("#808080", "#7f7f7f"),
    ],
)
def test_text_can_be_read_on_every_brands_colours(primary: str, secondary: str) -> None:
    colors = palette(Branding(primary_color=primary, secondary_color=secondary))

    assert contrast(colors.on_ground, colors.ground) >= CONTRAST_MIN
    assert contrast(colors.link, "#ffffff") >= CONTRAST_MIN


@pytest.mark.parametrize(
    ("primary", "secondary", "ground", "on_ground", "link"),
    [
        ("#2563eb", "#1e40af", "#2563eb", "#ffffff", "#2563eb"),
        ("#3b82f6", "#2563eb", "#2563eb", "#ffffff", "#2563eb"),  # a darker shade of it
        ("#f97316", "#ea580c", "#f97316", "#000000", "#1f2937"),
        ("#f97316", "#333333", "#f97316", "#000000", "#333333"),  # grey is no shade of orange
        ("#f97316", "#1e40af", "#f97316", "#000000", "#1e40af"),
    ],
)
def test_a_mail_is_in_the_primary_colour_or_a_shade_of_it(
    primary: str, secondary: str, ground: str, on_ground: str, link: str
) -> None:
    colors = palette(Branding(primary_color=primary, secondary_color=secondary))

    assert (colors.ground, colors.on_ground, colors.link) == (ground, on_ground, link)


@pytest.mark.parametrize("color", ["red", "#fff", "#12345g", "#2563eb;display:none", "url(x)", ""])
def test_a_brands_colour_is_a_colour_and_nothing_else(color: str) -> None:
    with pytest.raises(MailRefused, match="primaryColor"):
        Branding(primary_color=color)


def test_a_brand_shows_its_logo_and_how_it_is_reached() -> None:
    brand = Branding(
        company_name="Imobiliária Sol & Cia",
        logo="https://sol.com/logo.png",
        address="Rua das Laranjeiras, 100",
        phone="+55 11 99999-0000",
        email="contato@sol.com",
    )

    mail = rendered({"userName": "Ana"}, msgspec.structs.replace(SITE, branding=brand))

    page = Tags(mail.html)
    assert page.attributes["img"]["alt"] == "Imobiliária Sol & Cia"
    assert "mailto:contato@sol.com" in page.links
    assert "Imobiliária Sol & Cia\n=====================\n" in mail.text
    assert "Rua das Laranjeiras, 100\n+55 11 99999-0000\ncontato@sol.com\n" in mail.text


def test_a_variable_that_the_data_does_not_have_fails_the_mail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "welcome.html").write_text("{{ userNmae }}")
    (tmp_path / "welcome.txt").write_text("x")
    monkeypatch.setattr(render, "_FOLDER", tmp_path)
    render._environment.cache_clear()
    try:
        with pytest.raises(Exception, match="'userNmae' is undefined"):
            rendered({"userName": "Ana"})
    finally:
        render._environment.cache_clear()


def test_python_names_are_snake_case() -> None:
    assert Welcome(user_name="Ana").login_url is None
    with pytest.raises(MailRefused, match="userName"):
        Welcome(user_name="")


def test_every_link_of_a_template_is_one_of_its_fields() -> None:
    for kind in TEMPLATES.values():
        fields = {field.name for field in msgspec.structs.fields(kind)}
        assert set(kind.PATHS) <= fields
    assert catalogue.TEMPLATES["welcome"] is Welcome
