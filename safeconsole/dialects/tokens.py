"""The patterns of single tokens, compiled once for each way a server reads text.

Everything is possessive or atomic where it repeats, so that no text makes a match go back over what it has read:
scanning is linear in the text. A shape that fits nothing is one unreadable character, which makes its statement
unreadable; nothing is skipped.

Source: lexers of MySQL 9.7 and MariaDB 10.11, observed on both; SQLite, "The Tokenizer".
"""

from __future__ import annotations

import re
from functools import cache

from safeconsole.sqltext.dialect import Scanned
from safeconsole.sqltext.vocabulary import words

_FAMILY = words(
    """
    ACCESSIBLE ADD ALL ALTER ANALYZE AND AS ASC ASENSITIVE BEFORE BETWEEN BIGINT BINARY BLOB BOTH BY CALL
    CASCADE CASE CHANGE CHAR CHARACTER CHECK COLLATE COLUMN CONDITION CONSTRAINT CONTINUE CONVERT CREATE CROSS
    CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURSOR DATABASES DAY_HOUR DAY_MICROSECOND
    DAY_MINUTE DAY_SECOND DEC DECIMAL DECLARE DEFAULT DELAYED DELETE DESC DESCRIBE DETERMINISTIC DISTINCT
    DISTINCTROW DIV DOUBLE DROP DUAL EACH ELSE ELSEIF ENCLOSED ESCAPED EXCEPT EXISTS EXIT EXPLAIN FALSE FETCH
    FLOAT FLOAT4 FLOAT8 FOR FORCE FOREIGN FROM FULLTEXT GRANT GROUP HAVING HIGH_PRIORITY HOUR_MICROSECOND
    HOUR_MINUTE HOUR_SECOND IF IGNORE IN INDEX INFILE INNER INOUT INSENSITIVE INSERT INT INT1 INT2 INT3 INT4
    INT8 INTEGER INTERSECT INTERVAL INTO IS ITERATE JOIN KEY KEYS KILL LEADING LEAVE LEFT LIKE LIMIT LINEAR
    LINES LOAD LOCALTIME LOCALTIMESTAMP LOCK LONG LONGBLOB LONGTEXT LOOP LOW_PRIORITY MATCH MAXVALUE MEDIUMBLOB
    MEDIUMINT MEDIUMTEXT MIDDLEINT MINUTE_MICROSECOND MINUTE_SECOND MOD MODIFIES NATURAL NOT NO_WRITE_TO_BINLOG
    NULL NUMERIC ON OPTIMIZE OPTIONALLY OR ORDER OUT OUTER OUTFILE OVER PARTITION PRECISION PRIMARY PROCEDURE
    PURGE RANGE READ READS READ_WRITE REAL RECURSIVE REFERENCES REGEXP RELEASE RENAME REPEAT REPLACE REQUIRE
    RESIGNAL RESTRICT RETURN REVOKE RIGHT RLIKE ROWS ROW_NUMBER SCHEMAS SECOND_MICROSECOND SELECT SENSITIVE
    SEPARATOR SET SHOW SIGNAL SMALLINT SPATIAL SPECIFIC SQL SQLEXCEPTION SQLSTATE SQLWARNING SQL_BIG_RESULT
    SQL_BUFFER_RESULT SQL_CALC_FOUND_ROWS SQL_NO_CACHE SQL_SMALL_RESULT SSL STARTING STRAIGHT_JOIN TABLE
    TERMINATED THEN TINYBLOB TINYINT TINYTEXT TO TRAILING TRIGGER TRUE UNDO UNION UNIQUE UNLOCK UNSIGNED UPDATE
    USAGE USE USING UTC_DATE UTC_TIME UTC_TIMESTAMP VALUES VARBINARY VARCHAR VARCHARACTER VARYING WHEN WHERE
    WHILE WINDOW WITH WRITE XOR YEAR_MONTH ZEROFILL
    """
)
_INTRODUCERS = frozenset(
    f"_{name}"
    for name in words(
        """
        ARMSCII8 ASCII BIG5 BINARY CP1250 CP1251 CP1256 CP1257 CP850 CP852 CP866 CP932 DEC8 EUCJPMS EUCKR GB18030
        GB2312 GBK GEOSTD8 GREEK HEBREW HP8 KEYBCS2 KOI8R KOI8U LATIN1 LATIN2 LATIN5 LATIN7 MACCE MACROMAN SJIS SWE7
        TIS620 UCS2 UJIS UTF16 UTF16LE UTF32 UTF8 UTF8MB3 UTF8MB4
        """
    )
)
"""Before a text they name its character set, as in `_latin1'x'`."""

