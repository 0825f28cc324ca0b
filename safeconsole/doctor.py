"""Examines a cluster and the console's accounts: what is wrong, why it matters, and how to fix it.

Every question passes the gate, on every node, as the account that it is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby

import msgspec
from msgspec.structs import replace

from safeconsole.capacity.asking import Asker
from safeconsole.cluster.engine import Row
from safeconsole.cluster.routing import several_writers
from safeconsole.config.identity import NameProof, Person
from safeconsole.config.kept_grants import KeptGrants
from safeconsole.config.settings import Accounts, ClusterSettings
from safeconsole.dialects import DIALECTS
from safeconsole.dialects.grants import (
    CONSOLE_CONNECTIONS,
    USUAL_PEOPLE,
    GrantFinding,
    judged,
    quoted_account,
)
from safeconsole.dialects.privileges import (
    AccountPrivileges,
    privilege_of_row,
    privileges_by_grants,
    privileges_by_itself,
)
from safeconsole.errors import SafeConsoleError
from safeconsole.policy.readings import Gates, Reading, is_the_demo, unfit_reasons
from safeconsole.session.context import SessionContext
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.vocabulary import Account, Privilege, Role


class CheckResult(StrEnum):
    GOOD = "good"
    ADVICE = "advice"
    WRONG = "wrong"
    UNSEEN = "unseen"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check.

    Attributes:
        where: a node's name, or "cluster".
        detail: the reading, and why it matters.
        remedy: how to fix it: a statement, a line of configuration, a command; or "".
    """

    where: str
    what: str
    finding: CheckResult
    detail: str
    remedy: str = ""


def examine(asker: Asker, cluster: ClusterSettings, kept: KeptGrants) -> Iterator[Check]:
    """Yield findings as they are made: the cluster first, then each node that answers.

    Args:
        kept: what its elevated account said when it was last there; it is not asked by this.

    Raises SafeConsoleError: the cluster cannot be asked at all, or a person interrupted it.
    """
    session = asker.session
    readings, gates = session.topology(), session.policy.gates
    yield from _cluster_checks(readings, gates, cluster)
    yield _configuration_check(session.context, readings)
    yield _login_check(session.context.person)
    for reading in readings:
        yield _node_check(reading, gates)
        if reading.unreachable or not _dialect(asker, reading).has_accounts:
            continue
        if reading.one_at_a_time:
            yield _pace_check(reading)
        session.use(reading.node)
        if not unfit_reasons(reading, gates):
            ran = _statement_check(asker, reading)
            yield ran
            if ran.finding is not CheckResult.GOOD:
                continue
        try:
            yield from _account_checks(asker, reading, cluster)
            yield from _diagnosis_checks(asker, reading, cluster)
            yield from _kept_checks(reading, _dialect(asker, reading), cluster, kept)
            yield _room_check(asker, reading)
            yield from _server_checks(asker, reading)
        except SafeConsoleError as error:
            yield Check(where=reading.node, what="questions", finding=CheckResult.UNSEEN, detail=error.message)


def _pace_check(reading: Reading) -> Check:
    return Check(
        where=reading.node,
        what="round trips",
        finding=CheckResult.ADVICE,
        detail="what stands before this server ends a connection that asks again before it is answered, so each"
        " question is asked alone: a statement waits two to five round trips longer",
        remedy="name the servers themselves in nodes, not a proxy before them",
    )


def _dialect(asker: Asker, reading: Reading) -> Dialect:
    return DIALECTS[reading.flavour] if reading.flavour else asker.rules().dialect


