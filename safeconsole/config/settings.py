"""The configuration as strict values: a misspelt key is an error, not a default."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from safeconsole.errors import ConfigurationError
from safeconsole.sqltext.vocabulary import Account, Flavour

PERSON = "{person}"
"""What stands for a person's name in an account's name, and in the arguments of a secret's command."""


class Accounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The account names of a cluster; "" where the engine has none.

    In each `{person}` stands for the name of whoever asks, so that a server knows its people apart.

    Attributes:
        diagnose: what a server is asked what it is doing with; "" asks as `read`, which sees its own sessions only.
    """

    read: str = ""
    elevated: str = ""
    diagnose: str = ""

    def of(self, account: Account) -> str:
        name: str = getattr(self, account.value)
        return name


class SecretSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where passwords come from.

    Attributes:
        sources: tried in this order: keyring, command, env, aws-iam.
        command: program and arguments whose first line of output is the password;
            `{cluster}`, `{account}` and `{person}` are replaced.
        command_prints: `json` is an object with `password`, perhaps `username` (the account that was made for this
            login) and `lease_duration` (seconds that it lives), each at the top or under `data`, as Vault prints it.
    """

    sources: tuple[Literal["keyring", "command", "env", "aws-iam"], ...] = ("keyring", "env")
    command: tuple[str, ...] = ()
    command_prints: Literal["password", "json"] = "password"


VARIABLE_PREFIX = "SAFECONSOLE_PASSWORD_"
"""Begins the names of the environment variables that hold passwords."""


def variable_for(cluster: str, account: str) -> str:
    """Return the environment variable that the source `env` reads an account's password from."""
    return VARIABLE_PREFIX + re.sub(r"[^0-9A-Za-z]", "_", f"{cluster}_{account}").upper()


class TlsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the server proves its identity.

    Attributes:
        mode: `disabled` is accepted for loopback and sockets only.
        ca: file of the authority; with it loopback is encrypted too.
        server_key: file of the server's public RSA key, the only one that a password is encrypted with on an
            unencrypted connection; "" accepts, on loopback only, the key that the server sends.
    """

    mode: Literal["verify-identity", "verify-ca", "disabled"] = "verify-identity"
    ca: str = ""
    server_key: str = ""


class FreeMemorySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the free memory of a node's host is read.

    Attributes:
        source: node-exporter is asked before and while a statement runs, the others before only.
        url: a node exporter's metrics page.
        instance: of cloudwatch the DBInstanceIdentifier, of enhanced-monitoring the DbiResourceId.
        region: the AWS region, "" for the environment's.
    """

    source: Literal["node-exporter", "cloudwatch", "enhanced-monitoring"]
    url: str = ""
    instance: str = ""
    region: str = ""


class ClusterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One cluster.

    Attributes:
        engine: the family, or auto to find the flavour out.
        nodes: "host:port", or file paths for sqlite; any order, roles are measured.
        names: node names by address; the default is the address.
        tags: words by node address ("console", "failover-target").
        free_memory: sources of the hosts' free memory, by node address.
        policy: a shipped policy's name, or a path.
        labels: words that group clusters ("payments", "eu"), for `[policies]` and `safeconsole fleet @payments`.
        environment: colours the prompt, available to rules.
        schema: the schema a session starts in, or "".
        heartbeat: "schema.table" written by pt-heartbeat, or "".
        connect_seconds: time to connect to one node, > 0.
        discovery: nodes that others name and `nodes` does not are: used like those; measured and shown, but never used;
            or not looked for, so that a source outside of `nodes` is not found either.
        ssh: the bastion that the nodes are reached through, as `ssh` takes it, "" for none; addresses are those that it
            sees.
        writer: the node that changes go to where several take writes, or such nodes, best first; names or addresses.
        demo: the directory of the demo that started the cluster, whose key its servers know; "" for any other cluster.
    """

    nodes: tuple[str, ...]
    engine: Literal["auto", "mysql", "mariadb", "aurora-mysql", "sqlite"] = "auto"
    names: dict[str, str] = {}
    tags: dict[str, tuple[str, ...]] = {}
    free_memory: dict[str, FreeMemorySettings] = {}
    policy: str = "baseline"
    labels: tuple[str, ...] = ()
    environment: str = "production"
    schema: str = ""
    heartbeat: str = ""
    connect_seconds: float = 3.0
    discovery: Literal["use", "show", "off"] = "use"
    ssh: str = ""
    writer: str | tuple[str, ...] = ()
    demo: str = ""
    accounts: Accounts = Accounts()
    secrets: SecretSettings = SecretSettings()
    tls: TlsSettings = TlsSettings()

    def for_person(self, name: str) -> ClusterSettings:
        """Return the settings with a person's name in place of `{person}`.

        Raises ConfigurationError: the name could be taken for something else in an account's name or an argument.
        """
        command, accounts = self.secrets.command, self.accounts
        if not any(PERSON in text for text in (*command, accounts.read, accounts.elevated, accounts.diagnose)):
            return self
        if not re.fullmatch(r"[0-9A-Za-z_][0-9A-Za-z_.@-]*", name):
            raise ConfigurationError(
                f"accounts are by person here, and {name!r} cannot be part of an account's name",
                instead="letters, digits, dots, dashes, underscores and @ can",
            )
        named = {each.value: accounts.of(each).replace(PERSON, name) for each in Account}
        secrets = msgspec.structs.replace(
            self.secrets, command=tuple(argument.replace(PERSON, name) for argument in command)
        )
        return msgspec.structs.replace(self, accounts=Accounts(**named), secrets=secrets)

    @property
    def writers(self) -> tuple[str, ...]:
        """The names of the nodes that changes may go to where several take writes, best first."""
        given = (self.writer,) if isinstance(self.writer, str) else self.writer
        return tuple(self.names.get(each, each) for each in given if each)

    @property
    def assumed_flavour(self) -> Flavour:
        """The configured family member; MySQL stands in where it is found out later."""
        return Flavour.MYSQL if self.engine == "auto" else Flavour(self.engine)


class SinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A sink for copies of the journal.

    Attributes:
        address: a syslog socket's path, udp://host:port or tcp://host:port; a webhook's URL; a database's SQLAlchemy
            URL; the URL of an OpenTelemetry collector's logs, https://host:4318/v1/logs.
        header: an extra header of a webhook or a collector, "Authorization: Bearer {secret}".
        secret_variable: the environment variable whose value replaces `{secret}` in address and header.
    """

    kind: Literal["syslog", "webhook", "database", "otel"]
    address: str
    header: str = ""
    secret_variable: str = ""


class RecordingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Recordings of terminals, beside the journal.

    Attributes:
        keep: nothing; messages, which is all but rows; or rows too, as far as they may be kept.
        largest_bytes: of one session's, > 0.
    """

    keep: Literal["nothing", "messages", "rows"] = "nothing"
    largest_bytes: int = 16 * 1024 * 1024


class AuditSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The journal.

    Attributes:
        directory: "" is the user's state directory; `{login}` is replaced by the account.
        signing_key: file of the Ed25519 key that signs the host log, or "keyring"; "" signs nothing.
        literal_key: file of the key that hashes literals where a policy says so, or "keyring".
        public_keys: trusted signing keys, 64 hexadecimal digits each; with one, an unsigned log is invalid.
    """

    directory: str = ""
    signing_key: str = ""
    literal_key: str = ""
    public_keys: tuple[str, ...] = ()
    sinks: dict[str, SinkSettings] = {}
    recordings: RecordingSettings = RecordingSettings()


class LeftoverSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    r"""A pattern of a team's own migration tool, for `capacity --leftovers`.

    Attributes:
        pattern: a regular expression for the whole table name; the group `base` is the table it was made for,
            the group `stamp` the digits of a time in it ("20260131", "20260131154500").
        what: what such a table is, in a few words.
        certain: whether the name alone proves the tool.
    """

    pattern: str
    what: str = "leftover"
    certain: bool = False


class CapacitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where capacity reports are kept.

    Attributes:
        reports: a database's SQLAlchemy URL, also of a SQLite file; "" keeps them as files in the state directory.
        secret_variable: the environment variable whose value replaces `{secret}` in the URL.
    """

    reports: str = ""
    secret_variable: str = ""


class ApprovalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Approvals by a second person.

    Attributes:
        key: file of this account's own Ed25519 key, or "keyring"; needed to approve, not to ask.
        approvers: public keys of 64 hexadecimal digits, by login identity.
        servers: public keys of servers that say who approved (`safeconsole serve`), by address.
        directory: shared directory for requests and answers; "" means that they are pasted.
        database: instead of a directory, a database's SQLAlchemy URL; "" for none.
        secret_variable: the environment variable whose value replaces `{secret}` in it.
        wait_seconds: how long a request can be answered, > 0.
    """

    key: str = "keyring"
    approvers: dict[str, str] = {}
    servers: dict[str, str] = {}
    directory: str = ""
    database: str = ""
    secret_variable: str = ""
    wait_seconds: float = 900.0


class MailSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Notices by e-mail.

    Attributes:
        server: "host:port" of an SMTP server that accepts mail from this computer without a password.
        starttls: whether the connection must be encrypted, with a valid certificate.
        addresses: by login identity, for people whom a notice concerns.
    """

    server: str
    sender: str
    recipients: tuple[str, ...]
    starttls: bool = False
    addresses: dict[str, str] = {}


class NoticeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is told of elevations, and how.

    Attributes:
        webhook: a URL that accepts `{"text": …}`, as Slack's incoming webhooks do, or "".
        secret_variable: the environment variable whose value replaces `{secret}` in the URL.
        syslog: a local socket's path, udp://host:port or tcp://host:port, or "".
        mail: None for none.
    """

    webhook: str = ""
    secret_variable: str = ""
    syslog: str = ""
    mail: MailSettings | None = None


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a gateway lets in.

    Attributes:
        tokens: file of the tokens, or a database's SQLAlchemy URL, which several gateways share; "" is a file in the
            state directory of the gateway's account.
        secret_variable: the environment variable whose value replaces `{secret}` in the URL.
        native_password: whether tokens also serve clients that know `mysql_native_password` only.
        client_ca: file of the authority whose certificates name people, or "".
        clients: most clients at a time, > 0.
        clients_a_person: most clients of one person at a time, > 0.
        proxies: addresses and networks whose word for a client's address counts (PROXY protocol, version 2).
        idle_seconds: how long a client may say nothing, > 0.
        drain_seconds: how long a statement may go on once the gateway is told to end, >= 0.
    """

    tokens: str = ""
    secret_variable: str = ""
    native_password: bool = False
    client_ca: str = ""
    clients: int = 200
    clients_a_person: int = 50
    proxies: tuple[str, ...] = ()
    idle_seconds: float = 28_800.0
    drain_seconds: float = 10.0


class TeamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a team's configuration comes from, for `safeconsole config pull`.

    Attributes:
        source: an https URL, or a path.
        key: the public key that must have signed it, 64 hexadecimal digits.
    """

    source: str = ""
    key: str = ""


class SignInSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The OpenID Connect provider that people sign in with.

    Attributes:
        issuer: its URL, exactly as it names itself.
        client_secret_variable: the environment variable that holds the client's secret; "" for a client without one.
        scopes: what is asked for.
        name_claim: the claim that names a person.
        groups_claim: the claim that lists a person's groups.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret_variable: str = ""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"


class HookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A channel that is told of requests for approval.

    Attributes:
        kind: what it understands: Slack's incoming webhooks, Teams' workflows, or a JSON object of title, link, lines.
        secret_variable: the environment variable whose value replaces `{secret}` in the address.
    """

    kind: Literal["slack", "teams", "json"]
    address: str
    secret_variable: str = ""


class ServeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The pages of a team, `safeconsole serve`.

    Attributes:
        url: where people reach them, https://host/ or https://host/path/; http on a loopback address only.
        database: the central database's SQLAlchemy URL.
        secret_variable: the environment variable whose value replaces `{secret}` in it.
        roles: groups by role: reader, reviewer, approver; the last two read as well.
        people: login identities by the name that the provider gives a person, the first being the one that they are
            known by; with it, whoever is not in it reads only.
        hooks: channels that are told of requests for approval.
        key: file of the Ed25519 key that signs what approvers say here; "" lets nobody approve here.
        session_hours: how long a sign-in lasts, > 0.
        threads: requests that are answered at a time, > 0.
    """

    url: str = ""
    database: str = ""
    secret_variable: str = ""
    sign_in: SignInSettings = SignInSettings()
    roles: dict[Literal["reader", "reviewer", "approver"], tuple[str, ...]] = {}
    people: dict[str, tuple[str, ...]] = {}
    hooks: dict[str, HookSettings] = {}
    key: str = ""
    session_hours: float = 8.0
    threads: int = 8


class QuerySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Named queries.

    Attributes:
        directory: where their `.sql` files are, or "".
    """

    directory: str = ""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration.

    Attributes:
        limits: ceilings by name (`limits.LIMIT_NAMES`), tightened on top of every policy.
        policies: by label, for the clusters of the same file that name no policy of their own.
        leftovers: additional patterns, by the tool's name.
        locked: in the system's file: a person's file can add no cluster.
    """

    clusters: dict[str, ClusterSettings] = {}
    audit: AuditSettings = AuditSettings()
    approvals: ApprovalSettings = ApprovalSettings()
    notices: NoticeSettings = NoticeSettings()
    limits: dict[str, float] = {}
    policies: dict[str, str] = {}
    leftovers: dict[str, LeftoverSettings] = {}
    capacity: CapacitySettings = CapacitySettings()
    gateway: GatewaySettings = GatewaySettings()
    team: TeamSettings = TeamSettings()
    serve: ServeSettings = ServeSettings()
    queries: QuerySettings = QuerySettings()
    locked: bool = False

    def cluster(self, name: str) -> ClusterSettings:
        """Return a cluster by its name. Raises ConfigurationError: there is none."""
        if name not in self.clusters:
            known = ", ".join(sorted(self.clusters)) or "none; see the README, or try `safeconsole demo`"
            raise ConfigurationError(
                f"cluster {name} is not in the configuration", instead=f"configured clusters: {known}"
            )
        return self.clusters[name]


def secret_variables(settings: Settings) -> tuple[str, ...]:
    """Return the environment variables that hold secrets other than passwords of clusters."""
    serve = settings.serve
    named = (
        settings.notices.secret_variable,
        settings.capacity.secret_variable,
        settings.gateway.secret_variable,
        settings.approvals.secret_variable,
        serve.secret_variable,
        serve.sign_in.client_secret_variable,
        *(sink.secret_variable for sink in settings.audit.sinks.values()),
        *(hook.secret_variable for hook in serve.hooks.values()),
    )
    return tuple(filter(None, named))
