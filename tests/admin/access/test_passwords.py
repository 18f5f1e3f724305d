"""How passwords are kept and checked. Controls 4 and 5 of security.md."""

import asyncio
import statistics
import threading
import time

import pytest

from admin.access import passwords
from admin.access.passwords import (
    AT_ONCE_MAX,
    COST,
    NODE_COST,
    WAITING_MAX,
    Checker,
    Cost,
    Costs,
    Form,
    UnknownForm,
    cost_of,
    fits,
    form_of,
    hashed,
)
from admin.access.refusals import NotNow
from tests.admin.access.users_table import NodeHash, node_hashes

CHEAP = Cost(10, 8, 1)
ALL_FORMS = list(Form)
TAIL = "A" * 22 + "." + "A" * 43


@pytest.mark.slow
def test_a_new_password_is_kept_as_scrypt_with_the_full_cost() -> None:
    stored = hashed("senha")

    assert (COST.log2_n, COST.r, COST.p) == (17, 8, 1)
    assert stored.startswith("scrypt.17.8.1.")
    assert form_of(stored) is Form.SCRYPT
    assert fits(Form.SCRYPT, stored, "senha")
    assert not fits(Form.SCRYPT, stored, "senha ")


def test_two_hashes_of_one_password_differ() -> None:
    assert hashed("senha", CHEAP) != hashed("senha", CHEAP)


def test_a_hash_survives_shells_lists_and_compose_files() -> None:
    signs = set("".join(hashed("senha", CHEAP) for _ in range(50)))

    assert signs.isdisjoint("$,:;'\"\\ \t\n#{}=")


@pytest.mark.parametrize("stored", node_hashes(), ids=lambda s: f"{s.form}-{len(s.password)}")
def test_what_node_hashed_is_verified(stored: NodeHash) -> None:
    form = form_of(stored.hash)

    assert form is (Form.NODE_SCRYPT if stored.form == "scrypt" else Form.BCRYPT)
    assert fits(form, stored.hash, stored.password)
    assert not fits(form, stored.hash, f"y{stored.password}")


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "senha", "scrypt", "scrypt.17.8.1..", f"scrypt.9.8.1.{TAIL}",
        f"scrypt.30.8.1.{TAIL}", f"scrypt.17.99.99.{TAIL}", f"scrypt.17.0.1.{TAIL}",
        f"scrypt.\uff117.8.1.{TAIL}", "$2b$31$" + "a" * 53, "$2x$10$" + "a" * 53,
        "a" * 128, "g" * 128 + ".salt", "a" * 128 + ".", "$scrypt$ln=17,r=8,p=1$a$b",
    ],
)  # fmt: skip
def test_a_text_that_is_no_hash_is_none_and_costs_nothing(text: str) -> None:
    with pytest.raises(UnknownForm) as raised:
        form_of(text)

    assert not text or text not in str(raised.value)


@pytest.mark.parametrize("password", ["a\x00b", "\ud800", "x" * 1_024, "🏠" * 300])
def test_odd_passwords_are_passwords(password: str) -> None:
    stored = hashed(password, CHEAP)

    assert fits(Form.SCRYPT, stored, password)
    for form in (Form.BCRYPT, Form.NODE_SCRYPT):
        assert not fits(form, passwords._nobodys(form, Costs(CHEAP, bcrypt=4)), password)


# ---- the same cost for all


def _work(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Form, object]]:
    """What each check does, as it does it: the form, and what its cost depends on."""
    done: list[tuple[Form, object]] = []
    really = passwords.fits

    def noted(form: Form, stored: str, password: str) -> bool:
        costs = cost_of(stored) if form is Form.SCRYPT else NODE_COST
        done.append((form, stored[:7] if form is Form.BCRYPT else costs))
        return really(form, stored, password)

    monkeypatch.setattr(passwords, "fits", noted)
    return done


async def test_an_unknown_user_costs_what_a_wrong_password_costs_in_any_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = _work(monkeypatch)
    checker = Checker(ALL_FORMS, Costs(CHEAP, bcrypt=4))
    stored = [hashed("right", CHEAP), *(each.hash for each in node_hashes() if "05$" in each.hash)]
    stored += [each.hash for each in node_hashes() if each.form == "scrypt"]
    await checker.check(stored[1], "wrong")  # it has seen what a hash of the table costs

    works = []
    for each in (None, "no hash at all", *stored):
        done.clear()
        assert not await checker.check(each, "wrong")
        works.append(list(done))
    checker.close()

    assert len(stored) > 4
    assert all(sorted(map(str, work)) == sorted(map(str, works[0])) for work in works)
    assert len(works[0]) == len(ALL_FORMS)


@pytest.mark.slow
async def test_the_times_of_an_unknown_user_and_of_a_wrong_password_do_not_differ() -> None:
    """200 of each, one after the other, so that whatever else the machine does hits both."""
    checker = Checker([Form.SCRYPT], Costs(CHEAP))
    stored = hashed("right", CHEAP)
    ratio = 0.0
    for _ in range(3):
        unknown: list[float] = []
        wrong: list[float] = []
        for _ in range(200):
            for account, times in ((None, unknown), (stored, wrong)):
                began = time.perf_counter()
                assert not await checker.check(account, "wrong")
                times.append(time.perf_counter() - began)
        ratio = statistics.median(unknown) / statistics.median(wrong)
        if 0.95 < ratio < 1.05:
            break
    checker.close()

    assert 0.95 < ratio < 1.05


# ---- beside a loop that has other things to do


@pytest.mark.slow
async def test_fifty_logins_at_once_leave_the_loop_free_and_four_threads_busy() -> None:
    cost = Cost(13, 8, 1)  # some 30 ms each
    checker = Checker([Form.SCRYPT], Costs(cost))
    stored = hashed("right", cost)
    lags: list[float] = []
    threads: set[str] = set()
    ended = asyncio.Event()

    async def watch() -> None:
        while not ended.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - began - 0.005)
            threads.update(t.name for t in threading.enumerate() if t.name.startswith("password"))

    watching = asyncio.create_task(watch())
    found = await asyncio.gather(*(checker.check(stored, "right") for _ in range(50)))
    ended.set()
    await watching
    checker.close()

    assert found == [True] * 50
    assert 1 <= len(threads) <= AT_ONCE_MAX == 4
    assert statistics.quantiles(lags, n=20)[-1] < 0.05
    assert len(lags) > 20


async def test_more_logins_than_can_wait_are_put_off() -> None:
    checker = Checker([Form.SCRYPT], Costs(CHEAP))
    found = await asyncio.gather(
        *(checker.check(None, "x") for _ in range(AT_ONCE_MAX + WAITING_MAX + 5)),
        return_exceptions=True,
    )
    checker.close()

    refused = [each for each in found if isinstance(each, NotNow)]
    assert len(refused) == 5
    assert refused[0].status == 503
    assert refused[0].headers["Retry-After"].isdigit()
    assert found.count(False) == AT_ONCE_MAX + WAITING_MAX
