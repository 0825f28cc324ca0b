"""
Ask a real server which functions it has, and compare with the list that is shipped.

`python -m tests.differential.native_functions [mysql|mariadb]` starts a throwaway server, offers
it every word that stands in its own binary as the name of a function (PREPARE, so that nothing is
run) and prints what is native there and neither pure nor dangerous in our table, and what our
table calls pure and the server does not have.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import pymysql


from safeconsole.sqltext.structure import RESERVED_EVERYWHERE
from safeconsole.demo.binaries import provide_server
from safeconsole.demo.servers import start_cluster
from safeconsole.dialects import functions

# Forms of calls that the grammar knows beside plain arguments; one that is not a syntax error is enough.
FORMS = (
    "{}()",
    "{}(1)",
    "{}(1, 1)",
    "{}(1, 1, 1)",
    "{}(1, 1, 1, 1)",
    "{}(*)",
    "{}(1) OVER ()",
    "{}() OVER ()",
    "{}(1, 1) OVER ()",
    "{}((SELECT 1), 1)",
    "{}(1 AS CHAR)",
    "{}(DAY FROM NOW())",
    "{}(1 IN (1))",
    "{}('a' IN 'b')",
    "{}(1 USING utf8mb4)",
    "{}(DAY, NOW())",
    "{}(DAY, 1, NOW())",
    "{}(NOW(), INTERVAL 1 DAY)",
    "{}(DATE, 'EUR')",
    "{}('{{}}', '$')",
)
# Known to the grammar in forms that are offered nowhere above, or only as something else than a call.
GRAMMAR = frozenset(
    "json_table default percentile_cont percentile_disc lastval column_get value datetime nchar rollup cube"
    " qualify".split()
)
UNKNOWN_FUNCTION = frozenset({1305, 1630, 1046, 1370, 4045, 1128})
SYNTAX = frozenset({1064, 1149, 1235})
MOST_UNKNOWN = 2
"""Constructors of types are not found without arguments, so that one such answer is not enough."""

WORDS_AT_ONCE = 200
PROBE = f"""
CREATE PROCEDURE candidates(IN words LONGTEXT, IN forms TEXT, OUT found LONGTEXT)
BEGIN
  DECLARE word VARCHAR(64);
  DECLARE form, code, unknown INT;
  DECLARE CONTINUE HANDLER FOR SQLEXCEPTION GET DIAGNOSTICS CONDITION 1 code = MYSQL_ERRNO;
  SET found = '';
  WHILE words <> '' DO
    SET word = SUBSTRING_INDEX(words, ' ', 1), words = SUBSTRING(words, CHAR_LENGTH(word) + 2), form = 0, unknown = 0;
    each_form: WHILE form < {len(FORMS)} DO
      SET form = form + 1, code = 0;
      SET @text = REPLACE(SUBSTRING_INDEX(SUBSTRING_INDEX(forms, '|', form), '|', -1), '#', word);
      PREPARE probe FROM @text;
      IF code IN ({", ".join(map(str, sorted(UNKNOWN_FUNCTION)))}) THEN
        SET unknown = unknown + 1;
        IF unknown > {MOST_UNKNOWN} THEN LEAVE each_form; END IF;
      ELSEIF code NOT IN ({", ".join(map(str, sorted(SYNTAX)))}) THEN
        SET found = CONCAT(found, ' ', word);
        LEAVE each_form;
      END IF;
    END WHILE;
  END WHILE;
