"""What happens while a person types: keys, colours, suggestions, history, the prompt and the line below it."""

import stat
import threading

import pytest
from prompt_toolkit.key_binding.vi_state import InputMode
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory

from msgspec.structs import replace
from safeconsole.dialects import DIALECTS
from safeconsole.errors import UnreachableError
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.policy.limits import Limits
from safeconsole.policy.policy import TransactionSettings
from safeconsole.session.transactions import begun
from safeconsole.sqltext.vocabulary import Account, Flavour, Route, Verdict
from safeconsole.session.context import Status
from safeconsole.console.commands import COMMANDS, help_text, is_bare_word
from safeconsole.console.commands import ELSEWHERE
from safeconsole.console.completing import COLOURED_CHARACTERS, SqlLexer
from safeconsole.console.console import history_of
from safeconsole.console.console import command_below, is_ready
from safeconsole.console.learning import ASSUMED, KnownRules
from safeconsole.console.prompt import JUDGED_CHARACTERS, LiveVerdict, Preview
from safeconsole.console.prompt import prompt_parts, status_text, toolbar_parts, vi_mode_text
from safeconsole.console.console import ReadSuggest
from safeconsole.output.text import width_of

MYSQL = LexicalRules(dialect=DIALECTS[Flavour.MYSQL])


@pytest.mark.parametrize(
    ("text", "ready"),
    [
        ("", True),
        ("  ", True),
        ("select 1", False),
        ("select 1;", True),
        ("select 1\\G", True),
        ("select ';", False),
        ("select 1; select 2", False),
        ("select 1; -- done", True),
        ("select 1 /* ;", False),
        ("\\why", True),
        ("exit", True),
        ("use shop", True),
        ("use", False),
        ("delimiter //\nselect 1;", False),
        ("delimiter //\nselect 1//", True),
        ("select 1\n\\locks", True),
        ("select '\n\\locks", False),
        ("select 1 /*\n\\locks", False),
        ("select\n\\N", False),
        ("select 1\nfrom\n\\", True),
    ],
)
def test_enter_sends_what_is_complete(text, ready):
    assert is_ready(text, MYSQL) is ready


@pytest.mark.parametrize(
    ("text", "parted"),
    [
        ("select 1\nfrom\n  \\locks primary ", ("select 1\nfrom\n", "\\locks primary")),
        ("select 1 -- a's\n\\q", ("select 1 -- a's\n", "\\q")),
        ("select 1\n\\G", None),
        ("select 1\n\\g;", None),
        ("select `a\n\\locks", None),
        ("select 1;\n\\locks", None),
        ("\\once a reason\n\\locks", None),
        ("\n\\locks", None),
    ],
)
def test_a_command_below_an_unfinished_statement_is_a_command(text, parted):
    assert command_below(text, MYSQL) == (parted or (text, ""))


def test_bare_words_of_the_mysql_client_are_understood():
    assert all(map(is_bare_word, ("exit", "QUIT;", "help", "use `my-db`", "use shop;")))
    assert all(map(is_bare_word, ("status", "edit", "source /tmp/x.sql", "Tee out.txt", "pager less -S", "system ls")))
    assert not any(map(is_bare_word, ("use shop select", "exits", "select 1", "", "sources", "select\n1")))


def test_habits_from_elsewhere_lead_to_commands_that_are_here():
    named = {word.rstrip(";,") for hint in ELSEWHERE.values() for word in hint.split() if word.startswith("\\")}
    assert named <= {name for command in COMMANDS for name in command.names}
    # What is a command here is not explained away.
    assert not ELSEWHERE.keys() & {name for command in COMMANDS for name in command.names}


def coloured(text):
    line = SqlLexer(lambda: MYSQL).lex_document(Document(text))
    return [line(number) for number in range(text.count("\n") + 1)]


def test_words_are_coloured_by_what_they_are():
    assert [part for part in coloured("SELECT count(x), 'a', `n` -- c")[0] if part[0]] == [
        ("class:sql.keyword", "SELECT"),
        ("class:sql.function", "count"),
        ("class:sql.string", "'a'"),
        ("class:sql.name", "`n`"),
        ("class:sql.comment", "-- c"),
    ]


@pytest.mark.parametrize(
    "text", ["SELECT 'a\nb',\n1", "", "\n", "\\why\nx", "/* \n\n */", "x" * (COLOURED_CHARACTERS + 1)]
)
def test_colouring_changes_no_character(text):
    assert "\n".join("".join(part for _, part in line) for line in coloured(text)) == text


def suggestion(past, text):
    history = InMemoryHistory()
    for entry in past:
        history.append_string(entry)
    buffer = Buffer(history=history)
    found = ReadSuggest().get_suggestion(buffer, Document(text))
    return found.text if found else None


