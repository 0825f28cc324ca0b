"""What a configuration may say, and whose word counts."""

import os

import pytest

from safeconsole.config.loading import journal_directory, load_settings, read_guarded, governed_clusters
from safeconsole.errors import ConfigurationError
from safeconsole.config.settings import ClusterSettings, AuditSettings, RecordingSettings, Settings, SinkSettings

SHOP = '[clusters.shop]\nnodes = ["10.0.0.5:3306", "10.0.0.6:3306"]\n'


@pytest.fixture
def home(tmp_path):
    """A home directory, a place for the system's file, and a loader that knows both."""

    class Home:
        path = tmp_path
        own = tmp_path / ".config" / "safeconsole" / "config.toml"
        system = tmp_path / "etc" / "config.toml"
        environ = {"HOME": str(tmp_path)}

        def write(self, own=None, system=None):
            for path, text in ((self.own, own), (self.system, system)):
                if text is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text)

        def load(self, path=None, **environ):
            return load_settings(path, self.environ | environ, system=self.system)

        def refusal(self, *args, **kwargs):
            with pytest.raises(ConfigurationError) as caught:
                self.load(*args, **kwargs)
            assert "\n" not in caught.value.message
            return caught.value.message

    return Home()


def test_no_file_is_an_empty_configuration(home):
    assert home.load() == Settings()


def test_the_example_of_the_readme_is_understood(home):
    home.write(
        """
        [clusters.shop]
        engine = "auto"
        nodes = ["10.0.0.5:3306", "10.0.0.6:3306"]
        policy = "baseline"
        environment = "production"
        [clusters.shop.accounts]
        read = "console_read"
        elevated = "console_elevated"
        [clusters.shop.secrets]
        sources = ["keyring", "command", "env", "aws-iam"]
        command = ["pass", "{cluster}/{account}"]
        [clusters.shop.tls]
        mode = "verify-identity"
        [audit]
        directory = "/var/log/safeconsole"
        [limits]
        run_seconds = 10
        """
    )
    settings = home.load()
    assert settings.clusters["shop"].accounts.read == "console_read"
    assert settings.limits == {"run_seconds": 10.0}
    assert settings.audit.directory == "/var/log/safeconsole"


def test_the_flag_comes_before_the_variable_and_that_before_the_home_directory(home):
    places = {}
    for name in ("flag", "variable"):
        places[name] = home.path / f"{name}.toml"
        places[name].write_text(f'[clusters.{name}]\nnodes = ["x:1"]\n')
    home.write(own='[clusters.home]\nnodes = ["x:1"]\n')
    variable = {"SAFECONSOLE_CONFIG": str(places["variable"])}
    assert list(home.load(str(places["flag"]), **variable).clusters) == ["flag"]
    assert list(home.load(**variable).clusters) == ["variable"]
    assert list(home.load().clusters) == ["home"]
    assert list(home.load(XDG_CONFIG_HOME=str(home.path / "nothing")).clusters) == []