END
"""


def words_of(binary: Path) -> list[str]:
    """
    Return the upper-case words of a binary, and their ends, each once.

    Native functions are registered so; the linker keeps COS as the end of ACOS.
    """
    data = binary.read_bytes()
    whole = {found.decode() for found in re.findall(rb"([A-Z][A-Z0-9_]{0,40})\0", data)}
    ends = {word[start:] for word in whole for start in range(max(1, len(word) - 1))}
    return sorted(word for word in ends if word[0].isalpha())


def candidates(cursor: pymysql.cursors.Cursor, words: list[str]) -> list[str]:
    """
    Return the words that may be functions, as the server finds in a loop of its own, without an answer for each.

    It takes a warning in front of an error for the answer, so that a few too many are returned, never too few.
    """
    cursor.execute(PROBE)
    forms = "|".join("DO " + form.format("#") for form in FORMS)
    found = []
    for start in range(0, len(words), WORDS_AT_ONCE):
        cursor.execute("CALL candidates(%s, %s, @found)", (" ".join(words[start : start + WORDS_AT_ONCE]), forms))
        cursor.execute("SELECT @found")
        found += cursor.fetchone()[0].split()
    return found


def is_native(cursor: pymysql.cursors.Cursor, word: str) -> bool:
    """Whether the server has a function of this name in some form of a call."""
    unknown = 0
    for form in FORMS:
        try:
            cursor.execute("PREPARE probe FROM %s", ("DO " + form.format(word),))
        except pymysql.MySQLError as error:
            unknown += error.args[0] in UNKNOWN_FUNCTION
            if unknown > MOST_UNKNOWN:
                return False
            if error.args[0] in UNKNOWN_FUNCTION | SYNTAX:
                continue
        return True
    return False


def registered(cursor: pymysql.cursors.Cursor, flavour: str) -> list[str]:
    """Return the functions that MariaDB lists itself, those of its built-in plugins included."""
    if flavour != "mariadb":
        return []
    cursor.execute("SELECT plugin_name FROM information_schema.plugins WHERE plugin_type = 'FUNCTION'")
    found = [row[0] for row in cursor.fetchall()]
    cursor.execute("SELECT function FROM information_schema.sql_functions")
    return found + [row[0] for row in cursor.fetchall()]


def callable_reserved(cursor: pymysql.cursors.Cursor) -> list[str]:
    """Return words that we take for reserved and that the server would look up as a stored function."""
    found = []
    for word in sorted(RESERVED_EVERYWHERE):
        for form in ("{}()", "{}(1)", "{}(1, 1)"):
            try:
                cursor.execute("PREPARE probe FROM %s", ("DO " + form.format(word),))
            except pymysql.MySQLError as error:
                if error.args[0] in UNKNOWN_FUNCTION:
                    found.append(word)
    return found


def native_functions(flavour: str) -> tuple[str, frozenset[str], list[str]]:
    """Return the version of the server, the lower-case names of its native functions, and `callable_reserved`."""
    binaries = provide_server(flavour)
    words = words_of(Path(binaries.command[-1]))
    with (
        tempfile.TemporaryDirectory() as directory,
        start_cluster(flavour, Path(directory) / "c", replicas=0) as cluster,
    ):
        connection = cluster.dba_connect(cluster.primary)
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS probe")
            cursor.execute("USE probe")
            words += registered(cursor, flavour)
            found = frozenset(word.lower() for word in candidates(cursor, words) if is_native(cursor, word))
            reserved = callable_reserved(cursor)
    return binaries.version, found, reserved


def differences(flavour: str, native: frozenset[str]) -> tuple[list[str], list[str]]:
    """Return the native functions our table does not judge, and the pure ones the server does not have."""
    pure = functions.PURE_MYSQL if flavour == "mysql" else functions.PURE_MARIADB
    judged = pure | set(functions.IMPURE) | functions.WITHHELD
    since, top = (functions.SINCE_MYSQL, 90704) if flavour == "mysql" else (functions.SINCE_MARIADB, 101199)
    elsewhere = set(functions.REMOVED_MYSQL) | {name for name, version in since.items() if version > top} | GRAMMAR
    return sorted(native - judged), sorted(pure - native - elsewhere)


def main(flavours: list[str]) -> int:
    code = 0
    for flavour in flavours or ["mysql", "mariadb"]:
        version, native, reserved = native_functions(flavour)
        unjudged, missing = differences(flavour, native)
        sys.stdout.write(f"{flavour} {version}: {len(native)} native functions: {' '.join(sorted(native))}\n")
        sys.stdout.write(f"native, and not judged by our table: {' '.join(unjudged)}\n")
        sys.stdout.write(f"pure in our table, and not native: {' '.join(missing)}\n")
        sys.stdout.write(f"reserved in our table, and callable: {' '.join(reserved)}\n")
        code = code or int(bool(unjudged or missing or reserved))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
