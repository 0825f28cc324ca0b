"""The console over the real gate and the embedded engine: what was typed, what became of it, what was recorded."""

import re

UPDATE = "UPDATE orders SET status = 'x' WHERE id = 1;\r"


def test_a_read_goes_to_a_replica_and_says_so(road):
    data, messages = road.type("SELECT id, status FROM orders WHERE id < 3;\r")
    assert data == "id  status\n--  ---------\n 1  shipped\n 2  cancelled\n"
    assert re.search(r", replica-[12] \(replica\)\n\Z", messages)


def test_a_write_is_refused_with_evidence_and_changes_nothing(road):
    before = road.status_of_order(1)
    _, messages = road.type(UPDATE)
    assert messages.startswith("safeconsole: not run: ")
    assert "node: primary, a primary" in messages
    assert "or: \\preview shows its rows first; \\once REASON runs exactly this; \\elevate" in messages
    assert road.status_of_order(1) == before


def test_an_elevated_write_runs_once_and_stands_in_the_journal(road):
    road.answers = ["INC-7", "shop"]
    _, messages = road.type(f"\\elevate stuck order\r{UPDATE}\\stand-down\r{UPDATE}")
    assert "done, 1 row changed" in messages
    assert messages.count("done, 1 row changed") == 1
    assert road.status_of_order(1) == "x"
    records = road.records()
    intents = [record for record in records if record["type"] == "intent"]
    assert [intent["elevation"] != "" for intent in intents] == [True]
    assert {"type": "command", "command": "\\elevate stuck order", "answer": ""} in records


def test_what_was_refused_runs_once_elevated_for_itself_alone(road):
    road.answers = ["shop"]
    _, messages = road.type(f"{UPDATE}\\once --ticket INC-7 stuck order\r{UPDATE}")
    assert "covers: exactly this statement, on this server" in messages
    assert messages.count("done, 1 row changed") == 1
    assert messages.count("not run: this writes") == 2
    assert road.status_of_order(1) == "x"
    records = road.records()
    (granted,) = [record for record in records if record["type"] == "elevation" and record["state"] == "granted"]
    assert (granted["scope"], granted["reason"], granted["ticket"]) == ("statement", "stuck order", "INC-7")


def test_once_runs_nothing_without_the_name_and_nothing_that_was_not_refused(road):
    road.answers = ["shopp"]
    _, messages = road.type(f"{UPDATE}\\once --ticket INC-7 stuck order\r")
    assert "the elevation was not granted" in messages
    _, messages = road.type("SELECT 1;\r\\once --ticket INC-7 stuck order\r")
    assert "no statement was refused for lack of an elevation" in messages
    _, messages = road.type(f"{UPDATE}\\once --for 5 stuck order\r")
    assert "is over when its statement is" in messages
    assert road.status_of_order(1) != "x"


def test_a_wrong_name_elevates_nothing(road):
    road.answers = ["INC-7", "shopp"]
    _, messages = road.type(f"\\elevate stuck order\r{UPDATE}")
    assert "the elevation was not granted" in messages
    assert road.status_of_order(1) != "x"


def test_a_limit_stops_on_the_server_and_is_told_loudly(road):
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t;\r"
    _, messages = road.type(f"\\timeout 1\r\\rows 100\r{endless}")
    assert "incomplete: stopped at 100 rows: raise with \\rows N up to 10,000,000, or narrow the statement" in messages


def test_a_statement_that_runs_out_of_time_leaves_the_console_open(road):
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT COUNT(*) FROM t;\r"
    data, messages = road.type(f"\\timeout 1\r{endless}SELECT 7;\r")
    assert "run_seconds" in messages or "1 s" in messages
    assert data.endswith("7\n-\n7\n")


def test_the_catalogue_commands_walk_the_road(road):
    data, messages = road.type(
        "\\dt\r\\d orders\r\\di order_items\r\\explain SELECT * FROM orders\r\\topology\r\\status\r"
    )
    assert "safeconsole:" not in messages
    assert "customer_id" in data
    assert "! full scan" in data
    assert "fit primary" in data


def test_what_the_server_says_is_one_clear_line(road):
    _, messages = road.type("SELECT * FROM nosuch;\r")
    assert messages == "safeconsole: the server says: no such table: nosuch (1)\n"


