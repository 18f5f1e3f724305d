"""The pipe between daemon and child: whole messages, whatever the other side does."""

import socket
from collections.abc import Iterator

import pytest

from streamq.job import JobId
from streamq.run import pipe as words
from streamq.run.pipe import Command, Pipe, Report, child_end, daemon_end

Ends = tuple[Pipe[Report, Command], Pipe[Command, Report]]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    daemon, child = daemon_end(ours), child_end(theirs)
    yield daemon, child
    daemon.release()
    child.release()


def test_messages_arrive_whole_and_in_their_order(ends: Ends) -> None:
    daemon, child = ends
    said: list[Command] = [
        words.Pulse(),
        words.Stop(None),
        words.Quiet("q", on=False),
        words.Resize(-1),
    ]

    for each in said:
        assert daemon.send(each)

    assert child.receive() == said
    assert child.receive() == []


def test_a_message_in_pieces_is_read_once_it_is_whole() -> None:
    ours, theirs = socket.socketpair()
    child = child_end(theirs)
    reader, writer = socket.socketpair()
    sender = daemon_end(writer)
    sender.send(words.Gone("q", ()))
    data = reader.recv(1_000)

    seen: list[Command] = []
    for at in range(len(data)):
        ours.send(data[at : at + 1])
        seen += child.receive()

    assert seen == [words.Gone("q", ())]
    for each in (ours, reader):
        each.close()
    child.release()
    sender.release()


def test_one_message_is_taken_and_the_next_stays(ends: Ends) -> None:
    daemon, child = ends
    daemon.send(words.Dump())
    daemon.send(words.Now())

    assert child.receive(one=True) == [words.Dump()]
    assert child.receive(one=True) == [words.Now()]


def test_a_side_that_does_not_read_misses_ticks_and_nothing_else(ends: Ends) -> None:
    daemon, child = ends
    pulses = 0
    while daemon.send(words.Pulse()):
        pulses += 1
        assert pulses < 1_000_000, "the kernel's buffer has an end"

    assert daemon.send(words.Stop(5))  # kept, not dropped
    assert not daemon.send(words.Pulse())
    seen: list[Command] = []
    for _ in range(pulses):
        seen += child.receive()
        daemon.flush()
        if seen and seen[-1] == words.Stop(5):
            break

    assert seen[-1] == words.Stop(5)
    assert len(seen) == pulses + 1  # every pulse that was taken, and no other


def test_a_side_that_never_reads_is_given_up(ends: Ends) -> None:
    daemon, _ = ends
    flags = words.Cancelled("q", {JobId(f"job-{n}"): "c" for n in range(1_000)})

    sent = 0
    while daemon.send(flags):
        sent += 1
        assert sent < 1_000, "what is kept has an end"

    assert daemon.closed


def test_the_end_is_told_behind_what_was_said(ends: Ends) -> None:
    daemon, child = ends
    child.send(words.Bye(abandoned=2))
    child.release()

    assert daemon.receive() == [words.Bye(abandoned=2)]
    with pytest.raises(EOFError):
        daemon.receive()
    assert not daemon.send(words.Pulse())


def test_a_length_that_no_message_has_ends_the_conversation() -> None:
    ours, theirs = socket.socketpair()
    child = child_end(theirs)
    ours.send(b"\xff\xff\xff\xff")

    with pytest.raises(EOFError):
        child.receive()
    ours.close()
    child.release()