def test_the_newest_read_that_fits_is_suggested():
    assert suggestion(["select 1;", "select 2;"], "sel") == "ect 2;"
    assert suggestion(["\\explain select 1"], "\\ex") == "plain select 1"
    assert suggestion(["select 1;"], "select 1;") is None
    assert suggestion(["select 1;"], "") is None


@pytest.mark.parametrize(
    "past",
    ["update t set a = 1;", "delete from t;", "select 1; drop table t;", "with x as (select 1) delete from t;", "explain analyze delete from t;",
     "\\elevate because"],
)  # fmt: skip
def test_what_could_hurt_is_never_suggested(past):
    for end in range(1, len(past)):
        assert suggestion([past], past[:end]) is None


def test_history_is_the_owners_alone_and_holds_no_secret(tmp_path):
    directory = tmp_path / "state" / "histories"
    history = history_of(str(directory), "shop/../x")
    for text in (
        "select 1;",
        "select 1;",
        "CREATE USER bob IDENTIFIED BY 'hunter2'",
        "set password = 'hunter2'",
        "select\n2;",
    ):
        history.append_string(text)
    (path,) = directory.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert "hunter2" not in path.read_text()
    assert list(history_of(str(directory), "shop/../x").load_history_strings()) == ["select\n2;", "select 1;"]


def test_a_wide_open_history_is_closed(tmp_path):
    path = tmp_path / "shop.history"
    path.touch(mode=0o666)
    path.chmod(0o666)
    history_of(str(tmp_path), "shop")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_history_that_cannot_be_read_is_empty(tmp_path):
    (tmp_path / "shop.history").write_bytes(b"+\xff\xfe\n")
    assert isinstance(list(history_of(str(tmp_path), "shop").load_history_strings()), list)


def test_a_history_is_not_followed_to_another_file(tmp_path):
    (tmp_path / "shop.history").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r".*"):
        history_of(str(tmp_path), "shop")


def status(**changes):
    values = {
        "cluster": "shop", "environment": "staging", "node": "", "role": "", "schema": "", "elevated_seconds": 0.0, "limits": Limits(), "to": "",
    }  # fmt: skip
    return Status(**{**values, **changes})


SETTINGS = TransactionSettings()
READING = begun("replica-1", Account.READ, SETTINGS, now_seconds=0.0)
WRITING = begun("primary", Account.ELEVATED, SETTINGS, now_seconds=0.0).went_on(1.0, changed_rows=12).went_on(2.0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "shop> "),
        ({"schema": "orders"}, "shop/orders> "),
        ({"reads_at": "replica-1", "reads_role": "replica", "schema": "shop"}, "shop/shop replica-1> "),
        ({"reads_at": "replica-9", "reads_role": "primary"}, "shop replica-9 (primary)> "),
        ({"reads_at": "10.0.0.5:3306", "reads_role": "replica"}, "shop 10.0.0.5:3306 (replica)> "),
        ({"reads_at": "primary", "reads_role": "primary", "to": "primary"}, "shop to primary> "),
        ({"reads_at": "db-1", "reads_role": "primary", "to": "primary"}, "shop db-1 (primary) to primary> "),
        ({"reads_at": "db-1", "reads_role": "primary", "to": "db-1"}, "shop db-1 (primary) to db-1> "),
        ({"node": "primary", "role": "primary"}, "shop> "),
        ({"elevated_seconds": 871.3}, "shop  ELEVATED 14:32 > "),
        ({"schema": "x\x1b[2J"}, "shop/x\\x1b[2J> "),
        (
            {"transaction": WRITING, "transaction_seconds": 42.0},
            "shop  TRANSACTION on primary 0:42, 12 rows > ",
        ),
        (
            {"transaction": READING, "transaction_seconds": 1.0},
            "shop  transaction on replica-1 0:01 > ",
        ),
    ],
)
def test_the_prompt_says_where_one_is(changes, text):
    assert "".join(part for _, part in prompt_parts(status(**changes))) == text


def test_production_and_elevation_are_told_by_colour_too():
    assert prompt_parts(status())[0][0] == "class:prompt.cluster"
    assert prompt_parts(status(environment="production"))[0][0] == "class:prompt.production"
    assert ("class:prompt.elevated", " ELEVATED 0:05 ") in prompt_parts(status(elevated_seconds=4.2))


ELEVATE = Preview(
    kind="update",
    route=Route.PRIMARY,
    verdict=Verdict.ELEVATE,
    limits=Limits(),
    why="it touches every row",
    instead="name a key",
)
ALLOW = Preview(kind="select", route=Route.REPLICA, verdict=Verdict.ALLOW, limits=Limits())


