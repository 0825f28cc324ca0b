"""What the servers' numbers mean for the data."""

import ssl

import pytest
from pymysql import err

from safeconsole.mysql.error_codes import KNOWN, connect_error, is_lost, statement_error
from safeconsole.mysql.protocol import PacketTooLargeError
from safeconsole.errors import LostError, OutcomeUnknownError, RefusedError, ServerError, StoppedError, UnreachableError


def outcome(error, *, changes=False):
    return statement_error(error, server="10.0.0.5:3306", changes=changes)


@pytest.mark.parametrize(
    ("code", "text", "kind", "ceiling"),
    [
        (3024, "Query execution was interrupted, maximum statement execution time exceeded", StoppedError, "run_seconds"),
        (1969, "Query execution was interrupted (max_statement_time exceeded)", StoppedError, "run_seconds"),
        (1317, "Query execution was interrupted", StoppedError, ""),
        (1205, "Lock wait timeout exceeded", StoppedError, "lock_wait_seconds"),
        (4082, "Connection closed. Connection memory limit", StoppedError, "session_memory_bytes"),
        (1290, "running with the --max-session-mem-used=8 option", StoppedError, "session_memory_bytes"),
        (1290, "running with the --read-only option", RefusedError, None),
        (1290, "running with the --super-read-only option", RefusedError, None),
        (1792, "Cannot execute statement in a READ ONLY transaction", RefusedError, None),
        (1036, "Table 'orders' is read only", RefusedError, None),
        (1015, "Can't lock file (errno: 165 - Table is read only)", RefusedError, None),
        (1146, "Table 'shop.nope' doesn't exist", ServerError, None),
        (1064, "You have an error", ServerError, None),
        (1213, "Deadlock found", ServerError, None),
        (1142, "SELECT command denied", ServerError, None),
        (1015, "Can't lock file (errno: 11)", ServerError, None),
    ],
)  # fmt: skip
def test_a_number_says_what_happened_whoever_asked(code, text, kind, ceiling):
    for changes in (False, True):
        found = outcome(err.OperationalError(code, text), changes=changes)
        assert type(found) is kind
        assert ceiling is None or found.ceiling == ceiling


@pytest.mark.parametrize(
    "error",
    [
        err.OperationalError(2013, "Lost connection to MySQL server during query"),
        err.OperationalError(2006, "MySQL server has gone away"),
        err.InterfaceError(0, ""),
        err.OperationalError(1053, "Server shutdown in progress"),
        err.OperationalError(1927, "Connection was killed"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError("timed out"),
    ],
)
def test_a_lost_connection_is_unknown_for_a_change_and_over_for_a_read(error):
    assert is_lost(error)
    assert type(outcome(error, changes=True)) is OutcomeUnknownError
    read = outcome(error)
    assert (type(read), read.by, read.verified) == (LostError, "server", "unreachable")


def test_a_value_over_the_ceiling_is_a_stop_of_ours():
    found = outcome(PacketTooLargeError(7))
    assert (found.by, found.ceiling) == ("console", "fetched_bytes")


@pytest.mark.parametrize("code", [1040, 1203, 1226, 1045, 1698, 1862, 3118, 1044, 1049, 1129, 1130, 3032, 3159, 2026])
def test_every_known_reason_for_no_connection_names_the_server_and_a_way_out(code):
    found = connect_error(err.OperationalError(code, "whatever"), server="10.0.0.5:3306", account="cr")
    assert isinstance(found, UnreachableError)
    assert found.message.startswith("10.0.0.5:3306 ")
    assert found.instead
    assert "whatever" not in found.message


def test_a_certificate_that_does_not_fit_is_said_so():
    wrapped = err.OperationalError(2003, "Can't connect")
    wrapped.original_exception = ssl.SSLCertVerificationError(1, "certificate verify failed")
    wrapped.original_exception.verify_message = "hostname mismatch"
    found = connect_error(wrapped, server="10.0.0.5:3306", account="cr")
    assert "did not prove its identity: hostname mismatch" in found.message


def test_no_message_ends_in_a_full_stop_or_has_two_lines():
    for code in (*KNOWN, 1146):
        for changes in (False, True):
            found = outcome(err.OperationalError(code, "text"), changes=changes)
            assert not found.message.endswith(".")
            assert "\n" not in found.message


@pytest.mark.parametrize("resource", ["max_questions", "max_queries_per_hour", "max_connections_per_hour"])
def test_what_is_used_up_for_an_hour_is_no_lack_of_connections(resource):
    used_up = err.OperationalError(1226, f"User 'x' has exceeded the '{resource}' resource (current value: 1)")
    error = connect_error(used_up, server="db:3306", account="x")
    assert resource in error.message
    assert "connection left" not in error.message