def _cluster_checks(readings: tuple[Reading, ...], gates: Gates, cluster: ClusterSettings) -> Iterator[Check]:
    servers = sorted((reading.identity.server, reading.node) for reading in readings if reading.identity)
    for server, group in groupby(servers, key=lambda pair: pair[0]):
        nodes = [node for _, node in group]
        if len(nodes) > 1:
            yield Check(
                where="cluster",
                what="nodes",
                finding=CheckResult.ADVICE,
                detail=f"{' and '.join(nodes)} lead to the same server, {server}",
                remedy="keep one of them in nodes",
            )
    primaries = [reading.node for reading in readings if reading.role is Role.PRIMARY]
    fit = [reading.node for reading in readings if reading.role is Role.REPLICA and not unfit_reasons(reading, gates)]
    primary = _counted("primary", primaries, wanted="elevated statements have nowhere to go", at_most_one=True)
    setting = several_writers(readings)
    yield replace(primary, remedy=f"clusters.*.{setting}, best first: the others are read then") if setting else primary
    yield _counted("replicas fit for reads", fit, wanted="reads are refused: they are never sent to a primary instead")
    if any(reading.flavour and not DIALECTS[reading.flavour].has_accounts for reading in readings):
        yield Check(
            where="cluster",
            what="accounts",
            finding=CheckResult.GOOD,
            detail="none: the files' permissions are the barrier",
        )
        return
    yield _elevated_check(cluster.accounts)
    if not cluster.accounts.diagnose:
        yield Check(
            where="cluster",
            what="diagnosis account",
            finding=CheckResult.ADVICE,
            detail="none is configured: who blocks whom, and what others run, stays unseen in an incident",
            remedy="accounts.diagnose; `safeconsole doctor --grants` prints what makes it",
        )


def _configuration_check(context: SessionContext, readings: tuple[Reading, ...]) -> Check:
    remedy = ""
    if context.governed:
        finding, detail = CheckResult.GOOD, "the system's configuration sets this cluster, and its policy"
    elif is_the_demo(readings, context.demo):
        finding, detail = CheckResult.GOOD, "this is the demo, as its own nodes prove"
    else:
        finding = CheckResult.ADVICE
        detail = (
            "no system configuration locks this cluster: whoever runs the console, a program too, may choose its policy"
        )
        remedy = "set the cluster in /etc/safeconsole/config.toml, with locked = true"
    return Check(where="cluster", what="configuration", finding=finding, detail=detail, remedy=remedy)


def _login_check(person: Person) -> Check:
    remedy = "log in over ssh or a console with pam_loginuid, and not by a shared account"
    match person.proof:
        case NameProof.LOGIN_UID:
            finding, detail, remedy = CheckResult.GOOD, f"{person.name}: the kernel's login uid says so", ""
        case NameProof.SUDO_USER:
            finding = CheckResult.ADVICE
            detail = (
                f"{person.name} is what SUDO_USER says, which whoever starts the console can set: the journal may name "
                "another person, and no second person counts without the key of the name"
            )
        case _:
            finding = CheckResult.ADVICE
            detail = (
                f"nobody logged in as far as the kernel knows: whoever shares the account {person.login} is "
                f"{person.name} in the journal"
            )
    return Check(where="cluster", what="login identity", finding=finding, detail=detail, remedy=remedy)


def _elevated_check(accounts: Accounts) -> Check:
    if not accounts.elevated:
        finding, detail = CheckResult.ADVICE, "none is configured, so nothing can be elevated"
        remedy = "accounts.elevated, and `safeconsole credentials set`"
    elif accounts.elevated == accounts.read:
        finding, detail = (
            CheckResult.WRONG,
            f"{accounts.read} is used for reads too: its grants are no barrier to a write",
        )
        remedy = "two accounts; `safeconsole doctor --grants` prints both"
    else:
        detail = (
            f"{accounts.elevated}: its password is fetched at an elevation only, and what it says then is kept a day"
        )
        finding, remedy = CheckResult.UNSEEN, "compare SHOW GRANTS with `safeconsole doctor --grants`"
    return Check(where="cluster", what="elevated account", finding=finding, detail=detail, remedy=remedy)


def _counted(what: str, nodes: Sequence[str], *, wanted: str, at_most_one: bool = False) -> Check:
    if not nodes:
        return Check(
            where="cluster",
            what=what,
            finding=CheckResult.WRONG,
            detail=f"none: {wanted}",
            remedy="see `safeconsole topology`",
        )
    if at_most_one and len(nodes) > 1:
        detail = f"{' and '.join(nodes)}: it is not clear which one is meant"
        return Check(
            where="cluster", what=what, finding=CheckResult.WRONG, detail=detail, remedy="one cluster, one primary"
        )
    return Check(where="cluster", what=what, finding=CheckResult.GOOD, detail=", ".join(nodes))