def test_names_are_learnt_as_the_consoles_own_reads(road):
    road.type("SELECT id FROM orders WHERE id = 1;\r\\why\r")
    assert "asked: SELECT id FROM orders" in road.data.getvalue()
    asked = [record for record in road.records() if record["type"] == "asked"]
    assert [(record["by_console"], record["sql"][:30]) for record in asked] == [
        (False, "SELECT id FROM orders WHERE id"),
        (True, "SELECT name FROM sqlite_schema"),
        (True, "PRAGMA table_info(`orders`)"),
        (True, 'SELECT id, "from", "table", "t'),
    ]


def test_leaving_the_pager_stops_the_statement_on_the_server(road):
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t;\r"
    _, messages = road.type(f"\\rows 1000000\r\\pager true\r{endless}\\pager off\rSELECT 7;\r")
    assert "the output was closed" in messages
    assert road.data.getvalue() == "7\n-\n7\n"


def test_a_transaction_is_the_persons_to_end(road):
    before = road.status_of_order(1)
    road.answers = ["INC-7", "shop"]
    _, messages = road.type(f"\\elevate stuck order\rBEGIN;\r{UPDATE}\\status\rROLLBACK;\r")
    assert "the transaction on primary (elevated) was rolled back: by you; 1 statement, 1 row changed" in messages
    assert " transaction  TRANSACTION on primary 0:0" in road.data.getvalue()
    assert road.status_of_order(1) == before
    _, messages = road.type(f"BEGIN;\r{UPDATE}SELECT status FROM orders WHERE id = 1;\rCOMMIT;\r")
    assert "is committed: 2 statements, 1 row changed" in messages
    assert road.status_of_order(1) == "x"


def test_leaving_the_console_undoes_what_is_open_and_says_so(road):
    before = road.status_of_order(1)
    road.answers = ["INC-7", "shop"]
    road.type(f"\\elevate stuck order\rBEGIN;\r{UPDATE}\\quit\r")
    line, *_ = road.session.close()
    assert line.startswith("the transaction on primary (elevated) was rolled back: the session ended; 1 statement")
    assert road.status_of_order(1) == before
    assert [each["what"] for each in road.records() if each["type"] == "notice"][-1] == "transaction rolled-back"


def test_standing_down_undoes_what_is_open(road):
    before = road.status_of_order(1)
    road.answers = ["INC-7", "shop"]
    _, messages = road.type(f"\\elevate stuck order\rBEGIN;\r{UPDATE}\\stand-down\rCOMMIT;\rROLLBACK;\r")
    assert "was rolled back: the elevation ended" in messages
    assert "nothing was sent: the transaction on primary (elevated) was rolled back" in messages
    assert road.status_of_order(1) == before


def test_a_change_is_looked_at_and_then_made_for_exactly_those_rows(road):
    change = "UPDATE orders SET status = 'looked-at' WHERE id IN (11, 12)"
    road.answers = ["shop"]
    data, messages = road.type(f"\\preview {change};\r\\once --ticket T-1 they are paid\r")
    assert "status →" in data
    assert data.count("looked-at") == 2
    assert "2 rows would be changed; behind the row as it is stands what each column becomes (→)" in messages
    assert "\\once REASON runs it for exactly these 2 rows" in messages
    assert "careful: exactly the 2 rows that were counted; another number is rolled back" in messages
    assert road.status_of_order(11) == "looked-at"


def test_inside_a_window_the_question_offers_the_rows_first_and_a_no_changes_nothing(road):
    confirmer = road.session._elevations._confirmer
    confirmer.previews = True
    road.answers = ["shop", "preview", "no"]
    data, messages = road.type("\\elevate --ticket T-1 orders stand still\rDELETE FROM orders;\r")
    assert 'type "yes" to run it, or "preview" to see its rows first' in messages
    assert "rows would be deleted, the first 20 are shown" in messages
    assert messages.count("asked once more") == 3
    assert road.status_of_order(12) is not None
    confirmed = [record["answer"] for record in road.records() if record["type"] == "confirmed"]
    assert confirmed == ["preview", "no"]


def test_what_cannot_be_shown_with_certainty_is_refused_with_the_reason(road):
    _, messages = road.type("\\preview DELETE FROM orders LIMIT 3;\r\\preview\r\\preview SELECT 1;\r")
    assert "it cannot be shown before it is made: LIMIT without ORDER BY may take other rows the next time" in messages
    assert "no change was refused" in messages
    assert "only an UPDATE or DELETE is shown before it is made, and this is select" in messages


def test_what_was_looked_at_is_forgotten_once_something_else_is_typed(road):
    road.answers = []
    _, messages = road.type(
        "\\preview UPDATE orders SET status = 'x' WHERE id = 13;\rSELECT 1;\r\\once --ticket T-1 now\r"
    )
    assert "no statement was refused for lack of an elevation" in messages
