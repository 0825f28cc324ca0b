"""What `config` shows, checks and pulls, in a home of its own, with real keys and a real https server."""

import http.server
import io
import json
import os
import ssl
import threading
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest

from safeconsole.app import run
from safeconsole.config.loading import configuration_layers, governed_clusters, load_settings, team_place
from tests.harness.gateway import make_certificate

TEAM = """
[clusters.shop]
nodes = ["db1:3306"]
policy = "policies/payments.yaml"
schema = "shop"
[limits]
run_seconds = 20
"""
POLICY = """
extends: baseline
rules:
  - id: payments-are-read-only
    when: stmt.tables.exists(t, t.startsWith("shop.payments")) && "write" in stmt.effects
    then: deny
    message: Payments are changed by the payments service alone.
"""


class Ended(NamedTuple):
    stdout: str
    stderr: str


class Home:
    """A person's home, and a team's directory beside it."""

    def __init__(self, directory):
        self.directory, self.team = directory, directory / "team-repository"
        (self.team / "policies").mkdir(parents=True)
        (self.team / "config.toml").write_text(TEAM)
        (self.team / "policies" / "payments.yaml").write_text(POLICY)
        self.own = directory / ".config" / "safeconsole" / "config.toml"
        self.key = directory / "team.key"
        self.public = self.run("audit", "new-key", str(self.key)).stdout.split('["')[1][:64]
        self.bundle = directory / "bundle"

    def run(self, *arguments, code=0, **environ):
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in environ.items():
                patch.setenv(name, value)
            ended = run(arguments, {"PATH": os.environ["PATH"], "HOME": str(self.directory), **environ})
        assert ended == code, err.getvalue() + out.getvalue()
        return Ended(out.getvalue(), err.getvalue())

    def write_own(self, text):
        self.own.parent.mkdir(parents=True, exist_ok=True)
        self.own.write_text(text)

    def make(self, version, *, key=None):
        where = ("--sign", str(key or self.key), "--output", str(self.bundle))
        self.run("config", "bundle", str(self.team), "--version", str(version), *where)

    def pull(self, *arguments, code=0):
        return self.run("config", "pull", str(self.bundle), *arguments, code=code)

    def shown(self):
        rows = json.loads(self.run("config", "show", "--format", "json").stdout)
        return {row["setting"]: (json.loads(row["value"]), row["from"]) for row in rows}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_a_team_s_configuration_is_pulled_shown_and_in_force(home):
    home.make(1)
    pulled = home.pull("--key", home.public)
    assert '+policy = "policies/payments.yaml"' in pulled.stdout
    assert "+  - id: payments-are-read-only" in pulled.stdout
    assert "version 1 is in force" in pulled.stderr
    shown = home.shown()
    assert shown["clusters.shop.nodes"][0] == ["db1:3306"]
    assert shown["clusters.shop.policy"][0].endswith("/team/v1/policies/payments.yaml")
    assert shown["limits.run_seconds"] == (20, str(home.own.parent / "team" / "current" / "config.toml"))
    home.run("config", "check")


def test_the_next_version_replaces_it_and_shows_what_changed(home):
    home.make(1)
    home.pull("--key", home.public)
    (home.team / "config.toml").write_text(TEAM.replace("20", "15"))
    home.make(2)
    tried = home.pull("--dry-run")
    assert "-run_seconds = 20" in tried.stdout
    assert "version 2 would be put in force" in tried.stderr
    assert home.shown()["limits.run_seconds"][0] == 20
    # Where it came from and whose key signs it are known by now.
    changed = home.run("config", "pull")
    assert "+run_seconds = 15" in changed.stdout
    assert "payments" not in changed.stdout
    assert home.shown()["limits.run_seconds"][0] == 15
    assert "version 2 is in force already" in home.pull().stderr


def test_an_older_version_and_another_content_are_refused(home):
    home.make(3)
    home.pull("--key", home.public)
    home.make(2)
    assert "is version 2, and 3 is in force" in home.pull(code=2).stderr
    (home.team / "config.toml").write_text(TEAM.replace("20", "25"))
    home.make(3)
    assert "other content than version 3" in home.pull(code=2).stderr
    assert home.shown()["limits.run_seconds"][0] == 20


def test_only_what_the_pinned_key_signed_is_taken(home, tmp_path):
    home.make(1)
    assert "the key is missing" in home.pull(code=2).stderr
    home.run("audit", "new-key", str(tmp_path / "other.key"))
    home.make(1, key=tmp_path / "other.key")
    assert "not signed by the pinned key" in home.pull("--key", home.public, code=2).stderr
    home.make(1)
    home.pull("--key", home.public)
    home.make(2, key=tmp_path / "other.key")
    assert "not signed by the pinned key" in home.pull(code=2).stderr
    assert "--key is not the pinned key" in home.pull("--key", "0" * 64, code=2).stderr


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"version":1', b'"version":9'),
        lambda data: data[:-1],
        lambda data: data + b" ",
        lambda data: b"",
        lambda data: b"safeconsole-bundle-1 " + b"0" * 128 + b"\n" + data.partition(b"\n")[2],
        lambda data: data.partition(b"\n")[2],
        lambda data: b"\xff" * 1000,
    ],
)
def test_a_changed_bundle_changes_nothing(home, change):
    home.make(1)
    home.bundle.write_bytes(change(home.bundle.read_bytes()))
    home.pull("--key", home.public, code=2)
    assert not (home.own.parent / "team" / "current").exists()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("config.toml", TEAM.replace("schema", "shcema"), "shcema is not a setting"),
        ("policies/payments.yaml", POLICY.replace("stmt.tables", "stmt.tabels"), "tabels"),
    ],
)
def test_what_would_not_load_is_not_taken(home, name, text, told):
    home.make(1)
    home.pull("--key", home.public)
    (home.team / name).write_text(text)
    if name == "config.toml":
        # Who makes it is told first.
        where = ("--sign", str(home.key), "--output", str(home.bundle))
        ended = home.run("config", "bundle", str(home.team), "--version", "2", *where, code=2)
    else:
        home.make(2)
        ended = home.pull(code=2)
    assert told in ended.stderr
    assert home.shown()["limits.run_seconds"][0] == 20