def _node_check(reading: Reading, gates: Gates) -> Check:
    what = f"{reading.role} {reading.version}".strip()
    reasons = unfit_reasons(reading, gates)
    if reasons:
        if reading.unreachable:
            finding, detail, remedy = CheckResult.WRONG, "; ".join(reasons), reading.mend
        else:
            stands = reading.role is Role.REPLICA and not reading.replicating
            finding, detail = CheckResult.ADVICE, "; ".join((*reasons, reading.proof))
            remedy = "mend what is named there, then START REPLICA" if stands else ""
        return Check(where=reading.node, what=what, finding=finding, detail=detail, remedy=remedy)
    if reading.role is Role.UNKNOWN:
        return Check(
            where=reading.node, what=what, finding=CheckResult.ADVICE, detail=f"role not proven: {reading.proof}"
        )
    return Check(where=reading.node, what=what, finding=CheckResult.GOOD, detail=reading.proof)


def _statement_check(asker: Asker, reading: Reading) -> Check:
    what = "a read"
    try:
        asker.ask("SELECT 1")
    except SafeConsoleError as error:
        detail = "; ".join((error.message, *error.evidence[:1]))
        return Check(where=reading.node, what=what, finding=CheckResult.WRONG, detail=detail, remedy=error.instead)
    return Check(where=reading.node, what=what, finding=CheckResult.GOOD, detail="SELECT 1 ran, watched")


def _account_checks(asker: Asker, reading: Reading, cluster: ClusterSettings) -> Iterator[Check]:
    rows = asker.ask("SELECT CURRENT_USER(), CURRENT_ROLE()").rows
    dialect = _dialect(asker, reading)
    held = _privileges(asker, dialect, _grantee(rows[0]))
    yield from _grant_checks(reading, dialect, Account.READ, _named(asker, held, rows[0]), cluster.schema)


def _diagnosis_checks(asker: Asker, reading: Reading, cluster: ClusterSettings) -> Iterator[Check]:
    """Yield faults of the account for diagnosis, measured as that account."""
    dialect = _dialect(asker, reading)
    if not cluster.accounts.diagnose:
        return
    who, *rest = dialect.diagnosis.of_itself
    try:
        row = asker.ask(who).rows[0]
        listed = [asker.ask(question).rows for question in rest]
    except SafeConsoleError as error:
        yield Check(
            where=reading.node,
            what="diagnosis account",
            finding=CheckResult.WRONG,
            detail=error.message,
            remedy=error.instead or "`safeconsole doctor --grants` prints what makes it",
        )
        return
    held = privileges_by_itself(dialect, ((row,), *listed))
    yield from _grant_checks(reading, dialect, Account.DIAGNOSE, _named(asker, held, row))


def _kept_checks(reading: Reading, dialect: Dialect, cluster: ClusterSettings, kept: KeptGrants) -> Iterator[Check]:
    """Yield faults of the elevated account, as it said itself when somebody was last elevated there."""
    account = cluster.accounts.elevated
    found = kept.of(account, {reading.identity.server}) if account and reading.identity else None
    if found is None:
        return
    for check in _grant_checks(reading, dialect, Account.ELEVATED, found.held, cluster.schema):
        yield replace(check, detail=f"{check.detail}; as it said {found.ago}")


def _grantee(row: Row) -> str:
    user, _, host = str(row[0]).rpartition("@")
    return quoted_account(user, host)


def _named(asker: Asker, held: AccountPrivileges, row: Row) -> AccountPrivileges:
    role = str(row[1] or "NONE")
    role = "" if role == "NONE" else role
    return replace(held, grantee=_grantee(row), role=role, version=asker.rules().version)


def _grant_checks(
    reading: Reading, dialect: Dialect, account: Account, held: AccountPrivileges, schema: str = ""
) -> Iterator[Check]:
    """Yield faults of an account, named as in GRANT."""
    what, unclear = f"grants of {held.grantee}", held.unclear
    if held.role and dialect.grants_show_hashes:
        unclear = (*unclear, f"the role {held.role} is active, and its privileges are not listed for this account")
    findings = [
        *judged(dialect, account, held.privileges, grantee=held.grantee, schema=schema, version=held.version),
        *(GrantFinding(kind="unclear", what=line, why="not understood, so not vouched for") for line in unclear),
    ]
    for finding in findings:
        state = {"wide": CheckResult.WRONG, "missing": CheckResult.ADVICE, "unclear": CheckResult.UNSEEN}[finding.kind]
        yield Check(
            where=reading.node,
            what=f"{what}: {finding.kind}",
            finding=state,
            detail=f"{finding.what}: {finding.why}",
            remedy=finding.remedy,
        )
    if not findings:
        yield Check(where=reading.node, what=what, finding=CheckResult.GOOD, detail="what is needed, and nothing more")