@pytest.mark.parametrize(
    ("previews", "text"),
    [
        ((), " \\help · ; ends a statement · Ctrl-D leaves · 30 s · 10,000 rows"),
        ((ALLOW,), " allow select on a replica · 30 s · 10,000 rows"),
        ((ELEVATE,), " elevate update on a primary · it touches every row · → name a key"),
        (
            (ALLOW, ELEVATE, ALLOW),
            " 3 statements, strictest: elevate update on a primary · it touches every row · → name a key",
        ),
    ],
)
def test_the_line_below_says_what_the_policy_will_say(previews, text):
    assert "".join(part for _, part in toolbar_parts(previews, Limits(), 200)) == text


def test_on_a_narrow_terminal_the_way_out_stays():
    preview = replace(
        ELEVATE, why="sizes of every table: the engine is asked for each, one after the other", instead="\\capacity"
    )
    text = "".join(part for _, part in toolbar_parts((preview,), Limits(), 60))
    assert text.endswith("… · → \\capacity")
    assert width_of(text) == 60


def test_the_line_below_says_which_of_vis_modes_the_keys_are_in():
    assert [vi_mode_text(mode) for mode in InputMode] == [
        " insert",
        " insert-multiple",
        " normal",
        " replace",
        " replace-single",
    ]


def test_how_a_transaction_ended_is_said_before_all_else():
    told = ("the transaction on primary (elevated) was rolled back: it was idle for too long",)
    for previews in ((), (ELEVATE,)):
        assert "".join(part for _, part in toolbar_parts(previews, Limits(), 200, told=told)) == f" {told[0]}"
        assert width_of("".join(part for _, part in toolbar_parts(previews, Limits(), 20, told=told))) <= 20


@pytest.mark.parametrize("columns", [1, 5, 20, 40, 80])
@pytest.mark.parametrize("previews", [(), (ALLOW,), (ELEVATE, ALLOW)])
def test_the_line_below_never_wraps(previews, columns):
    assert width_of("".join(part for _, part in toolbar_parts(previews, Limits(), columns))) <= columns


def test_the_status_says_all_that_holds(golden):
    text = status_text(
        status(node="replica-1", role="replica", elevated_seconds=61, schema="shop"), "baseline@0123456789ab", "table"
    )
    golden("status.txt", text)


def test_help_names_every_command(golden):
    text = help_text()
    golden("help.txt", text)
    assert all(name in text for command in COMMANDS for name in command.names)
    assert max(map(len, text.splitlines())) <= 100


def test_help_on_one_command_is_that_one():
    assert help_text("watch").splitlines() == [
        "results",
        *[line for line in help_text().splitlines() if "\\watch" in line],
    ]
    assert help_text("nonsense") == "no command nonsense: \\help lists them\n"


def waited(condition):
    for _ in range(500):
        if condition():
            return True
        threading.Event().wait(0.01)
    return False


def test_a_verdict_comes_beside_the_typing():
    seen, changed = [], threading.Event()

    def judge(text):
        seen.append(text)
        return (ALLOW,)

    live = LiveVerdict(judge, changed.set)
    for end in range(1, 9):
        live.typed("select 1"[:end])
    assert changed.wait(5)
    assert waited(lambda: seen[-1:] == ["select 1"] and live.previews() == (ALLOW,))
    assert len(seen) < 8
    live.typed("")
    assert live.previews() == ()
    live.close()


@pytest.mark.parametrize("text", ["\\why", "x" * (JUDGED_CHARACTERS + 1), "   "])
def test_commands_and_huge_texts_are_not_judged_while_typing(text):
    live = LiveVerdict(lambda _: (ALLOW,), lambda: None)
    live.typed(text)
    threading.Event().wait(0.2)
    assert live.previews() == ()
    live.close()


def test_nothing_typed_waits_for_the_servers():
    asked, answer = threading.Event(), threading.Event()

    def read():
        asked.set()
        assert answer.wait(5)
        return LexicalRules(dialect=DIALECTS[Flavour.MARIADB])

    rules = KnownRules(read)
    assert rules.now() == ASSUMED
    rules.begin()
    rules.begin()
    assert asked.wait(5)
    assert rules.now() == ASSUMED
    answer.set()
    rules._thread.join()
    assert rules.now() == LexicalRules(dialect=DIALECTS[Flavour.MARIADB])


def test_servers_that_cannot_be_asked_leave_the_typing_alone():
    def read():
        raise UnreachableError("nobody there")

    told = []
    rules = KnownRules(read, told.append)
    rules.begin()
    rules._thread.join()
    assert [error.message for error in told] == ["nobody there"]
    assert rules.now() == ASSUMED
