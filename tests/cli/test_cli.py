"""The command line: every exit code, one clear line for every mistake, and never a traceback."""

import contextlib
import io
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from msgspec.structs import replace
from pathlib import Path

import click
import keyring
import keyring.backends.fail
import pytest

from safeconsole.sqlite.engine import SqliteEngine
from safeconsole.demo.stage import staged
from safeconsole.cli.application import Door
from safeconsole.cli.root import COMMANDS, root
from safeconsole.config.identity import Person
from safeconsole.output.confirming import NoTerminal
from safeconsole.app import Program, run

PASSWORD = "hunter2-planted"
UPDATE = "UPDATE orders SET status = 'cli' WHERE id = 7"
GRANTED = ("--reason", "test", "--ticket", "T-1", "--confirm", "shop")


@dataclass(frozen=True)
class Said:
    """What one command line answered."""

    code: int
    out: str
    err: str


class Reader(io.RawIOBase):
    """A reader of our output that left."""

    def writable(self):
        return True

    def write(self, _data):
        raise BrokenPipeError


@pytest.fixture(scope="module")
def shop():
    """The embedded demo cluster, its replicas caught up."""
    with staged("embedded") as up:
        deadline = time.monotonic() + 10
        while ask(up, "topology", "shop").code:
            assert time.monotonic() < deadline, "the replicas do not catch up"
            time.sleep(0.05)
        yield up


def ask(up, *arguments, stdin=b"", environ=None, out=None):
    """Run one command line in this process; without a terminal, as in a pipe."""
    config = ("--config", str(up.config)) if up is not None else ()
    streams = [
        io.TextIOWrapper(raw, encoding="utf-8") for raw in (io.BytesIO(stdin), out or io.BytesIO(), io.BytesIO())
    ]
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = streams
    try:
        code = run([*config, *arguments], dict(os.environ) if environ is None else environ)
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
    for stream in streams[1:]:
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    texts = ["" if stream.buffer is out else stream.buffer.getvalue().decode() for stream in streams[1:]]
    assert "Traceback" not in texts[1]
    return Said(code, *texts)


def sql(up, *arguments, **how):
    return ask(up, "sql", "shop", *arguments, **how)


def records(up):
    """The records of the newest session."""
    sessions = up.config.parent / "audit" / "sessions"
    newest = max(sessions.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(line)["record"] for line in newest.read_text().splitlines()]


def kinds(up):
    return [record["type"] for record in records(up)]


# Every exit code.


def test_0_a_read_is_answered_with_rows_on_stdout_and_the_node_on_stderr(shop):
    said = sql(shop, "-e", "SELECT id FROM orders WHERE id < 3 ORDER BY id", "--format", "csv")
    assert (said.code, said.out.split()) == (0, ["id", "1", "2"])
    assert re.search(r"replica-[12] \(replica\)", said.err)


def test_0_an_elevated_write_runs_on_the_primary(shop):
    said = sql(shop, *GRANTED, "-e", UPDATE)
    assert said.code == 0
    assert "primary" in said.err
    intent = next(record for record in records(shop) if record["type"] == "intent")
    assert (intent["account"], bool(intent["elevation"])) == ("elevated", True)


def test_1_the_servers_own_error(shop):
    said = sql(shop, "-e", "SELECT id FROM no_such_table")
    assert (said.code, said.err) == (1, "safeconsole: the server says: no such table: no_such_table (1)\n")


def test_2_usage(shop):
    assert sql(shop, "--no-such-option").code == 2


@pytest.mark.parametrize(
    "arguments", [("-e", UPDATE), ("--to", "primary", "-e", "SELECT name, SUM(pgsize) FROM dbstat GROUP BY name")]
)
def test_3_what_needs_an_elevation_says_why_and_how(shop, arguments):
    said = sql(shop, *arguments)
    assert said.code == 3
    assert said.err.startswith("safeconsole: not run: ")
    assert "--confirm shop" in said.err
    assert "intent" not in kinds(shop)


@pytest.mark.parametrize("confirm", ["other", "", "SHOP", "shop "])
def test_3_a_name_that_is_not_the_clusters_grants_nothing(shop, confirm):
    said = sql(shop, "--reason", "test", "--confirm", confirm, "-e", UPDATE)
    assert said.code == 3
    assert "intent" not in kinds(shop)


def test_4_what_no_elevation_makes_right(shop):
    said = sql(shop, *GRANTED, "--to", "replica", "-e", UPDATE)
    assert (said.code, said.err.splitlines()[0]) == (4, "safeconsole: denied: a replica must not be changed")


def test_5_a_limit_that_was_reached(shop):
    said = sql(shop, "--max-rows", "3", "-e", "SELECT id FROM orders", "--format", "csv")
    assert said.code == 5
    assert len(said.out.split()) >= 4
    assert "fetched_rows is 3" in said.err
    assert "instead: narrow it with WHERE or LIMIT\n  or: --max-rows N raises it, to at most 10,000,000" in said.err


