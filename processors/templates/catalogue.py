"""The table of e-mail templates, and the typed data that each one takes.

A new template is one Struct and one row here, with `email/<name>.html` and `email/<name>.txt`.
"""

import difflib
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from processors.clients.mailbox import MailRefused
from processors.templates.kinds import (
    Address,
    Amount,
    Article,
    Code,
    Day,
    Link,
    Moment,
    Number,
    Prose,
    Span,
    TemplateData,
)

ITEMS_MAX = 100
NEWSLETTER = "newsletter"
_ALIKE_MIN = 0.6
_RENTER = MappingProxyType({"tenantName": "renterName"})


class Welcome(TemplateData, frozen=True):
    """To a new user of the platform."""

    PATHS = MappingProxyType({"login_url": "/login"})

    user_name: str
    login_url: Link | None = None


class PasswordReset(TemplateData, frozen=True):
    """The link by which a user chooses a new password, whole or by its token."""

    PATHS = MappingProxyType({"reset_url": "/reset-password?token={reset_token}"})

    expires_in: Span
    reset_url: Link | None = None
    reset_token: Code | None = None
    user_name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_either(resetUrl=self.reset_url, resetToken=self.reset_token)


class Verification(TemplateData, frozen=True):
    """The link by which a user shows that an address is theirs, whole or by its token."""

    PATHS = MappingProxyType({"verification_url": "/verify-email?token={verification_token}"})

    verification_url: Link | None = None
    verification_token: Code | None = None
    user_name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_either(
            verificationUrl=self.verification_url, verificationToken=self.verification_token
        )


class InvoiceItem(TemplateData, frozen=True):
    """One line of an invoice. `total` is negative for a discount."""

    description: str
    total: Amount
    details: str | None = None
    quantity: Number = 1
    unit_price: Amount | None = None


class Invoice(TemplateData, frozen=True):
    """An invoice to whom it is for. `pix_code` is the copy-and-paste code of the payment."""

    invoice_number: str
    amount: Amount
    due_date: Day
    download_url: Link
    issue_date: Day | None = None
    client_name: str | None = None
    client_address: str | None = None
    client_email: Address | None = None
    client_phone: str | None = None
    property_address: str | None = None
    items: list[InvoiceItem] = msgspec.field(default_factory=list)
    subtotal: Amount | None = None
    discount: Amount | None = None
    tax: Amount | None = None
    total: Amount | None = None
    payment_method: str | None = None
    payment_instructions: Prose | None = None
    payment_url: Link | None = None
    pix_code: Code | None = None
    notes: Prose | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.items) > ITEMS_MAX:
            raise MailRefused("data.items", f"{len(self.items)} items, at most {ITEMS_MAX} fit")


class ReportReady(TemplateData, frozen=True):
    """A report to download. `report_type`: daily, weekly, monthly, custom, or words of your own."""

    report_type: str
    period: str
    download_url: Link
    generated_at: Moment


class ExportReady(TemplateData, frozen=True):
    """A user's own data to download. `export_type`: user-data, properties, contracts, all."""

    export_type: str
    format: str
    download_url: Link
    expires_in: Span
    generated_at: Moment


class PaymentReminder(TemplateData, frozen=True):
    """A rent that is due soon. `message` stands in for the usual sentence."""

    ALIASES = _RENTER

    renter_name: str
    property_address: str
    rent_amount: Amount
    due_date: Day
    message: Prose | None = None
    pix_key: Code | None = None
    pix_code: Code | None = None
    payment_url: Link | None = None


class PaymentOverdue(PaymentReminder, frozen=True, kw_only=True):
    """A rent whose day has passed; the final notice says so."""

    days_overdue: int
    is_final_notice: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_days(self.days_overdue, "data.daysOverdue")


class ContractExpiring(TemplateData, frozen=True):
    """A rental contract that ends soon, to the renter or to the agency."""

    ALIASES = _RENTER

    renter_name: str
    property_address: str
    end_date: Day
    days_left: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_days(self.days_left, "data.daysLeft")


class PropertyInquiry(TemplateData, frozen=True):
    """To who sells a property: somebody asks about a property."""

    agent_name: str = msgspec.field(name="brokerName")
    lead_name: str
    lead_phone: str
    lead_email: Address
    property_title: str
    message: Prose


class Newsletter(TemplateData, frozen=True):
    """News of the agency, to who asked for it. `unsubscribe_url` also goes into the headers."""

    title: str
    body: Article
    unsubscribe_url: Link


TEMPLATES: Mapping[str, type[TemplateData]] = MappingProxyType(
    {
        "welcome": Welcome,
        "password-reset": PasswordReset,
        "verification": Verification,
        "invoice": Invoice,
        "report-ready": ReportReady,
        "export-ready": ExportReady,
        "payment-reminder": PaymentReminder,
        "payment-overdue": PaymentOverdue,
        "contract-expiring": ContractExpiring,
        "property-inquiry": PropertyInquiry,
        NEWSLETTER: Newsletter,
    }
)


def template_data(template: str, data: Mapping[str, object]) -> TemplateData:
    """`data` as the template's own type. MailRefused names an unknown template, a missing or
    unknown variable, and a value that cannot stand in a mail.
    """
    kind = TEMPLATES.get(template)
    if kind is None:
        raise MailRefused(
            "template",
            f'there is no template "{template[:80]}".{_did_you_mean(template, TEMPLATES)}'
            f" Known: {', '.join(sorted(TEMPLATES))}",
        )
    data = _renamed(data, kind.ALIASES)
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name in data.keys() - set(known):
        hint = _did_you_mean(name, known)
        raise MailRefused(
            "data",
            f'template "{template}" has no variable "{name[:80]}".{hint}'
            f" It takes {', '.join(known)}",
        )
    try:
        # By way of plain values, so that a Decimal and a date may stand where their text may.
        return msgspec.convert(msgspec.to_builtins(data), kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, MailRefused):
            raise error.__cause__ from None
        raise MailRefused("data", f'template "{template}": {error}') from None


def _renamed(data: Mapping[str, object], aliases: Mapping[str, str]) -> Mapping[str, object]:
    both = [name for name in aliases if name in data and aliases[name] in data]
    if both:
        raise MailRefused(f"data.{both[0]}", f"is {aliases[both[0]]} by another name; give one")
    return {aliases.get(name, name): value for name, value in data.items()}


def _check_either(**links: str | None) -> None:
    if sum(link is not None for link in links.values()) != 1:
        raise MailRefused("data", f"give either {' or '.join(links)}")


def _check_days(days: int, field: str) -> None:
    if days < 0:
        raise MailRefused(field, f"{days} days; count them from 0")


def _did_you_mean(name: str, known: Mapping[str, object] | list[str]) -> str:
    found = difflib.get_close_matches(name[:80].lower(), known, n=1, cutoff=_ALIKE_MIN)
    return f' Did you mean "{found[0]}"?' if found else ""
