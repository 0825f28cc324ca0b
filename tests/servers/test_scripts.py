"""Ordinary scripts, as tools and frameworks write them: each runs, or is refused whole for a reason that fits."""

import os

import pytest

from safeconsole.app import run
from tests.harness.desk import demo_configuration

HEAD = """\
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!50503 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
"""
TABLE = "DROP TABLE IF EXISTS `bolts`;\nCREATE TABLE `bolts` (`id` int NOT NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB;\n"
CHANGES = "what changes data runs on a connection of its own, where the variable is NULL"

REFUSED = {
    "mysqldump": (
        f"-- MySQL dump 10.13\n\n{HEAD}/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;\n{TABLE}",
        4,
        "statement 5 of 7: this changes what protects the server: unique_checks: it prepares a connection to load a dump",
    ),
    "mydumper": (
        "/*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n/*!40103 SET TIME_ZONE='+00:00' */;\nINSERT INTO `bolts` VALUES(1)\n,(2)\n;",
        4,
        "statement 1 of 3: this changes what protects the server: foreign_key_checks: it prepares a connection",
    ),
    "sakila": (
        "SET NAMES utf8mb4;\nSET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0;\n"
        "CREATE SCHEMA films;\nUSE films\nDELIMITER ;;\nCREATE TRIGGER a AFTER INSERT ON reel FOR EACH ROW BEGIN\n"
        "INSERT INTO b (id) VALUES (1);\nEND;;\nDELIMITER ;\n",
        4,
        "statement 2 of 5: this changes what protects the server: foreign_key_checks: it prepares a connection",
    ),
    "structure.sql": (f"\n{HEAD}{TABLE}", 3, "statement 5 of 6: this changes the schema"),
    "WordPress": (
        "CREATE TABLE wp_meta (\n\tid bigint(20) unsigned NOT NULL auto_increment,\n\tPRIMARY KEY  (id)\n) "
        "DEFAULT CHARACTER SET utf8mb4;\nINSERT IGNORE INTO `wp_options` (`a`) VALUES ('_lock') /* LOCK */;",
        3,
        "statement 1 of 2: this changes the schema",
    ),
    "MediaWiki": (
        "-- The wiki's tables.\nCREATE TABLE /*_*/pages (\n  id INT UNSIGNED NOT NULL,\n  PRIMARY KEY(id)\n) "
        "/*$wgDBTableOptions*/;\nCREATE INDEX /*i*/both ON /*_*/pages (id);",
        3,
        "statement 1 of 2: this changes the schema",
    ),
    "employees": (
        "DROP DATABASE IF EXISTS staff;\nCREATE DATABASE staff;\nUSE staff;\nSELECT 'LOADING' as 'INFO';\n"
        "flush /*!50503 binary */ logs;\nsource load.dump ;",
        3,
        "statement 1 of 6: this changes the schema",
    ),
    "mysqldump 5.7": (
        "/*!40101 SET NAMES utf8 */;\nDROP TABLE IF EXISTS `bolts`;",
        4,
        "instead: leave it out: every connection has the console's own value",
    ),
    "mydumper 0.10": (
        "/*!40101 SET NAMES binary*/;\n/*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n\n/*!40103 SET TIME_ZONE='+00:00' */;\n",
        4,
        "statement 1 of 3: this changes what protects the server: the character set: the console owns this setting",
    ),
    "Cacti": (
        "DROP FUNCTION IF EXISTS NOAUTOCREATENEEDED;\nDELIMITER //\nCREATE FUNCTION NOAUTOCREATENEEDED()\nRETURNS BOOL\n"
        "NO SQL\nBEGIN\n  RETURN (SELECT 1);\nEND//\nDELIMITER ;\n",
        3,
        "careful: drop function cannot be undone",
    ),
    "a variable": (
        "SET @x = 5;\nUPDATE orders SET total = @x WHERE id = 1;",
        4,
        f"statement 2 of 2: it needs @x: {CHANGES}",
    ),
    "a no-break space": (
        "SELECT 1;\nSELECT\u00a0 2;",
        3,
        "because: the character U+00A0 (no-break space) at line 2, column 7: type a plain space",
    ),
    "a temporary table": (
        "CREATE TEMPORARY TABLE t (id INT)",
        3,
        "instead: ask in one statement on a replica: WITH name AS (SELECT ...) SELECT ... FROM name",
    ),
}


@pytest.fixture
def ask(cluster, tmp_path, capfd):
    """A function that runs a script's text on a real cluster."""
    config = demo_configuration(cluster, tmp_path)

    def asked(text, *arguments):
        script = tmp_path / "script.sql"
        script.write_text(text)
        command = ["--config", str(config), "sql", "shop", "--format", "tsv", *arguments, "-f", str(script)]
        code = run(command, {**os.environ, "HOME": str(tmp_path)})
        said = capfd.readouterr()
        return code, said.out, said.err

    return asked


@pytest.mark.parametrize("name", REFUSED)
def test_a_dump_that_is_not_run_is_refused_whole_for_a_reason_that_fits(ask, tmp_path, name):
    (tmp_path / "load.dump").write_text("INSERT INTO `workers` VALUES (1);")
    text, code, words = REFUSED[name]
    said = ask(text)
    assert (said[0], said[1]) == (code, "")
    assert words in said[2]


def test_what_scripts_of_reads_are_made_of_runs(ask, tmp_path):
    (tmp_path / "more.sql").write_text("DELIMITER //\nSELECT 'it''s; three'//\nDELIMITER ;")
    code, out, err = ask(
        f"/*M!999999\\- enable the sandbox mode */ \n{HEAD}use shop\nSELECT 'one' AS x;\nsource more.sql\n"
        "\\. more.sql\n/*!50503 select CONCAT('a', 'b') as INFO */;\nSELECT SQL_CALC_FOUND_ROWS id FROM orders ORDER BY id "
        "LIMIT 0, 1;\nSET @x = 7;\nSELECT @x AS variable;\ndelimiter ;"
    )
    assert code == 0, err
    assert out.split("\n") == ["x", "one", "it's; three", "it's; three", "it's; three", "it's; three", "INFO", "ab", "id",
                               "1", "variable", "7", ""]  # fmt: skip


def test_a_script_that_builds_and_fills_a_table_runs_elevated(ask):
    granted = ("--reason", "a script", "--ticket", "T-1", "--confirm", "shop", "--to", "primary")
    script = f"{TABLE}INSERT INTO `bolts` VALUES (1),\n(2);\nSELECT COUNT(*) FROM bolts;\nDROP TABLE bolts"
    code, out, err = ask(script, *granted)
    assert (code, out) == (3, "")
    assert "nothing of the script was run: statement 1 of 5 is asked about once more: drop table of shop.bolts" in err
    assert "add --despite drops-or-alters" in err
    code, out, err = ask(script, *granted, "--despite", "drops-or-alters")
    assert code == 0, err
    assert out == "COUNT(*)\n2\n"
