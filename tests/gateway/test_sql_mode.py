"""What clients ask of sql_mode: in force, or said not to be; what changes the meaning of a text is refused."""

import pymysql
import pytest
from msgspec.structs import replace

from safeconsole.dialects import DIALECTS
from safeconsole.gateway.absorbing import Absorbed, ClientSettings, Refusal, absorbed
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour

RULES = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
OWN = frozenset({"ONLY_FULL_GROUP_BY", "STRICT_TRANS_TABLES", "NO_ENGINE_SUBSTITUTION"})
KEEPS = "sql_mode stays the servers' own: what {} refuses is refused"
LACKS = "sql_mode {} is not in force: rows are written by the servers' own sql_mode"


@pytest.mark.parametrize(
    ("value", "notes"),
    [
        ("''", (KEEPS.format("NO_ENGINE_SUBSTITUTION, ONLY_FULL_GROUP_BY, STRICT_TRANS_TABLES"),)),
        ("'NO_ENGINE_SUBSTITUTION'", (KEEPS.format("ONLY_FULL_GROUP_BY, STRICT_TRANS_TABLES"),)),
        ("'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'", ()),
        ("@@GLOBAL.sql_mode", ()),
        ("DEFAULT", ()),
        ("CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')", ()),
        ("CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')", (LACKS.format("STRICT_ALL_TABLES"),)),
        ("CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')", (LACKS.format("NO_AUTO_VALUE_ON_ZERO"),)),
        ("REPLACE(@@sql_mode, 'ONLY_FULL_GROUP_BY', '')", (KEEPS.format("ONLY_FULL_GROUP_BY"),)),
        ("REPLACE(@@sql_mode, 'NO_ZERO_DATE', '')", ()),
    ],
)
def test_what_is_not_in_force_is_said(value, notes):
    found = absorbed(f"SET SESSION sql_mode = {value}", ClientSettings(own_modes=OWN), RULES)
    assert isinstance(found, Absorbed)
    assert found.notes == notes


@pytest.mark.parametrize(
    ("value", "rules", "word"),
    [
        ("'ANSI_QUOTES'", {}, "ANSI_QUOTES"),
        ("CONCAT(@@sql_mode, ',PAD_CHAR_TO_FULL_LENGTH')", {}, "PAD_CHAR_TO_FULL_LENGTH"),
        ("CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')", {}, "NO_BACKSLASH_ESCAPES"),
        # The servers have it, and a client that asked it away would mean something else by its texts.
        ("''", {"ansi_quotes": True}, "ANSI_QUOTES"),
        ("REPLACE(@@sql_mode, 'ANSI_QUOTES', '')", {"ansi_quotes": True}, "ANSI_QUOTES"),
        ("'ANSI_QUOTES'", {"ansi_quotes": True}, ""),
        ("CONCAT(@@sql_mode, ',ANSI_QUOTES')", {"ansi_quotes": True}, ""),
    ],
)
def test_what_changes_the_meaning_of_a_text_stays_as_the_servers_have_it(value, rules, word):
    found = absorbed(f"SET sql_mode = {value}", ClientSettings(own_modes=OWN), replace(RULES, **rules))
    if not word:
        assert isinstance(found, Absorbed)
        return
    assert isinstance(found, Refusal)
    assert (found.number, found.message.startswith(f"sql_mode {word} stays as the servers have it")) == (1231, True)


def test_strictness_is_what_the_servers_have_and_that_is_said(gateway):
    with gateway.connect("anna") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.sql_mode")
        (own,) = cursor.fetchone()
        cursor.execute("SET SESSION sql_mode = ''")
        cursor.execute("SHOW WARNINGS")
        ((_, _, said),) = cursor.fetchall()
        assert "STRICT_TRANS_TABLES" in own and "STRICT_TRANS_TABLES" in said
        cursor.execute("SELECT @@SESSION.sql_mode")
        assert cursor.fetchone() == (own,)
        cursor.execute("CALL safeconsole.elevate('an incident')")
        with pytest.raises(pymysql.err.DataError):
            cursor.execute("UPDATE orders SET status = REPEAT('x', 99) WHERE id = 23")
        cursor.execute(f"SET sql_mode = '{own}'")
        cursor.execute("SHOW WARNINGS")
        assert cursor.fetchall() == ()
