"""The incident's query, sent to the primary through a gateway by clients that people have: what each is told."""

import os
import shutil
import subprocess
from pathlib import Path

CLIENTS = Path(__file__).parents[1] / "gateway" / "clients"
JDBC = Path("/usr/share/java/mariadb-java-client.jar")

SIZES = (
    "SELECT table_schema, table_name, (data_length + index_length) / 1024 / 1024 AS mb"
    " FROM information_schema.tables ORDER BY data_length + index_length DESC"
)
DICTIONARY = "SELECT name, num_rows, clust_index_size FROM information_schema.innodb_tablestats"

QUERIES = {
    "mysql": {"sizes of all tables": SIZES, "INNODB_TABLESTATS": DICTIONARY},
    "mariadb": {"sizes of all tables": SIZES},
}
"""What a person asks, and what takes a MySQL 8 down; MariaDB 10.11 opens every table for the first."""


def _succeeds(*command):
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True).returncode == 0


def clients_here():
    """Return the names of the clients that this computer has."""
    there = {
        "activerecord": lambda: _succeeds("ruby", "-e", "require 'active_record'; require 'mysql2'"),
        "mariadb": lambda: bool(shutil.which("mariadb")),
        "jdbc": lambda: JDBC.exists() and _succeeds("java", "-version"),
    }
    return [name for name, has in there.items() if has()]


def told(client, gateway, sql):
    """Have a client send it to the primary; return how many rows it had, the error's number and the message."""
    environ = os.environ | {
        "G_SOCKET": gateway.socket, "G_HOST": gateway.host, "G_PORT": str(gateway.port), "G_CA": str(gateway.ca),
        "G_USER": "anna", "G_TOKEN": gateway.token("anna"), "G_SQL": sql,
    }  # fmt: skip
    if client == "mariadb":
        done = subprocess.run(
            ["mariadb", "-S", gateway.socket, "shop", "-N", "-e", f"CALL safeconsole.use('primary'); {sql}"],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        number = done.stderr.partition("ERROR ")[2].split(" ")[0] or "0"
        return len(done.stdout.splitlines()) if not int(number) else 0, int(number), done.stderr
    command = {
        "activerecord": ("ruby", str(CLIENTS / "incident.rb")),
        "jdbc": ("java", "-cp", str(JDBC), str(CLIENTS / "Incident.java")),
    }[client]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    rows, number, message = done.stdout.split(":", 2)
    return int(rows), int(number), message