def test_a_file_that_was_named_must_be_there(home):
    assert home.refusal("/no/such.toml") == "/no/such.toml cannot be read: no such file or directory"
    assert "no such file" in home.refusal(SAFECONSOLE_CONFIG="/no/such.toml")
    assert "is a directory" in home.refusal(str(home.path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[clusters.shop]\nnodes=["x:1"]\npolcy="baseline"',
            "clusters.shop.polcy is not a setting; did you mean policy?",
        ),
        ('[cluster.shop]\nnodes=["x:1"]', "cluster is not a setting; did you mean clusters?"),
        (SHOP + '[clusters.shop.tls]\nmod="disabled"', "clusters.shop.tls.mod is not a setting; did you mean mode?"),
        (
            SHOP + "[clusters.shop.accounts]\nzzz=1",
            "clusters.shop.accounts.zzz is not a setting; valid here: read, elevated",
        ),
        (SHOP + 'engine="mysq"', "clusters.shop.engine: invalid enum value 'mysq', it is one of auto, mysql, mariadb"),
        (
            SHOP + '[clusters.shop.secrets]\nsources=["env","vault"]',
            "sources.1: invalid enum value 'vault', it is one of keyring",
        ),
        (SHOP + '[clusters.shop.secrets]\nsources=["command"]', "secrets.command: it is empty, and sources names it"),
        ('[clusters.shop]\nnodes="x:1"', "clusters.shop.nodes: expected `array`, got `str`"),
        ("[clusters.shop]\nnodes=[]", "clusters.shop.nodes: it is empty"),
        ('[clusters.shop]\npolicy="x"', "clusters.shop: object missing required field `nodes`"),
        ('[clusters."a b"]\nnodes=["x:1"]', "clusters.a b: a cluster's name is letters"),
        ('[clusters."-e"]\nnodes=["x:1"]', "clusters.-e: a cluster's name is letters"),
        (SHOP + "connect_seconds=nan", "clusters.shop.connect_seconds: it must be positive"),
        (SHOP + "connect_seconds=-1", "clusters.shop.connect_seconds: it must be positive"),
        (SHOP + '[clusters.shop.names]\n"10.0.0.7:3306"="c"', "10.0.0.7:3306 is not one of its nodes"),
        ("[limits]\nrun_secs=5", "limits.run_secs is not a limit; did you mean run_seconds?"),
        ("[limits]\nrun_seconds=0", "limits.run_seconds: 0 is out of range"),
        ("[limits]\nrun_seconds=nan", "limits.run_seconds: nan is out of range"),
        ("[limits]\nfetched_rows=-inf", "limits.fetched_rows: -inf is out of range"),
        ('[limits]\nrun_seconds="5"', "limits.run_seconds: expected `float`, got `str`"),
        ("clusters = 3", "clusters: expected `object`, got `int`"),
        ("[clusters]\nshop = 3", "clusters.shop: expected `object`, got `int`"),
        ("nodes = [", "not toml: "),
        ("[clusters.shop]\nnodes=['x:1']\n[clusters.shop]", "not toml: "),
        ("audit = 3\x00", "not toml: "),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_file_and_place(home, text, expected):
    home.write(own=text)
    said = home.refusal()
    assert str(home.own) in said
    assert expected in said


@pytest.mark.parametrize("garbage", [b"\xff\xfe\x00", b"\x89PNG\r\n", b"[" * 5000, b"a=" + b"[" * 5000, b"\x00"])
def test_garbage_is_said_in_one_line(home, garbage):
    home.write(own="")
    home.own.write_bytes(garbage)
    assert str(home.own) in home.refusal()


def test_a_file_of_gigabytes_is_not_read(home):
    home.write(own="")
    os.truncate(home.own, 5 * 1024**3)
    assert "larger than" in home.refusal()


def test_a_file_that_anybody_may_write_to_is_refused(home):
    home.write(own=SHOP)
    home.own.chmod(0o646)
    assert home.refusal() == f"{home.own} can be written by anybody"
    home.own.chmod(0o600)
    home.own.parent.chmod(0o777)
    assert home.refusal() == f"{home.own.parent}, where config.toml is, can be written by anybody"
    home.own.parent.chmod(0o1777)
    assert home.load().clusters
    home.write(system="")
    home.system.chmod(0o602)
    assert home.refusal() == f"{home.system} can be written by anybody"


def test_a_policy_file_that_anybody_may_write_to_is_refused(tmp_path):
    policy = tmp_path / "p.yaml"
    policy.write_text("rules: []")
    assert read_guarded(policy) == b"rules: []"
    policy.chmod(0o666)
    with pytest.raises(ConfigurationError, match="written by anybody") as caught:
        read_guarded(policy)
    assert caught.value.instead == f"chmod o-w {policy}"


def test_paths_are_relative_to_the_file_that_names_them(home):
    home.write(
        own=SHOP
        + 'policy = "policies/own.yaml"\ntls = {ca = "ca.pem", server_key = "key.pem"}\n[audit]\ndirectory = "journal"\n'
    )
    settings = home.load()
    folder = home.own.parent
    assert settings.clusters["shop"].policy == str(folder / "policies/own.yaml")
    assert settings.clusters["shop"].tls.ca == str(folder / "ca.pem")
    assert settings.clusters["shop"].tls.server_key == str(folder / "key.pem")
    assert settings.audit.directory == str(folder / "journal")
    home.write(own=SHOP + 'policy = "strict"')
    assert home.load().clusters["shop"].policy == "strict"


# The system's file wins


def test_the_systems_limits_are_tightened_and_never_loosened(home):
    home.write(
        system="[limits]\nrun_seconds = 10\nfetched_rows = 500\nfree_memory_bytes = 1000",
        own="[limits]\nrun_seconds = 99\nfetched_rows = 100\nfree_memory_bytes = 5\nshown_rows = 7",
    )
    assert home.load().limits == {"run_seconds": 10, "fetched_rows": 100, "free_memory_bytes": 1000, "shown_rows": 7}


def test_the_systems_journal_place_wins(home):
    home.write(system='[audit]\ndirectory = "/var/log/safeconsole"', own='[audit]\ndirectory = "/dev/shm/x"')
    assert home.load().audit.directory == "/var/log/safeconsole"


APPROVALS = '[approvals]\napprovers = {ann = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ben = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}\ndirectory = "/srv/approvals"\n'


SIEM = '[audit.sinks.siem]\nkind = "webhook"\naddress = "https://siem.example/in"\n'


@pytest.mark.parametrize("mine", ['header = "Authorization: Bearer {secret}"', 'secret_variable = "NOTHING"'])
def test_a_sink_of_the_systems_is_its_alone(home, mine):
    """One key that the system leaves open is enough to have every copy refused there."""
    home.write(
        system=SIEM,
        own=f'[audit.sinks.siem]\nkind = "webhook"\naddress = "https://mine.example"\n{mine}\n'
        '[audit.sinks.mine]\nkind = "syslog"\naddress = "/dev/log"\n',
    )
    sinks = home.load().audit.sinks
    assert sinks["siem"] == SinkSettings(kind="webhook", address="https://siem.example/in")
    assert sinks["mine"].kind == "syslog"


def test_what_the_system_says_of_recordings_is_not_cut_short(home):
    home.write(system='[audit.recordings]\nkeep = "rows"\n', own="[audit.recordings]\nlargest_bytes = 1\n")
    assert home.load().audit.recordings == RecordingSettings(keep="rows")


def test_a_person_names_their_own_key_and_nothing_else_of_the_systems_approvals(home):
    approvers = f'{{ann = "{"cc" * 32}", me = "{"dd" * 32}"}}'
    mine = (
        f'[approvals]\nkey = "/home/ann/key.pem"\napprovers = {approvers}\ndirectory = "/tmp"\nwait_seconds = 86400\n'
    )
    home.write(system=APPROVALS, own=mine)
    approvals = home.load().approvals
    assert approvals.approvers == {"ann": "aa" * 32, "ben": "bb" * 32}
    assert (approvals.key, approvals.directory, approvals.wait_seconds) == ("/home/ann/key.pem", "/srv/approvals", 900)
    home.write(system="[approvals]\napprovers = {}\n")
    assert home.load().approvals.approvers == {}
    home.write(system="")
    assert set(home.load().approvals.approvers) == {"ann", "me"}


@pytest.mark.parametrize(
    "mine",
    [
        '[notices]\nwebhook = ""', '[notices]\nwebhook = "https://elsewhere/"', '[notices]\nsecret_variable = "MINE"',
        '[notices]\nsyslog = "tcp://127.0.0.1:9"',
        '[notices.mail]\nserver = "127.0.0.1:9"\nsender = "a@x"\nrecipients = ["me@x"]',
    ],
)  # fmt: skip
def test_the_systems_notices_are_neither_removed_nor_redirected(home, mine):
    home.write(system='[notices]\nwebhook = "https://hooks.example.net/{secret}"\nsecret_variable = "HOOK"', own=mine)
    notices = home.load().notices
    assert (notices.webhook, notices.secret_variable) == ("https://hooks.example.net/{secret}", "HOOK")
    assert (notices.syslog, notices.mail) == ("", None)


def test_a_person_may_have_notices_of_their_own_where_the_system_says_nothing(home):
    home.write(system=SHOP, own='[notices]\nwebhook = "https://mine/"')
    assert home.load().notices.webhook == "https://mine/"


def test_a_flag_does_not_get_round_the_systems_file(home):
    home.write(system="[limits]\nrun_seconds = 10")
    mine = home.path / "mine.toml"
    mine.write_text("[limits]\nrun_seconds = 99")
    assert home.load(str(mine)).limits == {"run_seconds": 10}
    assert home.load(SAFECONSOLE_CONFIG=str(mine)).limits == {"run_seconds": 10}


@pytest.mark.parametrize(
    "line",
    ['policy = "lax"', 'environment = "test"', 'nodes = ["evil:3306"]', 'heartbeat = "a.b"', 'tags = {"10.0.0.5:3306" = ["console"]}',
     'engine = "sqlite"'],
)  # fmt: skip
def test_a_person_cannot_change_what_a_system_cluster_is(home, line):
    home.write(system=SHOP)
    own = f"[clusters.shop]\n{line}\n" + (
        "" if line.startswith("nodes") else 'nodes = ["10.0.0.5:3306", "10.0.0.6:3306"]\n'
    )
    home.write(own=own)
    said = home.refusal()
    assert f"clusters.shop.{line.split()[0]}: the cluster is set by {home.system}" in said


def test_a_person_may_say_who_they_are_to_a_system_cluster(home):
    home.write(
        system=SHOP,
        own=SHOP + 'schema = "shop"\nconnect_seconds = 1.0\naccounts = {read = "ana"}\nsecrets = {sources = ["env"]}',
    )
    shop = home.load().clusters["shop"]
    assert (shop.accounts.read, shop.schema, shop.secrets.sources) == ("ana", "shop", ("env",))


def test_what_the_system_says_of_accounts_is_not_the_persons_to_change(home):
    home.write(system=SHOP + 'accounts = {read = "console_read"}', own=SHOP + 'accounts = {read = "root"}')
    assert "clusters.shop.accounts: the cluster is set by" in home.refusal()


def test_tls_can_be_made_stricter_only(home):
    home.write(
        system=SHOP + 'tls = {mode = "verify-ca", ca = "/ca.pem"}', own=SHOP + 'tls = {mode = "verify-identity"}'
    )
    assert (home.load().clusters["shop"].tls.mode, home.load().clusters["shop"].tls.ca) == (
        "verify-identity",
        "/ca.pem",
    )
    home.write(own=SHOP + 'tls = {mode = "disabled"}')
    assert "disabled is weaker than verify-ca" in home.refusal()
    for key in ("ca", "server_key"):
        home.write(own=SHOP + f'tls = {{{key} = "/tmp/own.pem"}}')
        assert f"tls.{key}: whom to trust is set by" in home.refusal()
    home.write(system=SHOP, own=SHOP + 'tls = {mode = "verify-ca"}')
    assert "verify-ca is weaker than verify-identity" in home.refusal()


def test_a_systems_node_is_not_reached_under_another_clusters_name(home):
    """There it would have another policy, no environment, and limits of nobody's."""
    home.write(
        system=SHOP + 'policy = "strict"\n',
        own='[clusters.mine]\nnodes = ["10.0.0.9:3306", "10.0.0.6"]\npolicy = "baseline"\n',
    )
    refusal = home.refusal()
    assert "clusters.mine.nodes: 10.0.0.6 is a node of the cluster shop" in refusal
    assert str(home.system) in refusal


def test_a_person_may_add_clusters_until_the_system_locks_them(home):
    home.write(system=SHOP, own='[clusters.mine]\nnodes = ["x:1"]')
    assert sorted(home.load().clusters) == ["mine", "shop"]
    home.write(system="locked = true\n" + SHOP)
    assert f"{home.system} is locked" in home.refusal()
    home.write(own="locked = false")
    assert home.load().locked


def test_a_broken_system_file_stops_everything(home):
    home.write(system="nodes = [", own=SHOP)
    assert str(home.system) in home.refusal()


@pytest.mark.parametrize("leads", ["nowhere", "to itself", "through a file"])
def test_a_system_file_that_leads_nowhere_does_not_count_as_none(home, leads):
    """An unmounted share, or a loop: what it would say is not known, so nobody is let past it."""
    home.write(own=SHOP)
    if leads == "through a file":
        home.system.parent.write_text("")
    else:
        home.system.parent.mkdir(parents=True)
        home.system.symlink_to(home.path / "unmounted" if leads == "nowhere" else home.system)
    assert f"{home.system} cannot be read" in home.refusal()


def test_naming_the_systems_file_itself_changes_nothing(home):
    home.write(system="locked = true\n" + SHOP)
    assert home.load(str(home.system)).clusters["shop"].nodes


# Where the journal lives


def test_the_journal_lives_in_the_state_directory_unless_configured(tmp_path):
    environ = {"HOME": "/home/ana"}
    place = lambda text, environ=environ: str(
        journal_directory(Settings(audit=AuditSettings(directory=text)), environ, login="ana")
    )  # noqa: E731
    assert place("") == "/home/ana/.local/state/safeconsole/audit"
    assert place("", {"HOME": "/home/ana", "XDG_STATE_HOME": "/state"}) == "/state/safeconsole/audit"
    assert place("", {"HOME": "/home/ana", "XDG_STATE_HOME": "relative"}) == "/home/ana/.local/state/safeconsole/audit"
    assert place("/var/log/safeconsole/{login}") == "/var/log/safeconsole/ana"
    assert place("~/journal") == "/home/ana/journal"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("wait_seconds = 0", "approvals.wait_seconds: it is over 0"),
        ("wait_seconds = nan", "approvals.wait_seconds: it is over 0"),
        ("wait_seconds = 1e9", "at most 86400"),
        ('approvers = {ben = "abc"}', "approvals.approvers.ben: it is not a public key of 64 hexadecimal digits"),
    ],
)
def test_approvals_that_could_not_work_are_refused_at_the_start(home, line, why):
    home.write(own=f"[approvals]\n{line}")
    assert why in home.refusal()


