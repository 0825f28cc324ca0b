"""What was met on a cluster, and where a connection is opened before anybody chose: hints, which prove nothing."""

import os
from pathlib import Path

import pytest

from safeconsole.config.settings import ClusterSettings
from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.mysql import AURORA_MYSQL, MYSQL
from safeconsole.mysql.ahead import likely_node
from safeconsole.mysql.recognising import Variant
from safeconsole.mysql.remembered import Remembered
from safeconsole.sqltext.vocabulary import Role

A, B, C = "10.0.0.1:3306", "10.0.0.2:3306", "10.0.0.3:3306"
ADDRESSES = (A, B, C)
PLAIN = Variant(version="8.0.36", dialect=MYSQL)


def remembered(tmp_path, **roles):
    kept = Remembered(tmp_path, ADDRESSES)
    kept.keep(({"a": A, "b": B, "c": C}[name], role, PLAIN) for name, role in roles.items())
    return Remembered(tmp_path, ADDRESSES)


def test_what_was_met_is_found_again_at_its_address(tmp_path):
    found = remembered(tmp_path, a=Role.PRIMARY, b=Role.REPLICA)
    assert [found.role_of(each) for each in ADDRESSES] == [Role.PRIMARY, Role.REPLICA, Role.UNKNOWN]
    assert found.variant_of(A) == PLAIN
    assert found.variant_of(C) is None
    # Another cluster has nothing of it, by whatever name.
    assert not Remembered(tmp_path, (A, B)).are_any


@pytest.mark.parametrize(
    "variant",
    [
        Variant(version="8.0.28", dialect=AURORA_MYSQL),
        Variant(version="5.5.5-10.11.6-MariaDB", dialect=MARIADB),
        Variant(version="8.0.36", dialect=MYSQL, takes_several=False),
    ],
)
def test_only_plain_mysql_is_taken_for_what_it_was(tmp_path, variant):
    Remembered(tmp_path, ADDRESSES).keep([(A, Role.REPLICA, variant)])
    found = Remembered(tmp_path, ADDRESSES)
    assert found.variant_of(A) is None
    assert found.role_of(A) is Role.REPLICA


def test_who_did_not_answer_is_remembered_on(tmp_path):
    remembered(tmp_path, a=Role.PRIMARY, b=Role.REPLICA)
    assert remembered(tmp_path, a=Role.REPLICA).role_of(B) is Role.REPLICA


def test_the_file_is_the_persons_alone_and_no_link_is_followed(tmp_path):
    remembered(tmp_path / "clusters", a=Role.PRIMARY)
    (file,) = (tmp_path / "clusters").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other"
    os.replace(file, other)
    file.symlink_to(other)
    assert not Remembered(tmp_path / "clusters", ADDRESSES).are_any


def test_where_nothing_can_be_written_nothing_is_remembered_and_nothing_fails(tmp_path):
    (tmp_path / "file").touch()
    kept = Remembered(tmp_path / "file" / "clusters", ADDRESSES)
    kept.keep([(A, Role.REPLICA, PLAIN)])
    Remembered(None).keep([(A, Role.REPLICA, PLAIN)])
    assert Path(tmp_path / "file").read_bytes() == b""


def likely(tmp_path, to="", *, tags=None, writer=(), **roles):
    """The names that are drawn in some tries."""
    names = {A: "a", B: "b", C: "c"}
    tags = {address: tags[name] for address, name in names.items() if name in (tags or {})}
    settings = ClusterSettings(nodes=ADDRESSES, names=names, tags=tags, writer=writer)
    known = remembered(tmp_path, **roles)
    drawn = [likely_node(settings, known, to) for _ in range(60)]
    return {each[1] if each else None for each in drawn}


ROLES = {"a": Role.PRIMARY, "b": Role.REPLICA, "c": Role.REPLICA}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (ROLES, {"b", "c"}),
        ({**ROLES, "to": "replica"}, {"b", "c"}),
        ({**ROLES, "to": "primary"}, {"a"}),
        ({**ROLES, "to": "c"}, {"c"}),
        ({**ROLES, "to": "nobody"}, {None}),
        ({**ROLES, "tags": {"c": ("console",)}}, {"c"}),
        ({**ROLES, "tags": {"b": ("failover-target",)}}, {"c"}),
        ({"a": Role.PRIMARY}, {None}),
        ({}, {"a", "b", "c"}),
        ({"to": "primary"}, {None}),
        ({"writer": "a"}, {"b", "c"}),
        ({"writer": ("c", "b")}, {"a"}),
    ],
)
def test_a_connection_is_opened_where_the_statement_will_probably_go(tmp_path, how, expected):
    assert likely(tmp_path, **how) == expected