def test_bytes_over_the_limit_stop_it_and_say_how_to_raise_them(shop):
    said = sql(shop, "--max-bytes", "1K", "-e", "SELECT * FROM orders", "--format", "csv")
    assert said.code == 5
    assert "--max-bytes N raises it, to at most 17,179,869,184" in said.err
    assert sql(shop, "--max-bytes", "1M", "-e", "SELECT id FROM orders LIMIT 3", "--format", "csv").code == 0
    assert sql(shop, "--max-bytes", "some", "-e", "SELECT 1").code == 2


def test_2_a_limit_looser_than_the_policy_allows_says_how_far_it_goes(shop):
    said = sql(shop, "--timeout", "99999", "-e", "SELECT 1")
    assert said.code == 2
    assert "run_seconds 99,999 exceeds the maximum of policy baseline" in said.err
    assert "at most 3,600" in said.err


def test_2_a_session_that_cannot_be_opened_whole_is_closed(shop, tmp_path):
    path = tmp_path / "config.toml"
    sink = '[audit.sinks.far]\nkind = "webhook"\naddress = "https://{secret}"\nsecret_variable = "NOT_SET"\n'
    path.write_text(f"{shop.config.read_text()}\n{sink}")
    path.chmod(0o600)
    said = sql(replace(shop, config=path), "-e", "SELECT 1")
    assert (said.code, "NOT_SET is not set" in said.err) == (2, True)
    assert kinds(shop) == ["session-opened", "session-closed"]


def test_a_session_belongs_to_the_person_it_is_opened_for_not_to_the_process(shop):
    program = Program(dict(os.environ))
    program.configure(str(shop.config))
    zoe = Person(name="zoe", login="zoe-login", groups=("oncall",), host="desk")
    assert program.person.name != "zoe"
    with program.open(Door(person=zoe, cluster="shop", face="one-shot", confirmer=NoTerminal())) as session:
        assert session.session.context.person is zoe
    opened = records(shop)[0]
    assert (opened["type"], opened["person"], opened["login"]) == ("session-opened", "zoe", "zoe-login")


def test_what_is_told_at_the_end_cannot_drive_the_terminal(shop, capsys):
    program = Program(dict(os.environ))
    program.configure(str(shop.config))
    with program.open(Door(person=program.person, cluster="shop", face="one-shot", confirmer=NoTerminal())) as session:
        close = session.session.close
        session.session.close = lambda reason: (*close(reason), "the transaction on db\x1b]0;owned\x07 is over")
    assert capsys.readouterr().err == "safeconsole: the transaction on db\\x1b]0;owned\\x07 is over\n"


def test_a_session_that_ended_with_a_refusal_was_not_interrupted(shop):
    assert sql(shop, "-e", "DROP TABLE orders").code == 3
    assert records(shop)[-1]["reason"] == ""


@pytest.mark.parametrize("fault", [OSError(28, "no space left"), KeyboardInterrupt()])
def test_whatever_breaks_at_the_end_the_session_is_closed_and_its_servers_left(shop, fault):
    program, left = Program(dict(os.environ)), []
    program.configure(str(shop.config))

    def breaks():
        raise fault

    with pytest.raises(type(fault)):
        with program.open(
            Door(person=program.person, cluster="shop", face="one-shot", confirmer=NoTerminal())
        ) as session:
            session.session.consider(session.session.split("SELECT id FROM orders LIMIT 1")[0])
            session.session._nodes.close = lambda: left.append("nodes")
            session.record_terminal().close = breaks
    assert left == ["nodes"]
    assert kinds(shop)[-1] == "session-closed"


