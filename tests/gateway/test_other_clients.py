"""Programs in other languages through a gateway, where this computer has them: Rails' ActiveRecord, PHP."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent / "clients"
FIRST = "CALL safeconsole.elevate('reason', 'ticket', 'shop'), then send it again"


def said_by(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def has(*words):
    return shutil.which(words[0]) and subprocess.run(words, capture_output=True).returncode == 0


@pytest.mark.skipif(not has("ruby", "-e", "require 'active_record'; require 'mysql2'"), reason="no ActiveRecord here")
@pytest.mark.parametrize("prepared", [0, 1])
def test_a_rails_console(gateway, prepared):
    said = said_by("ruby", CLIENTS / "activerecord.rb", gateway.socket, prepared, 30 + prepared)
    assert said["read"] == [1, 2, 3, 4]
    assert said["tables"] is True
    assert FIRST in said["refused"]
    assert (said["kept"], said["undone"]) == (True, True)
    assert said["inserted"] > 5000


@pytest.mark.skipif(
    not has("php", "-r", "exit(extension_loaded('pdo_mysql') ? 0 : 1);"), reason="no PHP with MySQL here"
)
def test_php(gateway):
    said = said_by("php", CLIENTS / "php.php", gateway.socket, 34)
    assert said["mysqli"] == [[3]]
    for refused in (said["refused"], said["refused0"], said["refused1"]):
        assert refused[0] == 1290
        assert FIRST in refused[1]
    assert [[int(row[0]) for row in said[name]] for name in ("read0", "read1")] == [[4], [4]]
    assert (said["changed0"], said["changed1"]) == (1, 1)
