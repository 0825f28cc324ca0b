"""Elevations that somebody else has to agree to: the refusal carries a code, nothing waits, and what it is for runs once."""

import os
import pwd
import re

import pymysql
import pytest

from safeconsole.audit.signing import new_key
from tests.harness.gateway import serving

CHANGE = "UPDATE orders SET status = '{}' WHERE id = 14"


@pytest.fixture(scope="module")
def own(shared_clusters, tmp_path_factory):
    """A gateway whose policy asks two persons for a change; the account that runs the tests is the second one."""
    directory = tmp_path_factory.mktemp("two")
    (directory / "requests").mkdir(mode=0o700)
    public = new_key(str(directory / "approver.key"), account="x")
    account = pwd.getpwuid(os.geteuid()).pw_name
    settings = (
        f'[approvals]\nkey = "{directory / "approver.key"}"\ndirectory = "{directory / "requests"}"\n'
        f'[approvals.approvers]\n{account} = "{public}"\n'
    )
    with serving(shared_clusters("mysql"), directory, settings=settings, two_persons="write") as up:
        yield up


def refusal(cursor, text):
    with pytest.raises(pymysql.err.MySQLError) as raised:
        cursor.execute(text)
    assert raised.value.args[0] == 1290
    return raised.value.args[1]


def approve(own, told):
    code = re.search(r"safeconsole approve (\S+?)`", told)[1]
    done = own.command("approve", code, "--confirm", "shop")
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_persons_window_waits_for_a_second_person_and_nothing_waits_for_it(own):
    with own.connect("anna") as connection, connection.cursor() as cursor:
        call = "CALL safeconsole.elevate('incident 7', 'OPS-7')"
        told = refusal(cursor, call)
        assert "the policy asks for two persons" in told
        refusal(cursor, CHANGE.format("early"))
        approve(own, told)
        cursor.execute(call)
        cursor.execute(CHANGE.format("agreed"))
        cursor.execute("CALL safeconsole.stand_down()")
        # It counted once.
        refusal(cursor, call)


def test_a_program_opens_no_window_and_its_statement_runs_once_after_a_yes(own):
    token = own.token("robo", "--agent")
    with own.connect("robo", token) as connection, connection.cursor() as cursor:
        text = CHANGE.format("by-robo")
        assert "safeconsole.elevate" in refusal(cursor, text)
        cursor.execute("CALL safeconsole.elevate('clean up', 'OPS-8')")
        told = refusal(cursor, text)
        assert "cannot elevate by itself" in told
        # Asked again, it is the same request.
        assert re.search(r"approve (\S+?)`", refusal(cursor, text))[1] == re.search(r"approve (\S+?)`", told)[1]
        shown = approve(own, told)
        assert "by-robo" in shown
        cursor.execute(text)
        refusal(cursor, text)
        cursor.execute("SELECT status FROM orders WHERE id = 14")
        assert cursor.fetchall() == (("by-robo",),)


def test_a_program_that_tries_what_no_application_does_is_sent_away(own):
    token = own.token("robo", "--agent")
    with own.connect("robo", token) as connection:
        connection._execute_command(0x12, b"\0\0\0\0\0\0\1\0\0\0")
        with pytest.raises(pymysql.err.MySQLError) as raised:
            connection._read_ok_packet()
        assert raised.value.args[0] == 1047
        with pytest.raises(pymysql.err.MySQLError):
            connection.ping(reconnect=False)
        connection._force_close()
    own.wait_until_left("robo")
    assert any(each["what"] == "command refused" for each in own.records("notice", "robo"))
