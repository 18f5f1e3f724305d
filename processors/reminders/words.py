"""What a reminder says: the mail's subject and the data of its template."""

from datetime import date

import msgspec

from processors.days import month_in_words
from processors.invoices.pix import br_code, pix_key
from processors.money import reais
from processors.reminders.kinds import ReminderType
from processors.reminders.owed import Contract, Owed


class Mail(msgspec.Struct, frozen=True):
    """A mail to the renter, but for the address."""

    subject: str
    template: str
    data: dict[str, object]


def reminder(kind: ReminderType, contract: Contract, payment: Owed, today: date) -> Mail:
    """The mail about an open payment, as it stands on that day."""
    late = (today - payment.due_on).days
    month = month_in_words(payment.reference_month)
    data: dict[str, object] = {
        "renterName": _line(contract.renter),
        "propertyAddress": _line(contract.address),
        "rentAmount": str(payment.open_value),
        "dueDate": payment.due_on.isoformat(),
        "message": " ".join(_sentences(kind, payment, late, month)),
    }
    data |= _pix(contract, payment)
    if kind is ReminderType.UPCOMING:
        return Mail(f"Lembrete: aluguel de {month}", "payment-reminder", data)
    data["daysOverdue"] = late
    if kind is ReminderType.FINAL_NOTICE:
        data["isFinalNotice"] = True
        return Mail(f"Aviso final: aluguel de {month} em atraso", "payment-overdue", data)
    return Mail(f"Aluguel de {month} em atraso", "payment-overdue", data)


def expiring(contract: Contract, today: date) -> Mail:
    """The mail about a contract that ends soon."""
    data: dict[str, object] = {
        "renterName": _line(contract.renter),
        "propertyAddress": _line(contract.address),
        "endDate": contract.ends_on.isoformat(),
        "daysLeft": (contract.ends_on - today).days,
    }
    return Mail("Seu contrato de aluguel está chegando ao fim", "contract-expiring", data)


def _pix(contract: Contract, payment: Owed) -> dict[str, object]:
    """How to pay what is open: a code with the amount in it, or the key as the agency wrote it."""
    written = _line(contract.pix_key or "")
    if not written:
        return {}
    key = pix_key(written)
    if key is None:
        return {"pixKey": written}
    code = br_code(
        key=key,
        name=contract.agency,
        city=contract.city,
        amount=payment.open_value,
        reference=payment.id,
    )
    return {"pixKey": written, "pixCode": code}


def _sentences(kind: ReminderType, payment: Owed, late: int, month: str) -> list[str]:
    said = [_about(kind, late, month)]
    if payment.paid_value:
        said.append(
            f"Já recebemos {reais(payment.paid_value)} de {reais(payment.total_value)};"
            f" faltam {reais(payment.open_value)}."
        )
    return said


def _about(kind: ReminderType, late: int, month: str) -> str:
    match kind:
        case ReminderType.UPCOMING:
            return f"Seu aluguel de {month} vence {_soon(-late)}."
        case ReminderType.OVERDUE:
            return f"Seu aluguel de {month} está em atraso há {_days(late)}."
        case ReminderType.FINAL_NOTICE:
            return (
                f"Seu aluguel de {month} está em atraso há {_days(late)} e, apesar dos avisos"
                " anteriores, ainda não identificamos o pagamento."
            )


def _soon(days_left: int) -> str:
    return {0: "hoje", 1: "amanhã"}.get(days_left, f"em {_days(days_left)}")


def _days(count: int) -> str:
    return "1 dia" if count == 1 else f"{count} dias"


def _line(text: str) -> str:
    """On one line: what people pasted into a form may hold breaks, which no mail may."""
    return " ".join(text.split())
