"""Where passwords come from, and that they go nowhere else."""

import os
import subprocess
import sys
import time
import traceback
import urllib.parse
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import pytest


from safeconsole.config.secrets import LocalSecrets, region_in
from safeconsole.config.settings import variable_for
from safeconsole.errors import ConfigurationError
from safeconsole.config.settings import Accounts, ClusterSettings, SecretSettings
from safeconsole.config import credentials

REPO = Path(__file__).resolve().parents[2]
PLANTED = "hunter2-planted"


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that is a dictionary."""

    priority = 1

    def __init__(self):
        super().__init__()
        self.stored = {}

    def get_password(self, service, username):
        return self.stored.get((service, username))

    def set_password(self, service, username, password):
        self.stored[service, username] = password

    def delete_password(self, service, username):
        if (service, username) not in self.stored:
            raise keyring.errors.PasswordDeleteError("not found")
        del self.stored[service, username]


class LockedKeyring(MemoryKeyring):
    """A keyring that answers every question with an error that quotes what it was given."""

    def get_password(self, service, username):
        raise keyring.errors.KeyringLocked(f"locked, and {PLANTED}")

    def set_password(self, service, username, password):
        raise keyring.errors.PasswordSetError(f"cannot store {password}")


@pytest.fixture
def use_keyring():
    before = keyring.get_keyring()

    def use(backend):
        keyring.set_keyring(backend)
        return backend

    yield use
    keyring.set_keyring(before)


def secrets(*sources, command=(), environ=None, nodes=("db1:3306",)):
    cluster = ClusterSettings(nodes=nodes, secrets=SecretSettings(sources=sources, command=tuple(map(str, command))))
    return LocalSecrets({"shop-1": cluster}, environ or {})


def refusal(source):
    with pytest.raises(ConfigurationError) as caught:
        source.secret("shop-1", "console_read")
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.evidence) + caught.value.instead
    assert PLANTED not in told
    return caught.value


def test_the_environment_names_a_variable_for_each_account():
    assert variable_for("shop-1", "console.read") == "SAFECONSOLE_PASSWORD_SHOP_1_CONSOLE_READ"
    environ = {"SAFECONSOLE_PASSWORD_SHOP_1_CONSOLE_READ": "x"}
    assert secrets("env", environ=environ).secret("shop-1", "console_read").password == "x"


def test_a_command_prints_the_password_on_its_first_line_and_no_shell_reads_its_arguments():
    found = secrets(
        "command",
        command=[sys.executable, "-c", "import sys; print(sys.argv[1]); print('more')", "{cluster}/{account};`id`"],
    )
    assert found.secret("shop-1", "console_read").password == "shop-1/console_read;`id`"


def test_a_command_has_no_terminal_to_read_from():
    found = secrets("command", command=[sys.executable, "-c", "import sys; print('[' + sys.stdin.read() + ']')"])
    assert found.secret("shop-1", "console_read").password == "[]"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (f"import sys; print('{PLANTED}'); print('{PLANTED}', file=sys.stderr); sys.exit(3)", "exited with 3"),
        ("pass", "printed an empty line"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", "is not utf-8"),
    ],
)
def test_a_command_that_fails_is_said_without_what_it_printed(program, why):
    assert why in refusal(secrets("command", command=[sys.executable, "-c", program])).evidence[0]


def test_a_command_that_is_not_there_or_hangs_is_said(monkeypatch):
    assert "cannot be started: no such file" in refusal(secrets("command", command=["/no/such"])).evidence[0]
    monkeypatch.setattr("safeconsole.config.secrets.COMMAND_SECONDS", 0.2)
    began = time.monotonic()
    assert "did not answer within 0.2 s" in refusal(secrets("command", command=["sleep", "30"])).evidence[0]
    assert time.monotonic() - began < 15


def test_sources_are_asked_in_their_order(use_keyring):
    use_keyring(MemoryKeyring())
    credentials.set_credential("shop-1", "console_read", "from keyring")
    environ = {variable_for("shop-1", "console_read"): "from env"}
    assert secrets("keyring", "env", environ=environ).secret("shop-1", "console_read").password == "from keyring"
    assert secrets("env", "keyring", environ=environ).secret("shop-1", "console_read").password == "from env"
    credentials.delete_credential("shop-1", "console_read")
    assert secrets("keyring", "env", environ=environ).secret("shop-1", "console_read").password == "from env"


def test_no_source_with_a_password_names_all_that_were_tried_and_the_way_out(use_keyring):
    use_keyring(MemoryKeyring())
    error = refusal(secrets("keyring", "env"))
    assert error.message == "there is no password for account console_read of cluster shop-1"
    assert error.evidence == ("keyring: nothing stored", "env: SAFECONSOLE_PASSWORD_SHOP_1_CONSOLE_READ is not set")
    assert error.instead.startswith("safeconsole credentials set shop-1 console_read, or set SAFECONSOLE_PASSWORD_")
    with pytest.raises(ConfigurationError, match="cluster other is not"):
        secrets("env").secret("other", "x")


def test_a_computer_without_a_keyring_says_which_sources_to_use(use_keyring):
    use_keyring(keyring.backends.fail.Keyring())
    error = refusal(secrets("keyring"))
    assert "no keyring backend" in error.evidence[0]
    assert "(env, command, aws-iam)" in error.instead
    assert "credentials set" not in error.instead
    for act in (
        lambda: credentials.set_credential("c", "a", PLANTED),
        credentials.list_credentials,
        lambda: credentials.delete_credential("c", "a"),
    ):
        with pytest.raises(ConfigurationError, match="no keyring backend") as caught:
            act()
        assert "env" in caught.value.instead


def test_a_keyring_that_refuses_is_said_without_its_words(use_keyring):
    use_keyring(LockedKeyring())
    assert "KeyringLocked" in refusal(secrets("keyring")).evidence[0]
    with pytest.raises(ConfigurationError) as caught:
        credentials.set_credential("c", "a", PLANTED)
    assert PLANTED not in "".join(traceback.format_exception(caught.value))


def test_what_is_stored_is_listed_by_name_only_and_deleted(use_keyring):
    backend = use_keyring(MemoryKeyring())
    credentials.set_credential("b", "y", PLANTED)
    credentials.set_credential("a", "x", PLANTED)
    assert [(one.cluster, one.account) for one in credentials.list_credentials()] == [("a", "x"), ("b", "y")]
    assert PLANTED not in repr(credentials.list_credentials())
    credentials.delete_credential("a", "x")
    assert [one.cluster for one in credentials.list_credentials()] == ["b"]
    assert [key for key, value in backend.stored.items() if value == PLANTED] == [("safeconsole/b", "y")]
    with pytest.raises(ConfigurationError, match="no password stored"):
        credentials.delete_credential("a", "x")


def test_the_keyring_is_not_even_imported_when_no_source_needs_it():
    code = (
        "import sys; from safeconsole.config.secrets import LocalSecrets;"
        "from safeconsole.config.settings import *;"
        "s = {'c': ClusterSettings(nodes=('x',), secrets=SecretSettings(sources=('env',)))};"
        "print(LocalSecrets(s, {'SAFECONSOLE_PASSWORD_C_A': 'x'}).secret('c', 'a').password, 'keyring' in sys.modules, 'boto3' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(REPO)}
    )
    assert out.stdout.split() == ["x", "False", "False"], out.stderr


def test_an_aws_token_needs_the_extra_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert "aws extra is not installed" in refusal(secrets("aws-iam")).evidence[0]


def test_the_region_is_read_from_an_rds_name():
    assert region_in("shop.abc123.eu-west-1.rds.amazonaws.com") == "eu-west-1"
    assert region_in("shop.cluster-ro-abc.us-gov-west-1.rds.amazonaws.com") == "us-gov-west-1"
    assert region_in("10.0.0.5") == ""


HOST = "shop.abc123.eu-west-1.rds.amazonaws.com"
AWS = """
import logging, sys, urllib.parse
logging.basicConfig(filename=sys.argv[1], level=1)
from safeconsole.config.secrets import LocalSecrets
from safeconsole.config.settings import Accounts, ClusterSettings, SecretSettings
cluster = ClusterSettings(nodes=(sys.argv[2],), secrets=SecretSettings(sources=("aws-iam",)))
try:
    print(LocalSecrets({"shop": cluster}, {}).secret("shop", "console_read", *sys.argv[3:]).password)