def test_paths_of_approvals_are_relative_to_the_file_that_names_them(home):
    home.write(own='[approvals]\ndirectory = "shared"\nkey = "keys/mine.pem"')
    approvals = home.load().approvals
    folder = home.own.resolve().parent
    assert (approvals.directory, approvals.key) == (str(folder / "shared"), str(folder / "keys/mine.pem"))
    home.write(own='[approvals]\nkey = "keyring"')
    assert home.load().approvals.key == "keyring"


def test_what_the_systems_file_sets_is_governed_and_nothing_else(tmp_path):
    system = tmp_path / "system.toml"
    assert governed_clusters(system=system) == frozenset()
    system.write_text('[clusters.shop]\nnodes = ["db1"]\n')
    assert governed_clusters(system=system) == {"shop"}


LABELLED = """
[clusters.pay]
nodes = ["a:1"]
labels = ["payments", "eu"]
[clusters.own]
nodes = ["b:1"]
labels = ["payments"]
policy = "strict"
[clusters.web]
nodes = ["c:1"]
labels = ["web"]
[policies]
payments = "policies/payments.yaml"
"""


def test_a_label_assigns_a_policy_to_clusters_that_name_none(home):
    home.write(own=LABELLED)
    found = {name: cluster.policy for name, cluster in home.load().clusters.items()}
    assert found["own"] == "strict"
    assert found["web"] == "baseline"
    assert found["pay"].endswith("/policies/payments.yaml") and found["pay"].startswith("/")


def test_labels_with_different_policies_are_an_error(home):
    home.write(own=LABELLED + 'eu = "strict"\n')
    assert "labels eu and payments have different policies" in home.refusal()


def test_a_person_assigns_no_policy_to_the_system_s_clusters(home):
    home.write(
        system=LABELLED.replace("[policies]", "[policies]\nother = 'strict'"), own="[policies]\nweb = 'other.yaml'\n"
    )
    assert home.load().clusters["web"].policy == "baseline"


@pytest.mark.parametrize(
    ("writer", "writers"),
    [((), ()), ("", ()), ("db-1", ("db-1",)), (("10.0.0.5:3306", "db-2"), ("db-1", "db-2"))],
)
def test_writers_are_one_or_several_by_name_or_by_address(writer, writers):
    settings = ClusterSettings(nodes=("10.0.0.5:3306",), names={"10.0.0.5:3306": "db-1"}, writer=writer)
    assert settings.writers == writers