def test_a_version_that_the_own_file_contradicts_is_not_taken(home):
    home.make(1)
    home.pull("--key", home.public)
    home.write_own('[clusters.shop]\nnodes = ["db1:3306"]\nschema = "shop"\n[limits]\nrun_seconds = 5\n')
    shown = home.shown()
    assert shown["limits.run_seconds"] == (5, str(home.own))
    (home.team / "config.toml").write_text(TEAM.replace("db1", "db2"))
    home.make(2)
    refused = home.pull(code=2)
    assert "version 2 was not taken" in refused.stderr
    assert "clusters.shop.nodes" in refused.stderr
    assert home.shown()["clusters.shop.nodes"][0] == ["db1:3306"]


def test_a_person_may_tighten_the_team_s_and_not_loosen_it(home):
    home.make(1)
    home.pull("--key", home.public)
    home.write_own('[clusters.shop]\npolicy = "baseline"\nnodes = ["db1:3306"]\n')
    assert "clusters.shop.policy" in home.run("config", "show", code=2).stderr


def test_a_named_configuration_is_not_mixed_with_the_person_s_team(home, tmp_path):
    home.make(1)
    home.pull("--key", home.public)
    other = tmp_path / "other.toml"
    other.write_text('[clusters.far]\nnodes = ["db9:3306"]\n')
    rows = json.loads(home.run("--config", str(other), "config", "show", "--format", "json").stdout)
    assert [row["setting"] for row in rows] == ["clusters.far.nodes"]


def test_the_system_s_file_wins_over_the_system_s_team_and_that_over_a_person_s(tmp_path):
    system, environ = tmp_path / "etc" / "config.toml", {"HOME": str(tmp_path / "home")}
    places = [
        system,
        *(team_place(at) / "current" / "config.toml" for at in (system.parent, tmp_path / "home/.config/safeconsole")),
    ]
    for number, file in enumerate((*places, tmp_path / "home/.config/safeconsole/config.toml")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'[clusters.c{number}]\nnodes = ["db{number}:1"]\n[audit]\ndirectory = "/journal{number}"\n')
    assert [file for file, _ in configuration_layers(None, environ, system=system)][:3] == places
    settings = load_settings(None, environ, system=system)
    assert set(settings.clusters) == {"c0", "c1", "c2", "c3"}
    assert settings.audit.directory == "/journal0"
    assert governed_clusters(system=system) == {"c0", "c1"}


def test_names_in_a_bundle_lead_nowhere_else(home):
    from safeconsole.config.bundle import bundle_in
    from safeconsole.errors import ConfigurationError

    for name in (
        "../config.toml",
        "/etc/passwd",
        "a/b/c.yaml",
        ".ssh/config.toml",
        "policies/x.sh",
        "a\x00.toml",
        "a//b.toml",
    ):
        payload = json.dumps({"version": 1, "files": {"config.toml": "", name: ""}}).encode()
        with pytest.raises(ConfigurationError, match="no name of a configuration"):
            bundle_in(payload)


def test_secrets_in_addresses_are_not_shown(home):
    home.write_own('[capacity]\nreports = "postgresql://ada:hunter2@db/reports"\n')
    shown = home.run("config", "show").stdout
    assert "hunter2" not in shown
    assert "postgresql://…@db/reports" in shown


def test_check_names_every_policy_that_does_not_load(home):
    home.write_own(
        "".join(
            f'[clusters.c{number}]\nnodes = ["db{number}:1"]\npolicy = "/none{number}.yaml"\n' for number in range(2)
        )
    )
    told = home.run("config", "check", code=2).stderr
    assert "clusters.c0.policy" in told
    assert "clusters.c1.policy" in told


def test_two_hundred_clusters_are_shown_and_found(home):
    home.write_own("".join(f'[clusters.c{number}]\nnodes = ["db{number}:1"]\n' for number in range(200)))
    assert len(home.shown()) == 200
    home.run("config", "check")


@pytest.fixture
def https(home, tmp_path, monkeypatch):
    """The URL of a real https server for what is beside the home; `redirect` leads to plain http."""
    certificate, key = make_certificate(tmp_path / "tls")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(home.directory))

        def do_GET(self):
            if self.path == "/redirect":
                self.send_response(302)
                self.send_header("Location", "http://localhost/bundle")
                self.end_headers()
                return
            super().do_GET()

        def log_message(self, *arguments):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}", str(certificate)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_bundle_comes_over_https_from_a_server_that_proves_itself(home, https):
    url, authority = https
    home.make(1)
    pinned = ("--key", home.public)
    assert "cannot be fetched" in home.run("config", "pull", f"{url}/bundle", *pinned, code=2).stderr
    trusting = {"SSL_CERT_FILE": authority}
    assert "not https" in home.run("config", "pull", f"{url}/redirect", *pinned, code=2, **trusting).stderr
    assert "is not an https URL" in home.run("config", "pull", url.replace("https", "http"), *pinned, code=2).stderr
    home.run("config", "pull", f"{url}/bundle", *pinned, **trusting)
    assert home.shown()["limits.run_seconds"][0] == 20