except Exception as error:
    print(error, error.evidence, error.instead)
"""


def aws(tmp_path, *words, **environ):
    """What the real library answers in a process of its own, and everything that was logged meanwhile."""
    told = subprocess.run(
        [sys.executable, "-c", AWS, str(tmp_path / "log"), *words], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(REPO), "PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"} | environ,
    )  # fmt: skip
    return told.stdout.strip(), (tmp_path / "log").read_text() + told.stderr


STATIC = {"AWS_ACCESS_KEY_ID": "AKIAPLANTED", "AWS_SECRET_ACCESS_KEY": PLANTED}


def test_an_aws_token_is_signed_here_for_the_first_node_and_its_region(tmp_path):
    token, logged = aws(tmp_path, f"{HOST}:3307", **STATIC)
    # Source: Amazon RDS user guide, "Connecting to your DB instance using IAM authentication".
    assert token.startswith(f"{HOST}:3307/?")
    signed = urllib.parse.parse_qs(token.partition("?")[2])
    assert (signed["Action"], signed["DBUser"], signed["X-Amz-Expires"]) == (["connect"], ["console_read"], ["900"])
    assert signed["X-Amz-Credential"][0].startswith("AKIAPLANTED/")
    assert signed["X-Amz-Credential"][0].endswith("/eu-west-1/rds-db/aws4_request")
    assert len(signed["X-Amz-Signature"][0]) == 64
    assert PLANTED not in token
    assert "botocore" in logged
    assert PLANTED not in logged
    assert signed["X-Amz-Signature"][0] not in logged


def test_an_aws_token_is_signed_for_the_node_that_is_asked(tmp_path):
    reader = HOST.replace("shop.", "shop-2.")
    first, _ = aws(tmp_path, f"{HOST}:3306", **STATIC)
    second, _ = aws(tmp_path, f"{HOST}:3306", f"{reader}:3306", **STATIC)
    assert second.startswith(f"{reader}:3306/?")
    assert first.partition("Signature=")[2] != second.partition("Signature=")[2]


@pytest.mark.parametrize(
    ("node", "environ", "why"),
    [
        (f"{HOST}:3306", {}, "aws gave no token (NoCredentialsError)"),
        ("10.0.0.5:3306", STATIC, "aws gave no token (NoRegionError)"),
    ],
)
def test_why_there_is_no_aws_token_is_said(tmp_path, node, environ, why):
    told, _ = aws(tmp_path, node, **environ)
    assert why in told
    assert "AWS_DEFAULT_REGION" in told
    assert PLANTED not in told


def printing(text, **settings):
    """Secrets from a command that prints a text."""
    command = (sys.executable, "-c", f"print({text!r})")
    cluster = ClusterSettings(
        nodes=("db1:3306",),
        secrets=SecretSettings(sources=("command",), command=command, command_prints="json", **settings),
    )
    return LocalSecrets({"shop-1": cluster}, {})


@pytest.mark.parametrize(
    ("printed", "account", "is_leased"),
    [
        ('{"password": "x"}', "console_read", False),
        ('{"username": "v-anna", "password": "x", "lease_duration": 60}', "v-anna", True),
        # As `vault read -format=json` prints what it makes, and what it stores.
        (
            '{"lease_duration": 3600, "renewable": true, "data": {"username": "v-anna", "password": "x"}}',
            "v-anna",
            True,
        ),
        ('{"lease_duration": 0, "data": {"password": "x"}}', "console_read", False),
    ],
)
def test_a_command_may_print_an_account_that_it_made(printed, account, is_leased):
    found = printing(printed).secret("shop-1", "console_read")
    assert (found.account, found.password, found.is_leased) == (account, "x", is_leased)
    assert "'x'" not in repr(found)
    left = found.ends_seconds - time.monotonic()
    assert not is_leased or 0 < found.renew_seconds - time.monotonic() < left <= 3600


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        (f"password: {PLANTED}", "printed no JSON"),
        (f'["{PLANTED}"]', "an object without a password"),
        (f'{{"username": "{PLANTED}"}}', "an object without a password"),
        ('{"password": ""}', "an object without a password"),
        ('{"password": 5}', "an object without a password"),
        (f'{{"password": "{PLANTED}", "username": 5}}', "a username that is no text"),
        (f'{{"password": "{PLANTED}", "lease_duration": "1h"}}', "a lease_duration that is no number of seconds"),
        (f'{{"password": "{PLANTED}", "lease_duration": -1}}', "a lease_duration that is no number of seconds"),
        (f'{{"password": "{PLANTED}", "lease_duration": true}}', "a lease_duration that is no number of seconds"),
        ("[" * 5000, "printed no JSON"),
    ],
)
def test_what_a_command_printed_otherwise_is_told_without_it(printed, why):
    assert why in " ".join(refusal(printing(printed)).evidence)


def test_a_person_stands_in_accounts_and_in_the_arguments_of_the_command():
    cluster = ClusterSettings(
        nodes=("db1:3306",),
        accounts=Accounts(read="{person}_read", elevated="{person}_write"),
        secrets=SecretSettings(sources=("command",), command=("/bin/echo", "{account} for {person}")),
    ).for_person("anna")
    assert (cluster.accounts.read, cluster.accounts.elevated, cluster.accounts.diagnose) == (
        "anna_read",
        "anna_write",
        "",
    )
    secret = LocalSecrets({"shop-1": cluster}, {}).secret("shop-1", cluster.accounts.read)
    assert (secret.account, secret.password) == ("anna_read", "anna_read for anna")


@pytest.mark.parametrize("name", ["", "-rf", "anna read", "anna'", "{account}", "an\na"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(name):
    cluster = ClusterSettings(nodes=("db1:3306",), accounts=Accounts(read="{person}_read"))
    with pytest.raises(ConfigurationError, match="cannot be part of an account's name"):
        cluster.for_person(name)
    assert ClusterSettings(nodes=("db1:3306",), accounts=Accounts(read="read")).for_person(name).accounts.read == "read"
