"""Smack 4.5, the library of most Android apps. Its stories are in smack/: it is strict where others are forgiving."""

import secrets

import pytest

from programs import Smack


@pytest.fixture(scope="module")
def smack():
    smack = Smack()
    yield smack
    smack.close()


@pytest.fixture
def accounts(server):
    """A function that makes this many accounts."""
    return lambda *names: [server.add_account(f"{name}-{secrets.token_hex(3)}") for name in names]


@pytest.fixture(scope="module")
def house(make_server):
    """A server with two addresses for one matter, its administrator, and nobody else."""
    server = make_server(KIM__CONTACT__ABUSE="mailto:abuse@example.org,xmpp:admin@localhost").start()
    yield server, server.add_account("admin"), server.add_account("alice")
    server.stop()


def test_two_people_talk(smack, server, accounts):
    smack.play("talk", server, *accounts("alice", "bob"))


def test_a_session_goes_on_after_a_cut(smack, server, accounts):
    """XEP-0198 §5."""
    smack.play("resume", server, *accounts("alice", "bob"))


def test_the_archive_is_read_page_by_page(smack, server, accounts):
    """XEP-0313 §4.3."""
    smack.play("archive", server, *accounts("alice", "bob"))


def test_two_people_become_contacts(smack, server, accounts):
    """RFC 6121 §3.1, both ways, and a contact removed."""
    smack.play("roster", server, *accounts("alice", "bob"))


def test_somebody_is_blocked_and_heard_again(smack, server, accounts):
    """XEP-0191."""
    smack.play("blocking", server, *accounts("alice", "bob"))


def test_a_room_is_made_configured_and_left(smack, server, accounts):
    """XEP-0045 §10.1.3 with the field types of §15.5.3; the id of a leaving presence comes back (§17.3)."""
    smack.play("room", server, *accounts("alice", "bob"))


def test_affiliations_of_two_people_are_listed(smack, server, accounts):
    """XEP-0045 §9.5, §10.8."""
    smack.play("affiliations", server, *accounts("alice", "bob", "carol"))


def test_a_file_is_uploaded(smack, server, accounts):
    """XEP-0363 §5, §6: the slot, the file put there and fetched again."""
    smack.play("upload", server, *accounts("alice"))


def test_a_server_with_two_addresses_against_abuse(smack, house):
    """XEP-0157: the whole answer to disco#info is dropped where the field says that it has one value."""
    server, admin, alice = house
    smack.play("contact addresses", server, alice)


def test_two_registered_users_are_listed(smack, house):
    """XEP-0133 §4.18: a field with several values says so (XEP-0004 §3.3)."""
    server, admin, alice = house
    smack.play("registered users", server, admin, alice)