def _room_check(asker: Asker, reading: Reading) -> Check:
    what = "connections"
    each = CONSOLE_CONNECTIONS[Account.READ]
    most, server_most = (int(str(value)) for value in asker.ask(_ROOM).rows[0])
    room = most // each
    if not most:
        detail = (
            f"no limit of the account: consoles may take all {server_most} connections of the server from applications"
        )
        remedy = f"ALTER USER … WITH MAX_USER_CONNECTIONS {USUAL_PEOPLE * each}: {each} for each console at once"
        return Check(where=reading.node, what=what, finding=CheckResult.ADVICE, detail=detail, remedy=remedy)
    consoles = "1 console" if room == 1 else f"{room} consoles"
    return Check(
        where=reading.node,
        what=what,
        finding=CheckResult.GOOD,
        detail=f"room for {consoles} at once: MAX_USER_CONNECTIONS is {most}, each console takes {each}",
    )


_ROOM = "SELECT @@session.max_user_connections, @@global.max_connections"


def _privileges(asker: Asker, dialect: Dialect, grantee: str) -> AccountPrivileges:
    if not dialect.grants_show_hashes:
        return privileges_by_grants(str(row[0]) for row in asker.ask("SHOW GRANTS").rows)
    held: tuple[Privilege, ...] = ()
    for table, places in _PRIVILEGE_TABLES.items():
        columns = ", ".join(("privilege_type", "is_grantable", *places))
        rows = asker.ask(
            f"SELECT {columns} FROM information_schema.{table} WHERE grantee = {asker.literal(grantee)}"  # noqa: S608
        ).rows
        held += tuple(map(privilege_of_row, rows))
    return AccountPrivileges(privileges=held)


_PRIVILEGE_TABLES: dict[str, tuple[str, ...]] = {
    "user_privileges": (),
    "schema_privileges": ("table_schema",),
    "table_privileges": ("table_schema", "table_name"),
    "column_privileges": ("table_schema", "table_name", "column_name"),
}
"""Lists of grants without password hashes, which MariaDB's SHOW GRANTS shows. Source: MariaDB 10.11, measured."""


def _server_checks(asker: Asker, reading: Reading) -> Iterator[Check]:
    if reading.role is Role.PRIMARY:
        yield from _waiting_checks(asker, reading)
    for setting in _dialect(asker, reading).leans_on:
        if setting.role not in (None, reading.role):
            continue
        rows, refused = asker.ask_if_allowed(f"SELECT @@global.{setting.name}")
        found = str(rows[0][0]) if rows else refused
        good = bool(rows) and setting.is_good(found)
        yield Check(
            where=reading.node,
            what=setting.name,
            finding=CheckResult.GOOD if good else CheckResult.ADVICE if rows else CheckResult.UNSEEN,
            detail=found if good else f"{found or 'empty'}: {setting.why}",
            remedy="" if good else setting.remedy,
        )


_SEMI_SYNC = re.compile(r"rpl_semi_sync_(?:source|master)_(enabled|timeout|clients)", re.IGNORECASE)
_PATIENCE_MS = 10_000
"""How long the console waits for the answer to a COMMIT."""


def _waiting_checks(asker: Asker, reading: Reading) -> Iterator[Check]:
    """Yield a fault if each change waits for a replica's acknowledgement that does not come."""
    told: dict[str, str] = {}
    for question in ("SHOW GLOBAL VARIABLES LIKE 'rpl_semi_sync%'", "SHOW GLOBAL STATUS LIKE 'rpl_semi_sync%'"):
        rows, _ = asker.ask_if_allowed(question)
        told |= {found[1].lower(): str(row[1]) for row in rows or () if (found := _SEMI_SYNC.fullmatch(str(row[0])))}
    waits = told.get("enabled", "").upper() in ("ON", "1") and told.get("clients") == "0"
    if waits and int(told.get("timeout", "0")) > _PATIENCE_MS:
        yield Check(
            where=reading.node,
            what="semi-synchronous replication",
            finding=CheckResult.WRONG,
            detail=f"no replica acknowledges changes: each waits {int(told['timeout']) // 1000} s in its COMMIT, and"
            f" past {_PATIENCE_MS // 1000} s nobody here knows what became of it",
            remedy="let a semi-synchronous replica follow, or switch it off on this server",
        )