def test_whoever_cannot_be_told_of_the_end_leaves_no_server_connected(shop, monkeypatch):
    program, left = Program(dict(os.environ)), []
    program.configure(str(shop.config))

    class Gone(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError

    monkeypatch.setattr(SqliteEngine, "close", lambda _self: left.append("engine"))
    with pytest.raises(BrokenPipeError):
        with program.open(
            Door(person=program.person, cluster="shop", face="one-shot", confirmer=NoTerminal())
        ) as session:
            close = session.session.close
            session.session.close = lambda reason: (*close(reason), "something to tell")
            monkeypatch.setattr(sys, "stderr", Gone())
    monkeypatch.undo()
    assert left == ["engine"]


def test_5_nobody_reads_any_more(shop):
    said = sql(shop, "-e", "SELECT o.id FROM orders o, orders p", "--format", "csv", out=io.BufferedWriter(Reader()))
    assert said.code == 5
    assert "the output was closed" in said.err


def test_5_a_change_whose_rows_nobody_reads_is_not_committed(shop):
    change = f"{UPDATE} RETURNING id, '{'x' * 20_000}'"
    said = sql(
        shop,
        *GRANTED,
        "--despite",
        "change-of-unknown-size",
        "-e",
        change,
        "--format",
        "csv",
        out=io.BufferedWriter(Reader()),
    )
    assert said.code == 5
    assert "not committed" in said.err
    assert records(shop)[-2]["outcome"] == "stopped"


@pytest.mark.parametrize("text", ["SELECT 1", UPDATE])
def test_7_without_a_journal_nothing_is_sent(shop, tmp_path, text):
    (tmp_path / "audit").write_text("a file, where the directory belongs")
    said = sql(changed(shop, tmp_path, audit=tmp_path / "audit"), *GRANTED, "-e", text)
    assert said.code == 7
    assert said.out == ""
    assert "audit journal" in said.err.splitlines()[0]


def test_8_no_fit_node(shop, tmp_path):
    alone = changed(shop, tmp_path, nodes=1)
    said = sql(alone, "-e", "SELECT 1")
    assert said.code == 8
    assert "is a primary" in said.err
    assert ask(alone, "topology", "shop").code == 8


def changed(up, directory, *, audit=None, nodes=3):
    """The cluster with another journal directory, or fewer nodes."""
    text = up.config.read_text()
    if audit is not None:
        text = text[: text.index("[audit]")] + f"[audit]\ndirectory = {json.dumps(str(audit))}\n"
    text = text.replace(json.dumps(list(up.nodes)), json.dumps(list(up.nodes[:nodes])))
    text = "".join(
        line for line in text.splitlines(True) if not line.startswith(tuple(map(json.dumps, up.nodes[nodes:])))
    )
    path = directory / "config.toml"
    path.touch(mode=0o600)
    path.write_text(text)
    return type(up)(config=path, nodes=up.nodes)


# A script is judged before it runs.


@pytest.mark.parametrize("bad", [0, 1, 2])
@pytest.mark.parametrize(
    ("statement", "code"), [("DROP TABLE orders", 3), ("not sql", 3), ("ATTACH DATABASE 'x' AS y", None)]
)
@pytest.mark.parametrize("how", ["one text", "several texts", "a file"])
def test_one_bad_statement_stops_the_whole_script_wherever_it_stands(shop, tmp_path, bad, statement, code, how):
    statements = ["SELECT 1", "SELECT 2"]
    statements.insert(bad, statement)
    script = tmp_path / "script.sql"
    script.write_text(";\n".join(statements))
    arguments = {
        "one text": ("-e", "; ".join(statements)),
        "several texts": tuple(word for each in statements for word in ("-e", each)),
        "a file": ("-f", str(script)),
    }[how]
    said = sql(shop, *arguments)
    assert said.code == code or (code is None and said.code in {3, 4})
    assert f"statement {bad + 1} of 3" in said.err
    assert (said.out, "intent" in kinds(shop)) == ("", False)


def test_a_denied_statement_stops_an_elevated_script_before_anything_of_it_ran(shop):
    said = sql(shop, *GRANTED, "--to", "replica", "-e", "SELECT 1", "-e", UPDATE)
    assert said.code == 4
    assert "nothing of the script was run: statement 2 of 2: a replica must not be changed" in said.err
    assert "intent" not in kinds(shop)


def test_a_transaction_that_would_not_hold_is_refused_in_words(shop):
    """Each elevated statement is committed by itself: a ROLLBACK after it would undo nothing."""
    said = sql(shop, *GRANTED, "-e", "BEGIN", "-e", UPDATE, "-e", "ROLLBACK")
    assert said.code == 4
    assert "statement 1 of 3: it opens a transaction, and each statement here is elevated" in said.err
    assert "intent" not in kinds(shop)


def test_a_script_includes_files_from_here_or_beside_it(shop, tmp_path):
    (tmp_path / "main.sql").write_text("source a.sql\n\\. b.sql\nSELECT 4;\nsource a.sql;SELECT 5\n")
    (tmp_path / "a.sql").write_text("SELECT 1;\nSELECT 2")
    (tmp_path / "b.sql").write_text("delimiter //\nSELECT 3//\ndelimiter ;")
    said = sql(shop, "--format", "tsv", "-f", str(tmp_path / "main.sql"))
    assert (said.code, said.out.split()[1::2]) == (0, ["1", "2", "3", "4", "1", "2", "5"])


def test_nothing_runs_of_a_script_whose_file_is_missing_or_includes_itself(shop, tmp_path):
    script = tmp_path / "main.sql"
    for text, words in (
        ("SELECT 1;\nsource nosuch.sql", "nosuch.sql cannot be read: No such file"),
        ("SELECT 1;\nsource main.sql", "the script never ends"),
        ("SELECT 1;\nsource ;", "a source line names no file"),
    ):
        script.write_text(text)
        said = sql(shop, "-f", str(script))
        assert (said.code, said.out) == (2, "")
        assert words in said.err


def test_a_place_in_a_script_counts_its_own_lines_behind_an_inclusion(shop, tmp_path):
    (tmp_path / "a.sql").write_text("SELECT 1;\nSELECT 2;\n")
    (tmp_path / "main.sql").write_text("SELECT 1;\nsource a.sql\nSELECT 1;\nSELECT\u00a02;\n")
    said = sql(shop, "-f", str(tmp_path / "main.sql"))
    assert (said.code, said.out) == (3, "")
    assert "U+00A0 (no-break space) at line 4, column 7" in said.err


def test_a_transaction_of_reads_is_one(shop):
    assert sql(shop, "-e", "BEGIN; SELECT 1; COMMIT").code == 0


# Mistakes.

MYSQL = """\
[clusters.shop]
engine = "mysql"
nodes = ["127.0.0.1:{port}"]
connect_seconds = 1
policy = "{policy}"
[clusters.shop.accounts]
read = "reader"
[clusters.shop.secrets]
sources = ["env"]
[clusters.shop.tls]
mode = "disabled"
"""


@pytest.fixture
def configured(tmp_path):
    """Run a statement on a cluster of a configuration of its own, under a home of its own."""

    def ask_it(text, *arguments, secret=PASSWORD):
        path = tmp_path / "config.toml"
        path.touch(mode=0o600)
        path.write_text(text)
        environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        if secret:
            environ["SAFECONSOLE_PASSWORD_SHOP_READER"] = secret
        said = ask(None, "--config", str(path), *(arguments or ("sql", "shop", "-e", "SELECT 1")), environ=environ)
        everything = (
            said.out
            + said.err
            + "".join(file.read_text(errors="replace") for file in (tmp_path / ".local").rglob("*") if file.is_file())
        )
        assert PASSWORD not in everything
        return said

    return ask_it


@contextlib.contextmanager
def answering(words):
    """A port where something answers that is no server of the family, or a server that refuses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        import threading

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    talking, _ = server.accept()
                    with talking, contextlib.suppress(OSError):
                        talking.sendall(words)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.close()
        thread.join(6)


def packet(number, body):
    return len(body).to_bytes(3, "little") + bytes([number]) + body


GREETING = packet(
    0,
    b"\x0a8.4.0\x00\x01\x00\x00\x00abcdefgh\x00\xff\xff\xff\x02\x00\xff\xdf\x15" + b"\x00" * 10 + b"abcdefghijkl\x00"
    b"mysql_native_password\x00",
)
DENIED = packet(2, b"\xff\x15\x04#28000Access denied for user 'reader'@'localhost' (using password: YES)")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_wrong_configuration_key_is_named_with_the_right_one(configured):
    said = configured('[clusters.shop]\nnods = ["a"]\n')
    assert said.code == 2
    assert "clusters.shop.nods is not a setting; did you mean nodes?" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("text", ["[clusters\n", "\x00\x01", "clusters = 3\n", "[clusters.shop]\nnodes = 5\n"])
def test_a_configuration_that_cannot_be_read_is_one_line(configured, text):
    said = configured(text)
    assert (said.code, said.err.count("\n")) == (2, 1)


def test_an_unreachable_node_is_named(configured):
    port = free_port()
    said = configured(MYSQL.format(port=port, policy="baseline"))
    assert said.code == 8
    assert f"127.0.0.1:{port}" in said.err
    assert "refused" in said.err


def test_a_wrong_password_is_told_as_that_with_the_account(configured):
    with answering(GREETING + DENIED) as port:
        said = configured(MYSQL.format(port=port, policy="baseline"))
    assert said.code == 8
    assert "refused the account or its password (account reader, 1045)" in said.err


@pytest.mark.parametrize("words", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"\x00" * 64, b"\xff" * 64])
def test_something_else_at_the_port_is_no_traceback(configured, words):
    with answering(words) as port:
        said = configured(MYSQL.format(port=port, policy="baseline"))
    assert said.code == 8
    assert f"127.0.0.1:{port}" in said.err


def test_a_missing_password_names_where_it_was_looked_for(configured):
    said = configured(MYSQL.format(port=free_port(), policy="baseline"), secret="")
    assert said.code == 2
    assert "SAFECONSOLE_PASSWORD_SHOP_READER" in said.err


def test_an_unknown_fact_of_a_policy_is_named_with_its_line(configured, tmp_path):
    policy = tmp_path / "mine.yaml"
    policy.touch(mode=0o600)
    policy.write_text("rules:\n  - id: a\n    when: stmt.knd == 'select'\n    then: allow\n")
    said = configured(MYSQL.format(port=1, policy=policy))
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "mine.yaml:3: rule a: unknown fact 'stmt.knd'; perhaps 'stmt.kind'" in said.err


@pytest.mark.parametrize("text", ["", " ", ";", ";;  ;", "-- nothing\n", "/* nothing */"])
def test_a_text_with_nothing_in_it_says_so(shop, text):
    said = sql(shop, "-e", text)
    assert (said.code, said.err.splitlines()[0]) == (2, "safeconsole: there is no statement to run")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (bytes(range(256)) * 20, 2), (b"\xff\xfe\x00", 2), (b"SELECT \x00 1", 3), (b"SELECT '\x00'", 1),
        ("SELECT '\ufdd0\u202e'".encode(), 0), (b"\xef\xbb\xbfSELECT 1", 0),
    ],
)  # fmt: skip
def test_garbage_is_told_in_one_line(shop, data, code):
    said = sql(shop, stdin=data)
    assert said.code == code
    if code:
        assert said.err.startswith("safeconsole: ")


@pytest.mark.parametrize("text", ["SELECT \udcff", "\udcff", "SELECT '\ud800'"])
def test_arguments_that_are_no_text_are_not_run(shop, text):
    assert sql(shop, "-e", text).code == 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT LENGTH('" + "x" * 5_000_000 + "')", 0),
        ("SELECT 1" + " + 1" * 1_250_000, 3),
        ("SELECT " + "(" * 5_000_000, 3),
    ],
    ids=["one literal", "many tokens", "deep"],
)
def test_a_statement_of_five_megabytes_is_answered(shop, text, code):
    assert sql(shop, stdin=text.encode()).code == code


def test_an_unknown_cluster_is_named_with_the_known_ones(shop):
    for arguments in (("sql", "shpo", "-e", "SELECT 1"), ("topology", "shpo"), ("shpo",)):
        said = ask(shop, *arguments)
        assert said.code == 2
        assert "shpo" in said.err
        assert "shop" in said.err.replace("shpo", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--to", "elsewhere"), ("--timeout", "999999"), ("--timeout", "nan"), ("--timeout", "0"), ("--max-rows", "-1"),
        ("--ticket", "T-1"), ("--format", "xml"), ("-f", "/no/such/file"), ("-f", "/"), ("--timeout", "soon"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_a_mistake_and_leaves_an_orderly_journal(shop, arguments):
    said = sql(shop, *(arguments if "-f" in arguments else ("-e", "SELECT 1", *arguments)))
    assert said.code == 2
    assert said.err.startswith("safeconsole: ")
    assert kinds(shop)[-1] == "session-closed"


def test_a_schema_that_is_not_there_is_named(shop):
    said = sql(shop, "-D", "elsewhere", "-e", "SELECT 1")
    assert said.code == 8
    assert "no schema elsewhere" in said.err


# Streams that fail: as a process of its own, so that what Python does at exit is seen too.


@pytest.mark.parametrize(
    ("redirection", "arguments", "code"),
    [
        (">/dev/full", "check --engine mysql 'SELECT 1'", 2),
        (">/dev/full", "--help", 2),
        (">&-", "check --engine mysql 'SELECT 1'", 0),
        ("2>&-", "check --engine mysql ''", 2),
        ("<&-", "check --engine mysql -", 2),
        ("| head -c 1", "check --engine mysql 'SELECT 1' --format json", 0),
    ],
)
def test_a_stream_that_fails_is_no_traceback(redirection, arguments, code):
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"{sys.executable} -m safeconsole {arguments} </dev/null {redirection}; exit ${{PIPESTATUS[0]}}",
        ],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") <= 2
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


# check, as data.

KEYS = ["sql", "kind", "effects", "tables", "functions", "hazards", "verdict", "route", "rules", "limits", "message"]


def checked(*lines, arguments=("--engine", "mysql")):
    said = ask(None, "check", *arguments, "--format", "jsonl", stdin="".join(line + "\n" for line in lines).encode())
    return said, [json.loads(line) for line in said.out.splitlines()]


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "table"])
def test_check_shows_what_is_written_alike_as_often_as_it_is_written(form):
    texts = ["SELECT 1;\n", "USE a;\n", "SELECT * FROM t;\n", "USE b;\n", "SELECT * FROM t;\n", "SELECT 1;\n"] * 50
    said = ask(None, "check", "-f", "-", "--engine", "mysql", "--format", form, stdin="".join(texts).encode())
    assert said.code == 0
    if form in {"jsonl", "json"}:
        found = [json.loads(line) for line in said.out.splitlines()] if form == "jsonl" else json.loads(said.out)
        assert [(each["sql"], each["tables"]) for each in found[:6]] == [
            ("SELECT 1", []), ("USE a", []), ("SELECT * FROM t", ["a.t"]),
            ("USE b", []), ("SELECT * FROM t", ["b.t"]), ("SELECT 1", []),
        ]  # fmt: skip
        assert found == found[:6] * 50
    else:
        assert said.out.count("SELECT * FROM t") == 100


def test_check_answers_each_line_with_one_object_in_order():
    texts = [
        "SELECT id FROM orders", "DROP TABLE orders", "SELECT * FROM information_schema.tables", "nonsense", "",
        "SELECT 1; DELETE FROM orders", "SELECT SLEEP(9)", "SELECT 'é'", "SELECT 1\nFROM orders",
    ]  # fmt: skip
    said, objects = checked(*(json.dumps({"sql": text}) for text in texts))
    assert said.code == 0
    assert [each["sql"] for each in objects] == texts
    for each in objects:
        assert set(KEYS) <= set(each)
        assert list(each)[: len(KEYS)] == KEYS
        assert each["verdict"] in {"allow", "confirm", "elevate", "deny"}
        assert each["route"] in {"replica", "primary", "none"}
        assert all(set(hazard) == {"id", "why", "instead"} for hazard in each["hazards"])
        assert each["effects"]
        assert all(isinstance(value, int | float) for value in each["limits"].values())
    assert [each["verdict"] for each in objects[:2]] == ["allow", "elevate"]
    assert objects[5]["verdict"] == "elevate"
    assert objects[5]["effects"] == ["read", "write"] or set(objects[5]["effects"]) == {"read", "write"}


def test_check_reads_a_text_by_its_own_sql_mode():
    _, (plain, ansi) = checked(
        json.dumps({"sql": 'SELECT "id" FROM orders'}),
        json.dumps({"sql": "SELECT \"load_file\"('/etc/passwd')", "sql_mode": "ANSI_QUOTES,STRICT_ALL_TABLES"}),
    )
    assert plain["verdict"] == "allow"
    assert ansi["verdict"] != "allow"


@pytest.mark.parametrize("mode", ["ANSI", "oracle", "POSTGRESQL", "DB2", "MSSQL", "MAXDB", " ansi_quotes , X"])
def test_check_knows_the_words_that_stand_for_several(mode):
    line = json.dumps({"sql": 'SELECT "id" FROM orders', "sql_mode": mode})
    _, (said,) = checked(line, arguments=("--engine", "mariadb"))
    _, (named,) = checked(json.dumps({"sql": "SELECT `id` FROM orders"}), arguments=("--engine", "mariadb"))
    assert said["hazards"] == named["hazards"]
    _, (quoted,) = checked(json.dumps({"sql": 'SELECT * FROM "mysql"."user"', "sql_mode": mode}))
    assert quoted["verdict"] == "deny"


def test_check_skips_blank_lines_and_answers_nothing_to_nothing():
    said, objects = checked("", '{"sql": "SELECT 1"}', "  ")
    assert (said.code, len(objects)) == (0, 1)
    assert checked()[0] == Said(0, "", "")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "3",
        '{"sql": 5}',
        '{"sql_mode": ""}',
        '{"sql": "x", "sql_mode": 1}',
        "[" * 100_000,
        '"SELECT 1"',
        "\udcff",
    ],
    ids=range(9),
)
def test_check_names_the_line_that_is_no_question(line):
    data = b'{"sql": "SELECT 1"}\n' + line.encode("utf-8", "surrogateescape") + b"\n"
    said = ask(None, "check", "--engine", "mysql", "--format", "jsonl", stdin=data)
    assert said.code == 2
    assert said.err.startswith("safeconsole: line 2 is not")
    assert len(said.out.splitlines()) == 1


def test_check_answers_half_a_character_too():
    _, (said,) = checked('{"sql": "SELECT \\ud800"}')
    assert said["verdict"] != "allow"


def test_no_flag_loosens_what_the_configuration_holds_tighter(shop, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(f"{shop.config.read_text()}[limits]\nfetched_rows = 50\nrun_seconds = 600\n")
    config.chmod(0o600)
    held = replace(shop, config=config)
    for rows, code in ((49, 5), (50, 5), (51, 2)):
        said = ask(held, "sql", "shop", "--max-rows", str(rows), "-e", "SELECT id FROM orders", "--format", "tsv")
        assert said.code == code, said.err
        assert len(said.out.splitlines()) == (rows + 1 if code == 5 else 0)
    assert "fetched_rows 51 exceeds the maximum of the configuration" in said.err
    assert "at most 50" in said.err
    # What it holds looser than the policy is the policy's, and a flag may still go up to the policy's ceiling.
    (seen,) = json.loads(ask(held, "check", "shop", "SELECT 1", "--format", "json").out)
    assert (seen["limits"]["run_seconds"], seen["limit_origins"]["run_seconds"]) == (30, "policy baseline")
    assert (seen["limits"]["fetched_rows"], seen["limit_origins"]["fetched_rows"]) == (50, "the configuration")
    assert ask(held, "sql", "shop", "--timeout", "599", "-e", "SELECT 1").code == 0
    assert ask(held, "sql", "shop", "--timeout", "601", "-e", "SELECT 1").code == 2


def test_an_agents_read_waits_for_no_import_that_only_approvals_need(shop, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(shop.config.read_text().replace('environment = "demo"', 'environment = "production"'))
    config.chmod(0o600)
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "safeconsole", "--config", str(config), "sql", "shop", "-e", "SELECT 1"],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, env={**os.environ, "CI": "1"},
    )  # fmt: skip
    assert "safeconsole.session.agreements" in told.stderr
    assert "cryptography" not in told.stderr


def test_the_policy_in_force_on_a_cluster_says_who_set_each_limit(shop, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(f"{shop.config.read_text()}[limits]\nfetched_rows = 50\n")
    config.chmod(0o600)
    held = replace(shop, config=config)
    said = ask(held, "policy", "show", "--cluster", "shop")
    assert "  fetched_rows 50 (the configuration)\n" in said.out
    assert "  run_seconds 30 to 3,600 (policy baseline)\n" in said.out
    assert "  opened_tables 5,000 (built in)\n" in said.out
    shown = json.loads(ask(held, "policy", "show", "--cluster", "shop", "--format", "json").out)
    assert (shown["limits"]["fetched_rows"], shown["limit_origins"]["fetched_rows"]) == (50, "the configuration")
    assert "fetched_rows 10,000 to" in ask(held, "policy", "show", "baseline").out
    assert ask(held, "policy", "show", "--cluster", "nope").code == 2
    assert ask(held, "policy", "show").code == 2
    assert ask(held, "policy", "show", "baseline", "--cluster", "shop").code == 2


def test_check_on_a_cluster_is_on_record_and_no_reason_for_a_review(shop):
    assert ask(shop, "check", "shop", "SELECT 41; SELECT user, authentication_string FROM mysql.user").code == 0
    newest = max((shop.config.parent / "audit" / "sessions").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    records = [json.loads(line)["record"] for line in newest.read_text().splitlines()]
    kinds = [record["type"] for record in records]
    assert kinds == ["session-opened", *("asked", "decided", "notice") * 2, "session-closed"]
    assert records[1]["sql"] == "SELECT 41"
    assert records[-1]["statements"] == 2
    pending = ask(shop, "audit", "list", "--format", "json")
    (row,) = [row for row in json.loads(pending.out) if row["session"] in newest.name]
    assert (row["refused"], row.get("denied", 0)) == (0, 0)


def test_check_on_a_cluster_asks_its_servers_and_sends_nothing(shop):
    said = ask(shop, "check", "shop", "SELECT id FROM no_such_table; SELECT 1", "--format", "jsonl")
    assert [json.loads(line)["verdict"] for line in said.out.splitlines()] == ["allow", "allow"]
    assert "intent" not in kinds(shop)


def test_check_on_a_cluster_asks_its_servers_for_each_line(shop):
    lines = (
        {"sql": "SELECT id FROM no_such_table"},
        {"sql": "SELECT 1; SELECT 2"},
        {"sql": "SELECT 'a", "sql_mode": ""},
    )
    stdin = "".join(json.dumps(line) + "\n" for line in lines).encode()
    said = ask(shop, "check", "shop", "--format", "jsonl", stdin=stdin)
    found = [json.loads(line) for line in said.out.splitlines()]
    assert [each["sql"] for each in found] == [line["sql"] for line in lines]
    assert [each["verdict"] for each in found[:2]] == ["allow", "allow"]
    assert found[2]["verdict"] != "allow"
    assert kinds(shop) == ["session-opened", *("asked", "decided", "notice") * 4, "session-closed"]


# Help, and the tour.


def commands(command, path=()):
    yield path
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                yield from commands(command.get_command(context, name), (*path, name))


EVERY_COMMAND = list(commands(root))


@pytest.mark.parametrize("path", EVERY_COMMAND, ids=lambda path: " ".join(path) or "root")
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_helps(path, option):
    said = ask(None, *path, option)
    assert said.code == 0
    assert said.out.startswith("Usage: safeconsole")
    assert (said.err, len(said.out.splitlines()) > 3) == ("", True)


def test_every_command_is_listed():
    assert {path[0] for path in EVERY_COMMAND if path} == set(COMMANDS)
    said = ask(None, "--help")
    assert all(name in said.out for name in COMMANDS)
    assert "8 no healthy node" in said.out


def test_the_version_is_told():
    assert ask(None, "--version").out.startswith("safeconsole, version ")


def test_the_tour_walks_to_its_end():
    said = ask(None, "demo")
    assert said.code == 0
    assert "The tour is over" in said.err
    assert "all intact" in said.out


def test_the_tour_walks_to_its_end_on_a_build_server():
    told = subprocess.run(
        [sys.executable, "-m", "safeconsole", "demo"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env={**os.environ, "CI": "true"},
    )  # fmt: skip
    assert (told.returncode, "The tour is over" in told.stderr) == (0, True), told.stderr


# Setting up.


def test_init_writes_a_configuration_and_the_accounts_with_passwords_for_their_owner_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": ""}
    told = ask(None, "init", "orders", "--node", "10.0.0.5:3306", "--schema", "orders", "--people", "60", environ=home)
    assert (told.code, told.out) == (0, "")
    written = tmp_path / "grants.sql"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    text = written.read_text()
    assert "GRANT SELECT, SHOW VIEW ON `orders`.* TO 'console_read'@'%';" in text
    passwords = re.findall(r"IDENTIFIED BY '([A-Za-z0-9-]{32})' WITH MAX_USER_CONNECTIONS (\d+)", text)
    assert [most for _, most in passwords] == ["120", "120", "120"]
    assert len({password for password, _ in passwords}) == 3
    assert not any(password in told.err for password, _ in passwords)
    assert "safeconsole credentials set orders console_elevated" in told.err
    assert "safeconsole doctor orders" in told.err
    assert "orders" in ask(None, "sql", "nowhere", "-e", "SELECT 1", environ=home).err
    again = ask(None, "init", "orders", "--node", "10.0.0.5:3306", "--schema", "orders", environ=home)
    assert (again.code, again.out) == (2, "")
    assert "grants.sql exists already" in again.err
    more = ("--schema", "orders", "--grants-file", "other.sql")
    again = ask(None, "init", "orders", "--node", "10.0.0.5:3306", *more, environ=home)
    assert (again.code, again.out) == (2, "")
    assert "configured already" in again.err
    assert not (tmp_path / "other.sql").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--node", "mysql://u:s3cr3t-pw@h:3306/db", "--schema", "s"), "--node is HOST:PORT, not a URL"),
        (("--node", "u:s3cr3t-pw@h:3306", "--schema", "s"), "--node is HOST:PORT, not a URL"),
        (("--node", "h:99999", "--schema", "s"), "with a port up to 65535, not h:99999"),
        (("--node", "h:3306"), "give --schema"),
        (("--node", "h:3306", "--schema", "s", "--people", "0"), "--people"),
    ],
)
def test_init_keeps_nothing_of_what_it_refuses(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    told = ask(None, "init", "orders", *arguments, environ={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": ""})
    assert (told.code, told.out) == (2, "")
    assert words in told.err
    assert "s3cr3t-pw" not in told.err
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("node", ["h", "h:3306", "10.0.0.5", "[::1]:3306", "/run/mysqld.sock", "db-1.example.com:3306"])
def test_init_takes_every_form_of_a_node(tmp_path, monkeypatch, node):
    monkeypatch.chdir(tmp_path)
    told = ask(
        None, "init", "orders", "--node", node, "--schema", "s",
        environ={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": ""},
    )  # fmt: skip
    assert told.code == 0, told.err


def test_a_password_is_not_asked_for_where_no_keyring_could_keep_it(shop, monkeypatch):
    monkeypatch.setattr(keyring, "get_keyring", keyring.backends.fail.Keyring)
    told = ask(shop, "credentials", "set", "shop", "console_read", stdin=b"s3cr3t-pw\n")
    assert (told.code, told.out) == (2, "")
    assert "this computer has no keyring backend" in told.err
    for source in ("command: ", "env: ", "aws-iam: ", "SAFECONSOLE_PASSWORD_SHOP_CONSOLE_READ"):
        assert source in told.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("orders",),
        ("orders", "--node", "a:1", "--schema", "s", "--policy", "no-such"),
        ("two words", "--node", "a:1", "--schema", "s"),
    ],
)
def test_init_with_too_little_writes_nothing(tmp_path, arguments):
    told = ask(None, "init", *arguments, environ={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": ""})
    assert (told.code, told.out) == (2, "")
    assert not list(tmp_path.rglob("*.toml"))


def test_the_doctor_finds_the_embedded_cluster_well(shop):
    told = ask(shop, "doctor", "shop", "--format", "json")
    assert told.code == 0
    # Whether the kernel knows who logged in is up to the computer.
    findings = [check for check in json.loads(told.out) if "login identity" not in json.dumps(check)]
    assert {check["finding"] for check in findings} == {"good"}


def test_the_doctor_prints_grants_without_looking(tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('[clusters.far]\nnodes = ["192.0.2.1:3306"]\nengine = "mariadb"\n')
    told = ask(None, "--config", str(config), "doctor", "far", "--grants")
    assert told.code == 0
    assert "GRANT SLAVE MONITOR ON *.* TO 'console_read'@'%';" in told.out


def test_the_doctor_says_what_is_wrong(tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('[clusters.far]\nnodes = ["127.0.0.1:1"]\n[clusters.far.accounts]\nread = "x"\nelevated = "x"\n')
    home = {**os.environ, "HOME": str(tmp_path), "SAFECONSOLE_PASSWORD_FAR_X": PASSWORD}
    told = ask(None, "--config", str(config), "doctor", "far", "--format", "json", environ=home)
    assert told.code == 2
    wrong = {check["what"] for check in json.loads(told.out) if check["finding"] == "wrong"}
    assert {"primary", "replicas fit for reads", "elevated account"} <= wrong
    assert ask(None, "--config", str(config), "doctor", "near").code == 2
    lines = ask(None, "--config", str(config), "doctor", "far", environ=home).out.splitlines()
    problems = [line for line in lines if not line.startswith(" " * 8)]
    worst_first = ["wrong", "advice", "unseen", "good"]
    assert [line.split()[0] for line in problems] == sorted(
        (line.split()[0] for line in problems), key=worst_first.index
    )
    assert "wrong   cluster: primary: none: elevated statements have nowhere to go" in lines


def test_a_demos_history_is_no_other_clusters(shop, tmp_path):
    program = Program({"HOME": str(tmp_path)})
    program.configure(str(shop.config))
    real = tmp_path / "real.toml"
    real.write_text('[clusters.shop]\nnodes = ["h:1"]\nschema = "s"\n')
    other = Program({"HOME": str(tmp_path)})
    other.configure(str(real))
    assert (
        program.history_directory(program.person, "shop") == f"{other.history_directory(program.person, 'shop')}/demo"
    )
