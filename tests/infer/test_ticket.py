"""A listener in place of an iteration over a text."""

import threading

from hclx.infer import Part
from hclx.infer.ticket import Ticket


def test_a_listener_gets_every_part_once_from_the_first():
    for _ in range(50):
        ticket, parts, is_begun = Ticket(lambda ticket: None), [], threading.Event()

        def write(ticket=ticket, is_begun=is_begun):
            for number in range(200):
                ticket.add_parts([Part(str(number))])
                is_begun.set()
            ticket.finish("whole")

        thread = threading.Thread(target=write)
        thread.start()
        is_begun.wait()
        ticket.listen(parts.append)
        thread.join()
        assert parts == [*([Part(str(number))] for number in range(200)), None]


def test_a_text_that_has_ended_is_listened_to_as_well():
    ticket, parts = Ticket(lambda ticket: None), []
    ticket.add_parts([Part("a")])
    ticket.finish("a")
    ticket.listen(parts.append)
    assert parts == [[Part("a")], None] and ticket.result() == "a"


def test_an_iteration_joins_what_came_together():
    ticket = Ticket(lambda ticket: None)
    ticket.add_parts([Part("a", (1,)), Part("b", (2,))])
    ticket.add_parts([])
    ticket.add_parts([Part("c")])
    ticket.finish("abc")
    assert list(ticket) == ["ab", "c"]
