"""Presence: present, absent, and the grace between."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from app.chat.messages import Member
from app.chat.presence import Presence, everybody
from tests.cast import ANN, BOB

GRACE = 10.0


def here(presence: Presence) -> list[str]:
    return [member.name for member in presence.members()]


def test_nobody_is_there_at_first() -> None:
    presence = Presence()
    assert here(presence) == []
    assert not presence.changed


def test_an_arrival_is_present() -> None:
    presence = Presence()
    presence.arrive(ANN)
    assert here(presence) == ["Ann"]
    assert ANN.id in presence
    assert BOB.id not in presence
    assert len(presence) == 1
    assert presence.changed


def test_a_departed_member_is_present_for_the_grace() -> None:
    presence = Presence()
    presence.arrive(ANN)
    presence.depart(ANN.id, now=100)
    presence.sweep(now=109.9, grace=GRACE)
    assert here(presence) == ["Ann"]
    presence.sweep(now=110, grace=GRACE)
    assert here(presence) == []
    assert len(presence) == 0


def test_a_reload_is_no_absence_and_no_change() -> None:
    presence = Presence()
    presence.arrive(ANN)
    presence.changed = False
    presence.depart(ANN.id, now=100)
    presence.sweep(now=105, grace=GRACE)
    presence.arrive(ANN)
    presence.sweep(now=1000, grace=GRACE)
    assert here(presence) == ["Ann"]
    assert not presence.changed


def test_two_tabs_are_one_person_who_stays_until_both_are_closed() -> None:
    presence = Presence()
    presence.arrive(ANN)
    presence.arrive(ANN)
    assert here(presence) == ["Ann"]
    presence.depart(ANN.id, now=0)
    presence.sweep(now=1000, grace=GRACE)
    assert here(presence) == ["Ann"]
    presence.depart(ANN.id, now=1000)
    presence.sweep(now=1010, grace=GRACE)
    assert here(presence) == []


def test_without_grace_absence_is_at_once() -> None:
    presence = Presence()
    presence.arrive(ANN)
    presence.depart(ANN.id, now=100)
    presence.sweep(now=100, grace=0)
    assert here(presence) == []


def test_only_arrivals_and_departures_are_changes() -> None:
    presence = Presence()
    presence.arrive(ANN)
    presence.changed = False
    presence.arrive(ANN)
    presence.depart(ANN.id, now=0)
    presence.depart(ANN.id, now=0)
    presence.sweep(now=1, grace=GRACE)
    assert not presence.changed
    presence.sweep(now=10, grace=GRACE)
    assert presence.changed


def test_a_new_name_is_shown_at_once() -> None:
    presence = Presence()
    presence.arrive(ANN)
    presence.changed = False
    presence.rename(replace(ANN, name="Anna"))
    assert here(presence) == ["Anna"]
    assert presence.changed


def test_a_new_name_in_another_tab_is_shown_too() -> None:
    presence = Presence()
    presence.arrive(ANN)
    presence.arrive(replace(ANN, name="Anna"))
    assert here(presence) == ["Anna"]


def test_renaming_an_absent_member_adds_nobody() -> None:
    presence = Presence()
    presence.rename(ANN)
    assert here(presence) == []
    assert not presence.changed


def test_the_same_name_again_is_no_change() -> None:
    presence = Presence()
    presence.arrive(ANN)
    presence.changed = False
    presence.rename(ANN)
    assert not presence.changed


def test_a_departure_of_a_stranger_is_nothing() -> None:
    presence = Presence()
    presence.depart(ANN.id, now=0)
    presence.sweep(now=0, grace=0)
    assert not presence.changed


def test_a_departure_that_is_told_twice_does_not_count_for_a_later_tab() -> None:
    presence = Presence()
    presence.arrive(ANN)
    presence.depart(ANN.id, now=0)
    presence.depart(ANN.id, now=0)
    presence.arrive(ANN)
    presence.arrive(ANN)
    presence.depart(ANN.id, now=1)
    presence.sweep(now=1000, grace=GRACE)
    assert here(presence) == ["Ann"]


def test_members_stand_in_the_order_of_their_names() -> None:
    presence = Presence()
    for name in ("bob", "Änne", "Ann", "anna", "Bo"):
        presence.arrive(Member(f"id of {name}", name, "UTC"))
    assert here(presence) == ["Ann", "anna", "Bo", "bob", "Änne"]


@given(st.permutations([ANN, BOB, Member("c", "Ann", "UTC")]))
def test_the_member_order_does_not_depend_on_arrival(members: list[Member]) -> None:
    presence = Presence()
    for member in members:
        presence.arrive(member)
    assert [member.id for member in presence.members()] == [ANN.id, "c", BOB.id]


def test_everybody_returns_the_members_of_all_rooms() -> None:
    lobby, watercooler = Presence(), Presence()
    lobby.arrive(ANN)
    watercooler.arrive(ANN)
    watercooler.arrive(BOB)
    assert everybody([lobby, watercooler]) == {ANN.id, BOB.id}
    assert everybody([]) == set()


# Elsewhere


def test_members_elsewhere_are_present_but_not_here() -> None:
    presence = Presence()
    presence.arrive(ANN)
    presence.changed = presence.moved = False
    presence.set_elsewhere([BOB], version=7)
    assert here(presence) == ["Ann", "Bob"]
    assert presence.here() == {ANN.id}
    assert len(presence) == 1
    assert BOB.id in presence
    assert presence.version == 7
    assert presence.changed
    assert not presence.moved
    assert everybody([presence]) == {ANN.id}


@pytest.mark.breaks("app/chat/presence.py", "self.changed or member.id not in self._elsewhere", "True")
@pytest.mark.breaks("app/chat/presence.py", "self.changed or member_id not in self._elsewhere", "True")
def test_moving_between_processes_is_no_change() -> None:
    presence = Presence()
    presence.set_elsewhere([ANN], version=1)
    presence.changed = False
    presence.arrive(ANN)
    presence.depart(ANN.id, now=0)
    presence.sweep(now=GRACE, grace=GRACE)
    assert presence.moved
    assert not presence.changed
    assert here(presence) == ["Ann"]


def test_the_newest_name_is_shown() -> None:
    presence = Presence()
    presence.set_elsewhere([ANN, BOB], version=1)
    presence.arrive(ANN)
    presence.changed = False
    presence.rename(replace(BOB, name="Robert"))
    assert presence.changed
    presence.rename(replace(ANN, name="Anna"))
    presence.depart(ANN.id, now=0)
    presence.sweep(now=GRACE, grace=GRACE)
    assert here(presence) == ["Anna", "Robert"]


class People(RuleBasedStateMachine):
    """Presence against a model that remembers every socket and every departure."""

    who = st.sampled_from(["ann", "bob"])

    def __init__(self) -> None:
        super().__init__()
        self.presence = Presence()
        self.now = 0.0
        self.names = {"ann": "Ann", "bob": "Bob"}
        self.sockets = {"ann": 0, "bob": 0}
        self.until: dict[str, float] = {}  # when the grace of those without a socket ends
        self.elsewhere: set[str] = set()
        self.shown: list[str] = []

    def member(self, who: str) -> Member:
        return Member(who, self.names[who], "UTC")

    @rule(who=who)
    def arrive(self, who: str) -> None:
        self.presence.arrive(self.member(who))
        self.sockets[who] += 1
        self.until.pop(who, None)

    @rule(who=who)
    def depart(self, who: str) -> None:
        """Also of somebody who has no socket: told twice, or a stranger."""
        self.presence.depart(who, self.now)
        if self.sockets[who]:
            self.sockets[who] -= 1
            if not self.sockets[who]:
                self.until[who] = self.now + GRACE

    @rule(who=who, name=st.sampled_from(["Ann", "Anna", "Bob", "Zoe"]))
    def rename(self, who: str, name: str) -> None:
        self.names[who] = name
        self.presence.rename(self.member(who))

    @rule(elsewhere=st.sets(who))
    def meet(self, elsewhere: set[str]) -> None:
        """Other processes say who is there."""
        self.elsewhere = elsewhere
        self.presence.set_elsewhere(map(self.member, elsewhere), version=1)

    @rule(seconds=st.integers(0, 12))
    def wait_and_sweep(self, seconds: int) -> None:
        self.now += seconds
        self.presence.sweep(self.now, GRACE)
        self.until = {who: until for who, until in self.until.items() if until > self.now}

    @precondition(lambda self: self.presence.changed)
    @rule()
    def show(self) -> None:
        self.presence.changed = False
        self.shown = here(self.presence)

    @invariant()
    def those_are_here_who_should_be(self) -> None:
        here_now = {who for who in self.sockets if self.sockets[who]} | set(self.until)
        present = here_now | self.elsewhere
        assert {member.id for member in self.presence.members()} == present
        assert self.presence.here() == here_now
        assert len(self.presence) == len(here_now)
        assert set(here(self.presence)) == {self.names[who] for who in present}

    @invariant()
    def whatever_differs_from_what_is_shown_is_a_change(self) -> None:
        assert self.presence.changed or self.shown == here(self.presence)


def test_presence_is_right_after_any_script() -> None:
    run_state_machine_as_test(People)
