"""Who guesses the token is slowed down; nobody else is."""

import pytest
from starlette.testclient import TestClient

from monitor_core.service.api import build_api
from monitor_core.service.attempts import (
    KNOWN_SECONDS,
    MOST_ADDRESSES,
    MOST_WRONG,
    WITHIN_SECONDS,
    Attempts,
    address_of,
)
from tests.builders import FakeClock

TOKEN = "canary-token-1234"


@pytest.fixture
def came_from(start):
    """A client for each address, of one service that asks for a token."""
    api = build_api(start(api_token=TOKEN))
    return lambda address: TestClient(api, base_url="http://127.0.0.1:8000", client=(address, 50_000))


def log_in(client, token):
    return client.post("/api/session", json={"token": token})


def ask(client, token):
    return client.get("/api/v1/hosts", headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("attempt", [log_in, ask])
def test_who_guesses_has_to_wait_even_with_the_right_one_and_others_need_not(came_from, attempt):
    guesser = came_from("192.0.2.1")
    assert {attempt(guesser, f"guess-{number}").status_code for number in range(MOST_WRONG)} == {401}
    for either in (log_in, ask):
        answer = either(guesser, TOKEN)
        assert (answer.status_code, answer.headers["content-type"]) == (429, "application/problem+json")
        assert 0 < int(answer.headers["retry-after"]) <= WITHIN_SECONDS
    assert log_in(came_from("192.0.2.2"), TOKEN).status_code == 204
    assert ask(came_from("192.0.2.2"), TOKEN).status_code == 200


def test_the_same_wrong_token_again_and_again_is_no_guessing(came_from):
    collector = came_from("192.0.2.1")
    assert {ask(collector, "of-last-year").status_code for _ in range(3 * MOST_WRONG)} == {401}
    assert ask(collector, TOKEN).status_code == 200


def test_a_program_that_has_the_token_is_let_in_whoever_guesses_behind_the_same_address(came_from):
    behind_a_proxy = came_from("192.0.2.1")
    assert ask(behind_a_proxy, TOKEN).status_code == 200
    for number in range(MOST_WRONG):
        log_in(behind_a_proxy, f"guess-{number}")
    assert log_in(behind_a_proxy, TOKEN).status_code == 429
    assert ask(behind_a_proxy, TOKEN).status_code == 200


def test_who_is_logged_in_stays_so(came_from):
    person = came_from("192.0.2.1")
    log_in(person, TOKEN)
    for number in range(MOST_WRONG + 1):
        ask(person, f"guess-{number}")
    assert person.get("/api/v1/hosts").status_code == 200


def test_without_a_token_nobody_waits(start):
    client = TestClient(build_api(start()), base_url="http://127.0.0.1:8000")
    assert {log_in(client, str(number)).status_code for number in range(2 * MOST_WRONG)} == {204}


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def attempts(clock):
    return Attempts(clock.monotonic)


def test_an_attempt_is_free_again_when_the_first_is_long_past(attempts, clock):
    for number in range(MOST_WRONG):
        attempts.was_wrong("a", str(number))
        clock.pass_seconds(1)
    assert attempts.seconds_to_wait("a") == WITHIN_SECONDS - MOST_WRONG
    clock.pass_seconds(WITHIN_SECONDS - MOST_WRONG)
    assert attempts.seconds_to_wait("a") == 0
    attempts.was_wrong("a", "one more")
    assert attempts.seconds_to_wait("a") == 1


def test_a_right_password_forgives_the_mistakes_before_it(attempts):
    for number in range(MOST_WRONG - 1):
        attempts.was_wrong("a", str(number))
    attempts.was_right("a")
    attempts.was_wrong("a", "again")
    assert attempts.seconds_to_wait("a") == 0


def test_a_program_is_known_for_a_day(attempts, clock):
    attempts.know("a")
    clock.pass_seconds(KNOWN_SECONDS - 1)
    assert attempts.is_known("a")
    clock.pass_seconds(2)
    assert not attempts.is_known("a")


def test_its_memory_is_bounded_and_forgets_the_oldest(attempts):
    for number in range(MOST_WRONG):
        attempts.was_wrong("of late", str(number))
    for number in range(3 * MOST_ADDRESSES):
        attempts.was_wrong(f"address-{number}", "x")
        attempts.know(f"address-{number}")
        if number % 500 == 0:
            attempts.was_wrong("of late", f"x{number}")
    assert len(attempts._wrong) == len(attempts._known) == MOST_ADDRESSES
    assert attempts.seconds_to_wait("of late") > 0
    assert max(len(tokens) for tokens in attempts._wrong.values()) <= MOST_WRONG


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::"),
        (("fe80::1%eth0", 1), "fe80::"),
        (("testclient", 1), "testclient"),
        (None, ""),
    ],
)
def test_who_calls(client, address):
    assert address_of({"client": client}) == address
