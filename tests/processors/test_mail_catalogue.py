"""Every template: what it says of what it was given, in both bodies, and how it writes it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

import msgspec
import pytest

from processors.clients.mailbox import MailRefused
from processors.templates.brand import Branding
from processors.templates.catalogue import TEMPLATES, template_data
from processors.templates.render import Bodies, Site, render
from processors.templates.shown import prose
from tests.processors.mail_samples import APP, PIX_CODE, SAMPLES
from tests.processors.test_templates import HOSTILE_NAMES, Tags

SOL = Branding(
    company_name="Imobiliária Sol",
    primary_color="#f97316",
    secondary_color="#ea580c",
    address="Av. Paulista, 1000",
    phone="+55 11 3333-4444",
    email="contato@sol.com",
    website="https://sol.com",
    footer_text="CRECI 12345-J",
)
SITE = Site(app_url=APP, branding=SOL, link_hosts=frozenset({"app.imobibase.com"}))

# As the contract names them: a mail without one of these is never sent.
REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "welcome": ("userName",),
    "password-reset": ("expiresIn",),
    "verification": (),
    "invoice": ("invoiceNumber", "amount", "dueDate", "downloadUrl"),
    "report-ready": ("reportType", "period", "downloadUrl", "generatedAt"),
    "export-ready": ("exportType", "format", "downloadUrl", "expiresIn", "generatedAt"),
    "payment-reminder": ("renterName", "propertyAddress", "rentAmount", "dueDate"),
    "payment-overdue": (
        "renterName",
        "propertyAddress",
        "rentAmount",
        "dueDate",
        "daysOverdue",
    ),
    "contract-expiring": ("renterName", "propertyAddress", "endDate", "daysLeft"),
    "property-inquiry": (
        "brokerName",
        "leadName",
        "leadPhone",
        "leadEmail",
        "propertyTitle",
        "message",
    ),
    "newsletter": ("title", "body", "unsubscribeUrl"),
}


def rendered(template: str, data: Mapping[str, object], site: Site = SITE) -> Bodies:
    return render(template_data(template, data), subject="Olá", site=site, year=2026)


def least(template: str) -> dict[str, object]:
    """Only what the template must have."""
    needed = {*REQUIRED[template]}
    needed |= {"resetUrl"} if template == "password-reset" else set()
    needed |= {"verificationUrl"} if template == "verification" else set()
    return {name: value for name, value in SAMPLES[template].items() if name in needed}


def test_the_templates_are_those_of_the_contract() -> None:
    assert list(REQUIRED) == list(TEMPLATES)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("amount", ["least", "all"])
def test_every_mail_is_a_whole_page_in_the_agencys_brand(template: str, amount: str) -> None:
    mail = rendered(template, least(template) if amount == "least" else SAMPLES[template])

    page = Tags(mail.html)
    assert page.open == []
    assert page.attributes["html"]["lang"] == "pt-BR"
    assert page.seen.count("h1") == 1
    assert "background-color: #f97316" in mail.html
    for body in (mail.html, mail.text):
        for words in ("Imobiliária Sol", "Av. Paulista, 1000", "+55 11 3333-4444", "CRECI 12345-J"):
            assert words in body
        assert "contato@sol.com" in body
        assert "None" not in body
        assert "Você recebeu este e-mail porque" in body


@pytest.mark.parametrize("template", [name for name in TEMPLATES if APP in str(SAMPLES[name])])
def test_both_bodies_hold_every_link(template: str) -> None:
    mail = rendered(template, SAMPLES[template])

    links = {link for link in Tags(mail.html).links if link.startswith(APP)}
    assert links
    assert {link for link in links if link not in mail.text} == set()


@pytest.mark.parametrize(
    ("template", "missing"), [(name, one) for name, names in REQUIRED.items() for one in names]
)
def test_a_variable_that_is_missing_is_named(template: str, missing: str) -> None:
    data = {name: value for name, value in SAMPLES[template].items() if name != missing}

    with pytest.raises(MailRefused, match=f"missing required field `{missing}`"):
        template_data(template, data)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("text", [*HOSTILE_NAMES, "veja https://evil.example/x"])
def test_hostile_text_stays_text_in_every_variable(template: str, text: str) -> None:
    harmless = rendered(template, SAMPLES[template])
    kept = ("Url", "Code", "Key", "Email", "Token")
    codes = ("reportType", "exportType", "format", "quantity")

    for name, value in SAMPLES[template].items():
        if not isinstance(value, str) or name.endswith(kept) or name in codes:
            continue
        mail = rendered(template, {**SAMPLES[template], name: text})
        page = Tags(mail.html)
        assert page.seen.count("script") == 0
        assert page.seen.count("img") == 0
        assert page.seen.count("style") == Tags(harmless.html).seen.count("style")
        assert [link for link in page.links if "evil" in link] == []
        if name != "body":  # the agency's own, where links to other hosts stay text
            assert "https://evil.example" not in mail.html + mail.text


def test_an_invoice_says_what_it_charges() -> None:
    mail = rendered("invoice", SAMPLES["invoice"])

    for body in (mail.html, mail.text):
        for words in (
            "Fatura INV-012345",
            "R$\u00a02.130,00",
            "31/01/2025",
            "20/01/2025",
            "Aluguel",
            "-R$\u00a050,00",
            "Pague pelo aplicativo do seu banco.",
            PIX_CODE,
        ):
            assert words in body
        assert "R$\u00a00,00" not in body  # no tax, no line of it
    assert "Subtotal: R$\u00a02.180,00" in mail.text
    whole = {**SAMPLES["invoice"], "subtotal": "2130.00", "discount": "0.00"}
    assert "Subtotal" not in rendered("invoice", whole).text  # it would be the total
    assert "- Chaves, 2 x R$\u00a015,00: R$\u00a030,00" in mail.text
    assert "- IPTU (parcela 1 de 10): R$\u00a0120,00" in mail.text


def test_an_overdue_rent_says_since_when_and_the_final_notice_that_it_is_final() -> None:
    final = SAMPLES["payment-overdue"]
    first = {**final, "isFinalNotice": False, "daysOverdue": 1}

    assert "Venceu em:       31/01/2025, há 30 dias" in rendered("payment-overdue", final).text
    assert "último aviso" in rendered("payment-overdue", final).html
    assert "Venceu em:       31/01/2025, há 1 dia\n" in rendered("payment-overdue", first).text
    assert "último aviso" not in rendered("payment-overdue", first).html


@pytest.mark.parametrize(
    ("days", "when"), [(0, "termina hoje"), (1, "termina amanhã"), (30, "termina em 30 dias")]
)
def test_a_contract_that_ends_says_when(days: int, when: str) -> None:
    mail = rendered("contract-expiring", {**SAMPLES["contract-expiring"], "daysLeft": days})

    assert when in mail.html
    assert when in mail.text


@pytest.mark.parametrize(
    ("template", "data", "says"),
    [
        ("payment-overdue", {"daysOverdue": -1}, "data.daysOverdue: -1 days; count them from 0"),
        ("contract-expiring", {"daysLeft": -3}, "data.daysLeft: -3 days; count them from 0"),
        (
            "payment-overdue",
            {"daysOverdue": "5"},
            r"Expected `int`, got `str` - at `\$.daysOverdue`",
        ),
        ("payment-reminder", {"rentAmount": 1550.5}, r"Expected `int \| str`, got `float`"),
        (
            "payment-reminder",
            {"tenantName": "Ana"},
            "data.tenantName: is renterName by another name",
        ),
        ("payment-reminder", {"pixCode": "0002\u200b01"}, "data.pixCode: is no code"),
        ("payment-reminder", {"pixKey": "a\nb"}, "data.pixKey: is no code"),
        ("password-reset", {"resetToken": "x"}, "data: give either resetUrl or resetToken"),
        ("verification", {"verificationUrl": None}, "either verificationUrl or verificationToken"),
        ("property-inquiry", {"leadEmail": "Carlos <c@x.br>"}, "data.leadEmail: is more than an"),
        ("property-inquiry", {"leadEmail": "c@x.br, d@x.br"}, "data.leadEmail: one address"),
        ("property-inquiry", {"message": "x" * 20_001}, "data.message: 20001 characters"),
        ("property-inquiry", {"message": "a\x00b"}, r"data.message: U\+0000 at character 1"),
        ("invoice", {"items": [{"description": "x"}]}, r"missing required field `total`"),
        ("invoice", {"items": [{"description": "", "total": 1}]}, "data.description: is blank"),
        ("invoice", {"items": [{"description": "x", "total": 1}] * 101}, "101 items, at most 100"),
    ],
)
def test_what_no_template_takes_is_refused(
    template: str, data: Mapping[str, object], says: str
) -> None:
    with pytest.raises(MailRefused, match=says):
        template_data(template, {**SAMPLES[template], **data})


def test_the_names_of_the_node_application_are_taken_too() -> None:
    data = {**SAMPLES["payment-reminder"], "tenantName": "Zé"}
    data.pop("renterName")

    assert "Olá, Zé." in rendered("payment-reminder", data).text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("1550.00", "R$\u00a01.550,00"),
        ("1550", "R$\u00a01.550,00"),
        (1550, "R$\u00a01.550,00"),
        (Decimal("1550.5"), "R$\u00a01.550,50"),
        ("R$ 1.550,00", "R$ 1.550,00"),
        # Fifteen hundred or one and a half? It stays as it came.
        ("1.550", "1.550"),
    ],
)
def test_an_amount_is_written_as_brazil_writes_it(value: object, shown: str) -> None:
    mail = rendered("payment-reminder", {**SAMPLES["payment-reminder"], "rentAmount": value})

    assert f"Valor do aluguel: {shown}\n" in mail.text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2025-01-31", "31/01/2025"),
        (date(2025, 1, 31), "31/01/2025"),
        ("2025-01-31T00:00:00.000Z", "31/01/2025"),  # a day, as the application keeps it
        ("2025-02-01T02:30:00Z", "31/01/2025"),  # a moment of that day in São Paulo
        (datetime(2025, 2, 1, 2, 30, tzinfo=UTC), "31/01/2025"),
        ("31/01/2025", "31/01/2025"),
        ("amanhã", "amanhã"),
    ],
)
def test_a_day_is_written_as_brazil_writes_it(value: object, shown: str) -> None:
    mail = rendered("payment-reminder", {**SAMPLES["payment-reminder"], "dueDate": value})

    assert f"Vencimento:       {shown}\n" in mail.text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2025-02-01T11:00:12Z", "01/02/2025 às 08:00"),
        ("2025-02-01T11:00:12", "2025-02-01T11:00:12"),  # of who knows which zone
        ("01/02/2025 08:00", "01/02/2025 08:00"),
        ("2025-02-01", "01/02/2025"),
    ],
)
def test_a_moment_is_told_in_sao_paulos_time(value: str, shown: str) -> None:
    mail = rendered("report-ready", {**SAMPLES["report-ready"], "generatedAt": value})

    assert f"Gerado em: {shown}\n" in mail.text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("1 hour", "1 hora"),
        ("30 minutes", "30 minutos"),
        ("7 days", "7 dias"),
        ("1 week", "1 semana"),
        ("7 dias", "7 dias"),
        ("uma hora", "uma hora"),
    ],
)
def test_how_long_a_link_lives_is_told_in_portuguese(value: str, shown: str) -> None:
    mail = rendered("export-ready", {**SAMPLES["export-ready"], "expiresIn": value})

    assert f"O link vale por {shown}." in mail.text


def test_a_token_becomes_a_link_of_the_application() -> None:
    reset = {"resetToken": "a/b+c&d=e f", "expiresIn": "1 hour"}

    page = Tags(rendered("password-reset", reset).html)

    assert f"{APP}/reset-password?token=a%2Fb%2Bc%26d%3De%20f" in page.links


def test_a_code_to_be_copied_is_not_touched() -> None:
    data = {**SAMPLES["payment-reminder"], "pixKey": "financeiro@sol.com.br"}
    data.pop("pixCode")

    mail = rendered("payment-reminder", data)

    assert "financeiro@sol.com.br" in mail.html
    assert "\nfinanceiro@sol.com.br\n" in mail.text


def test_a_newsletter_links_to_allowed_hosts_only() -> None:
    body = f"Veja {APP}/a?b=1&c=2. Ou https://evil.example/x!\n(https://x@{APP[8:]}/)"

    mail = rendered("newsletter", {**SAMPLES["newsletter"], "body": body})

    links = Tags(mail.html).links
    assert f"{APP}/a?b=1&c=2" in links
    assert "evil.example" not in "".join(links)
    assert f"{APP}/a?b=1&c=2. Ou" in mail.text
    assert "https://evil.example" not in mail.text


def test_prose_is_paragraphs_of_lines() -> None:
    text = "Bom dia!\r\n\r\n\r\nUma linha\noutra\tlinha \r\n \r\nfim"

    assert prose(text).plain == "Bom dia!\n\nUma linha\noutra linha\n\nfim"
    assert len(prose(text).paragraphs) == 3


def test_links_lead_only_where_the_operator_allows_in_every_template() -> None:
    for template, kind in TEMPLATES.items():
        for field in msgspec.structs.fields(kind):
            if field.encode_name.endswith("Url"):
                data = {**SAMPLES[template], field.encode_name: "https://evil.example/x"}
                with pytest.raises(MailRefused, match=f"{field.encode_name}: leads to evil"):
                    rendered(template, data)