RESERVED_MYSQL = (
    _FAMILY
    | _INTRODUCERS
    | words(
        """
        CUBE CUME_DIST DATABASE DENSE_RANK EMPTY EXTERNAL FIRST_VALUE FUNCTION GENERATED GET GROUPING GROUPS
        IO_AFTER_GTIDS IO_BEFORE_GTIDS JSON_TABLE LAG LAST_VALUE LATERAL LEAD LIBRARY NTH_VALUE NTILE OF
        OPTIMIZER_COSTS OPTION PERCENT_RANK QUALIFY RANK ROW SCHEMA STORED SYSTEM TABLESAMPLE VIRTUAL
        """
    )
)

RESERVED_MARIADB = (
    _FAMILY
    | _INTRODUCERS
    | words(
        """
        CURRENT_ROLE DELETE_DOMAIN_ID DO_DOMAIN_IDS IGNORE_DOMAIN_IDS MASTER_DEMOTE_TO_REPLICA
        MASTER_DEMOTE_TO_SLAVE MASTER_SSL_VERIFY_SERVER_CERT OFFSET PAGE_CHECKSUM PARSE_VCOL_EXPR PORTION
        REF_SYSTEM_ID RETURNING ROW_NUMBER SQL_CACHE STATS_AUTO_RECALC STATS_PERSISTENT STATS_SAMPLE_PAGES
        """
    )
)

RESERVED_SQLITE = words(
    """
        ADD ALL ALTER AND AS AUTOINCREMENT BETWEEN CASE CAST CHECK COLLATE COMMIT CONSTRAINT CREATE CURRENT_DATE
        CURRENT_TIME CURRENT_TIMESTAMP DEFAULT DEFERRABLE DELETE DISTINCT DROP ELSE ESCAPE EXCEPT EXISTS FALSE
        FOREIGN FROM GROUP HAVING IN INDEX INSERT INTERSECT INTO IS ISNULL JOIN LIMIT NOT NOTHING NOTNULL NULL ON OR
        ORDER PRIMARY RAISE REFERENCES RETURNING SELECT SET TABLE THEN TO TRANSACTION UNION UNIQUE UPDATE USING
        VALUES WHEN WHERE
        """
)


WHITE = r"[ \t-\r]"
# Everything beyond ASCII is a letter here, and what cannot be seen or sent is sorted out afterwards: written as what
# it is not, the set is small, and the pattern compiles in a fraction of the time.
_LETTER = r"[^\x00-#%-/:-@\[-^`{-\x7f]"


def _quoted(quote: str, *, backslash: bool) -> str:
    if backslash:
        return rf"{quote}[^{quote}\\]*+(?:(?:\\[\s\S]|{quote}{quote})[^{quote}\\]*+)*+{quote}"
    return rf"{quote}[^{quote}]*+(?:{quote}{quote}[^{quote}]*+)*+{quote}"


_NAME = _quoted("`", backslash=False)
_PLAIN_NUMBER = rf"(?:[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)(?!{_LETTER}|\.)"


_COMMENT = r"/\*(?![!+M])[\s\S]*?\*/|#[^\n]*+|--(?=[\x00-\x20\x7f]|\Z)[^\n]*+"
_SQLITE_COMMENT = r"/\*[\s\S]*?\*/|--[^\n]*+"


def _literal_runs(text: str, comment: str) -> tuple[str, str]:
    """Return the shapes of `1, 'a', NULL` and of `, (1, 'a'), (2, 'b')`, read whole so that bulk costs nothing."""
    first = rf"(?>{text}|{_PLAIN_NUMBER})"
    further = rf"(?>[-+]?{_PLAIN_NUMBER}|{text}|(?i:NULL|TRUE|FALSE|DEFAULT)(?!{_LETTER}|[.(]))"
    # A comment between two literals changes nothing, so it does not end a run either.
    nothing = rf"(?:{WHITE}++|{comment})*+"
    gap = rf"{nothing},{nothing}"
    # Each shape stands here as seldom as possible: compiling them is what a start pays most for.
    items = rf"(?:{further}{nothing}(?:,{nothing}(?!\))|(?=\))))++"
    # It begins with the comma: a parenthesis right after a name would be a call, and MUST stay visible.
    return rf"{first}(?:{gap}{further})++", rf"(?=,)(?:{gap}\({nothing}{items}\))++"


@cache
def mysql_pattern(scanned: Scanned) -> re.Pattern[str]:
    return _compile(_family_shapes(scanned, opening=r"/\*!"))


@cache
def mariadb_pattern(scanned: Scanned) -> re.Pattern[str]:
    """Return the scanner of MariaDB: `/*M!` opens an executable comment too."""
    # NULL; it ends after its two characters, whatever follows.
    return _compile([*_family_shapes(scanned, opening=r"/\*M?!"), ("NUMBER", r"\\N")])


