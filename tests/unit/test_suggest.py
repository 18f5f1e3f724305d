"""Did you mean...?"""

from hypothesis import given
from hypothesis import strategies as st

from streamq.suggest import nearest

QUEUES = ["backup", "cleanup", "email", "payment-reminder", "integration-sync"]


def test_a_slip_of_the_pen_finds_what_was_meant() -> None:
    assert nearest("emial", QUEUES) == "email"
    assert nearest("cleanups", QUEUES) == "cleanup"


def test_case_and_dashes_are_no_difference() -> None:
    assert nearest("PAYMENT_REMINDER", QUEUES) == "payment-reminder"
    assert nearest("send_email", ["send-email"]) == "send-email"


def test_camel_case_is_found_with_its_spelling() -> None:
    assert nearest("sendmail", ["invoiceId", "sendEmail"]) == "sendEmail"


def test_nothing_alike_means_no_guess() -> None:
    assert nearest("zzz", QUEUES) is None
    assert nearest("email", []) is None


@given(st.text(max_size=300), st.lists(st.text(max_size=300), max_size=20))
def test_a_guess_is_always_one_of_the_known(name: str, known: list[str]) -> None:
    found = nearest(name, known)

    assert found is None or found in known