def _family_shapes(scanned: Scanned, *, opening: str) -> list[tuple[str, str]]:
    ansi_quotes, backslash, inside, delimiter, whole = scanned
    single, double = _quoted("'", backslash=backslash), _quoted('"', backslash=backslash)
    text = single if ansi_quotes else rf"(?>{single}|{double})"
    name = rf"(?>{_NAME}|{_quoted(chr(34), backslash=False)})" if ansi_quotes else _NAME
    run, rows = _literal_runs(text, _COMMENT)
    return [
        # Inside an executable comment another comment has to be seen, since it is refused.
        ("SPACE", rf"(?:{WHITE}++|{_COMMENT})++" if whole and not inside else rf"{WHITE}++"),
        ("DELIMITER", rf"{re.escape(delimiter)}|\\[Gg]"),
        ("CLOSING", r"\*/" if inside else r"(?!)"),
        ("STRING", rf"[xXbBnN]{single}"),
        ("LIST", rf"{run}|{rows}" if whole else r"(?!)"),
        ("NUMBER", _number()),
        ("UNREADABLE", r"(?<!\.)[0-9]++\."),
        ("WORD", _word(delimiter)),
        ("STRING", text),
        ("NAME", name),
        ("VARIABLE", rf"@(?:[A-Za-z0-9_.$]++|{single}|{double}|{_NAME})"),
        ("SYSTEM", rf"@@(?:{_LETTER}++|{_NAME})"),
        ("OPENING", opening),
        ("HINT", r"/\*\+[\s\S]*?\*/"),
        ("COMMENT", r"#[^\n]*+|--(?=[\x00-\x20\x7f]|\Z)[^\n]*+|/\*(?!\+)[\s\S]*?\*/"),
        ("OPERATOR", r":=|<=>|->>?|<=|>=|<>|!=|<<|>>|\|\||&&|(?!/\*)[-+*/%^&|~!=<>]"),
        ("PUNCTUATION", r"[(),.;{}\[\]:?@]"),
    ]


@cache
def sqlite_pattern(scanned: Scanned) -> re.Pattern[str]:
    """Return the scanner of SQLite, which knows neither modes of quoting nor executable comments."""
    delimiter, whole = scanned.delimiter, scanned.whole
    single, double = _quoted("'", backslash=False), _quoted('"', backslash=False)
    run, rows = _literal_runs(single, _SQLITE_COMMENT)
    shapes = [
        ("SPACE", rf"(?:[ \t\n\f\r]++|{_SQLITE_COMMENT})++" if whole else r"[ \t\n\f\r]++"),
        ("DELIMITER", rf"{re.escape(delimiter)}|\\[Gg]"),
        ("STRING", rf"[xX]{single}"),
        ("LIST", rf"{run}|{rows}" if whole else r"(?!)"),
        ("NUMBER", rf"0[xX][0-9A-Fa-f]++(?!{_LETTER})|(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"),
        ("WORD", rf"(?![0-9$]){_word(delimiter)}"),
        ("STRING", single),
        ("NAME", rf"{double}|{_NAME}|\[[^\]]*+\]"),
        ("PARAMETER", rf"\?[0-9]*+|[@:$]{_LETTER}++"),
        ("COMMENT", r"--[^\n]*+|/\*[\s\S]*?\*/"),
        ("OPERATOR", r"->>?|<=|>=|<>|!=|==|<<|>>|\|\||(?!/\*)[-+*/%&|~=<>]"),
        ("PUNCTUATION", r"[(),.;]"),
    ]
    return _compile(shapes)


def _word(delimiter: str) -> str:
    """Return the shape of a word; a delimiter of letters, such as `$$`, ends it as it does in the client."""
    if delimiter == ";":
        return rf"{_LETTER}++"
    return rf"(?:(?!{re.escape(delimiter)}){_LETTER})++"


def _number() -> str:
    """Return the shape of a number of the family.

    `1.e` with no exponent is left to fail as unreadable: old servers drop such a token silently.
    """
    exponent = r"(?:[eE][+-]?[0-9]++)?+"
    return (
        rf"0x[0-9A-Fa-f]++(?!{_LETTER})|0b[01]++(?!{_LETTER})"
        # A name may begin with digits right after a dot.
        rf"|(?<!\.)[0-9]++\.[0-9]*+{exponent}(?![eE])"
        rf"|(?<!{_LETTER})(?<![`\".])\.[0-9]++{exponent}(?![eE])"
        rf"|(?<!\.)[0-9]++[eE][+-]?[0-9]++"
        rf"|(?<!\.)[0-9]++(?!{_LETTER}|\.)"
    )


def _compile(shapes: list[tuple[str, str]]) -> re.Pattern[str]:
    """Return one pattern; a kind that has two shapes gets its second under a name with a mark."""
    seen: set[str] = set()
    parts = []
    for kind, shape in shapes:
        parts.append(f"(?P<{kind}{'_' if kind in seen else ''}>{shape})")
        seen.add(kind)
    return re.compile("|".join([*parts, r"(?P<REST>[\s\S])"]))
