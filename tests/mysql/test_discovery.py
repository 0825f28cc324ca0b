"""Who belongs to a cluster: what nodes say of each other leads somewhere, and proves nothing by itself."""

import pytest

from safeconsole.mysql.dialling import NodeAddress
from safeconsole.mysql.discovery import (
    Company,
    Lead,
    Met,
    Peer,
    address_of,
    follower_of,
    leads_of,
    strangers,
    unseen_followers,
    why_not_asked,
)
from safeconsole.mysql.discovery import Found
from safeconsole.policy.readings import Gates, Identity, Reading
from safeconsole.cluster.routing import choose
from safeconsole.config.settings import ClusterSettings, TlsSettings
from safeconsole.sqltext.vocabulary import Flavour, NodeName, Role, Route

FAR, NEAR = (
    NodeAddress(host="db-1.internal", ip="10.0.0.5", port=3306),
    NodeAddress(host="127.0.0.1", ip="127.0.0.1", port=3306),
)


def met(server, *, sources=(), followers=(), group="", members=(), following=None, place=FAR):
    company = Company(
        sources=tuple(source if isinstance(source, Peer) else Peer(address="", server=source) for source in sources),
        followers=tuple(followers),
        following=following,
        group=group,
        members=tuple(members),
    )
    return Met(server=server, place=place, company=company)


def lead(address, server="", why="copies from primary", by_local=False):
    return Lead(address=address, server=server, why=why, by_local=by_local)


def test_whom_a_node_names_is_where_it_leads():
    company = Company(
        sources=(Peer(address="db-0:3306", server="u-0"),),
        followers=(Peer(address="db-2:3306", server="u-2"), Peer(address="", server="u-9")),
        members=(Peer(address="db-3:3306", server="u-3"),),
    )
    assert [(each.address, each.server, each.why) for each in leads_of("db-1", Met(server="u-1", place=FAR, company=company))] == [
        ("db-0:3306", "u-0", "the source of db-1"),
        ("db-2:3306", "u-2", "copies from db-1"),
        ("db-3:3306", "u-3", "in the group of db-1"),
    ]  # fmt: skip


@pytest.mark.parametrize("address", ["localhost:3306", "127.0.0.1:3306", "127.9.9.9:3306", "[::1]:3306"])
def test_a_loopback_address_means_another_computer_when_another_says_it(address):
    peers = (Peer(address=address, server="u-2"),)
    assert leads_of("db-1", met("u-1", followers=peers)) == ()
    assert [each.by_local for each in leads_of("db-1", met("u-1", followers=peers, place=NEAR))] == [True]


@pytest.mark.parametrize(
    "endpoint",
    [
        "shop.cluster-c9x.eu-west-1.rds.amazonaws.com",
        "shop.cluster-ro-c9x.eu-west-1.rds.amazonaws.com",
        "shop.cluster-custom-c9x.eu-west-1.rds.amazonaws.com",
        "shop-1.c9x.eu-west-1.rds.amazonaws.com",
    ],
)
def test_an_aurora_instance_is_where_its_clusters_endpoint_says(endpoint):
    place = NodeAddress(host=endpoint, ip="10.0.0.5", port=3307)
    members = (Peer(address="", server="shop-2"), Peer(address="", server="evil.example.com/"))
    (found,) = leads_of("db", met("shop-1", members=members, place=place))
    assert (found.address, found.server) == ("shop-2.c9x.eu-west-1.rds.amazonaws.com:3307", "shop-2")


def test_an_aurora_instance_behind_a_name_of_ones_own_is_not_guessed():
    assert leads_of("db", met("shop-1", members=(Peer(address="", server="shop-2"),))) == ()


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("db-1", 3306, "db-1:3306"),
        ("fe80::1", "3306", "[fe80::1]:3306"),
        ("[fe80::1]", "3306", "[fe80::1]:3306"),
        ("", 3306, ""),
        (None, 3306, ""),
        ("db-1", 0, ""),
        ("db-1", "x", ""),
        ("db-1", 65536, ""),
    ],
)
def test_an_address_is_whole_or_none(host, port, address):
    assert address_of(host, port) == address


def test_a_registered_replica_is_read_in_the_words_of_either_flavour():
    mysql = {"Server_Id": 2, "Host": "db-2", "Port": 3306, "Source_Id": 1, "Replica_UUID": "u-2"}
    assert follower_of(mysql) == Peer(address="db-2:3306", server="u-2")
    mariadb = {"Server_id": 2, "Host": "", "Port": 3306, "Master_id": 1}
    assert follower_of(mariadb) == Peer(address="", server="2")


# Who belongs.

CONFIGURED = met("u-1")


@pytest.mark.parametrize(
    ("found", "configured"),
    [
        (met("u-2", sources=("u-1",)), CONFIGURED),
        (met("h:3306/2", sources=(Peer(address="db-1:3306", server="1"),)), met("h:3306/1")),
        # Through a proxy with a port of its own: it is asked where its replica says that it is.
        (met("h:3306/1"), met("h:3306/2", sources=(Peer(address="b", server="1"),))),
        (met("u-2"), met("u-1", sources=("u-2",))),
        (met("u-2", sources=("u-0",)), met("u-1", sources=("u-2",))),
        (met("u-2", group="g"), met("u-1", group="g")),
        (met("shop-2"), met("shop-1", members=(Peer(address="", server="shop-2"),))),
    ],
)
def test_a_server_that_replication_or_a_group_ties_to_the_cluster_belongs(found, configured):
    assert strangers({"a": configured, "b": found}, {"b": lead("b")}, ()) == {}


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (met("u-2"), ""),
        (met("u-2", sources=("u-9",)), ""),
        (met("u-2", group="h"), ""),
        (met("u-2", sources=("",)), ""),
        # A server id is no identity: every cluster has its first.
        (met("h:3306/2", sources=(Peer(address="db-9:3307", server="1"),)), ""),
        # It copies from us, and is not who was said to be there.
        (met("u-2", sources=("u-1",)), "u-3"),
    ],
)
def test_any_other_is_a_stranger(found, named):
    configured = {"a": met("u-1", group="g"), "c": met("h:3306/1")}
    refused = strangers({**configured, "b": found}, {"b": lead("b", named)}, ())
    assert set(refused) == {"b"}
    assert ("not u-3" in refused["b"]) == bool(named)


def test_no_stranger_brings_another_in():
    everyone = {"a": CONFIGURED, "b": met("u-2", sources=("u-9",)), "c": met("u-3", sources=("u-2",))}
    assert set(strangers(everyone, {"b": lead("b"), "c": lead("c")}, ())) == {"b", "c"}


def test_one_that_belongs_brings_the_next_in():
    everyone = {"a": met("u-3", sources=("u-2",)), "b": met("u-2", sources=("u-1",)), "c": met("u-1")}
    assert strangers(everyone, {"b": lead("b"), "c": lead("c")}, ()) == {}


def test_one_that_belonged_still_does_when_everybody_else_is_dead():
    assert strangers({"b": met("u-2")}, {"b": lead("b")}, {"u-1", "u-2"}) == {}
    assert strangers({"b": met("u-2", sources=("u-1",))}, {"b": lead("b")}, {"u-1"}) == {}


def test_one_that_belonged_and_copies_from_a_stranger_now_does_no_longer():
    assert set(strangers({"b": met("u-2", sources=("u-9",))}, {"b": lead("b")}, {"u-1", "u-2"})) == {"b"}


# Whom a password is sent to.


@pytest.mark.parametrize(
    ("place", "tls", "by_local", "asked"),
    [
        (FAR, TlsSettings(), False, False),
        (FAR, TlsSettings(ca="/etc/private.pem"), False, True),
        (NodeAddress(host="db-0.internal", ip="10.0.0.9", port=3307), TlsSettings(), False, True),
        (NEAR, TlsSettings(), True, True),
        # A name that somebody else made lead to this computer.
        (
            NodeAddress(host="evil.example.com", ip="127.0.0.1", port=3306),
            TlsSettings(ca="/etc/private.pem"),
            False,
            False,
        ),
    ],
)
def test_a_found_address_is_asked_only_where_the_configuration_vouches_for_it(place, tls, by_local, asked):
    settings = ClusterSettings(nodes=("db-0.internal",), tls=tls)
    assert (why_not_asked(lead("x:3306", by_local=by_local), place, settings) == "") is asked


# What cannot be seen.


def test_what_cannot_be_seen_is_said_with_what_shows_it():
    one = met("u-1")
    assert unseen_followers(one, [one], asks_for="grant x") == "whether others copy from it cannot be seen: grant x"


@pytest.mark.parametrize(("following", "text"), [(1, ""), (0, ""), (3, "2 more that copy from it are not found: list")])
def test_replicas_that_are_counted_and_not_met_are_missing(following, text):
    one = met("h:1/1", following=following)
    assert (
        unseen_followers(one, [one, met("h:2/2", sources=(Peer(address="h:1", server="1"),))], asks_for="list") == text
    )


def test_a_group_names_all_of_itself():
    one = met("u-1", group="g")
    assert unseen_followers(one, [one], asks_for="grant x") == ""


# What is remembered.


def reading(name, server, role=Role.REPLICA):
    return Reading(
        node=NodeName(name),
        role=role,
        proof="measured",
        identity=Identity(server=server, address=name),
        flavour=Flavour.MYSQL,
        replicating=True,
        lag_seconds=0.0,
    )


FOLLOWER = Peer(address="db-2.internal:3306", server="u-2")


def world(discovery="use", *, named="u-2", second=None):
    """One configured primary that names one replica, and the replica as it answers."""
    found = Found(ClusterSettings(nodes=("db-1.internal:3306",), discovery=discovery))
    everyone = {"db-1.internal:3306": met("u-1", followers=(Peer(address=FOLLOWER.address, server=named),))}
    measured = {"db-1.internal:3306": reading("db-1", "u-1", Role.PRIMARY)}
    wave = found.follow(everyone, measured, most=9)
    for address in wave:
        everyone[address] = second or met("u-2", sources=("u-1",))
        measured[address] = reading(address, everyone[address].server)
    return found, wave, found.judged(measured, everyone)


def test_a_found_replica_is_fit_and_shown_as_found():
    _, wave, readings = world()
    assert wave == (FOLLOWER.address,)
    assert (readings[1].role, readings[1].found) == (Role.REPLICA, "copies from db-1")
    assert choose(readings, Gates(), Route.REPLICA).reading == readings[1]


def test_a_found_server_that_is_not_proven_to_belong_is_shown_and_never_chosen():
    _, _, readings = world(second=met("u-2", sources=("u-9",)))
    assert readings[1].role is Role.UNKNOWN
    assert "not used: nothing shows that it copies from a node of this cluster" in readings[1].proof
    assert choose(readings, Gates(), Route.REPLICA).reading is None
    assert choose(readings, Gates(), Route.REPLICA, node=FOLLOWER.address).reading is None


def test_who_wants_found_nodes_shown_only_never_uses_one():
    _, _, readings = world("show")
    assert readings[1].role is Role.UNKNOWN and 'discovery = "show"' in readings[1].proof
    assert choose(readings, Gates(), Route.REPLICA, node=FOLLOWER.address).reading is None


def test_who_wants_none_found_has_none_looked_for():
    _, wave, readings = world("off")
    assert wave == () and len(readings) == 1


def test_no_more_are_followed_than_there_is_room_for():
    found = Found(ClusterSettings(nodes=("db-1:3306",)))
    followers = tuple(Peer(address=f"db-{number}:3306", server=f"u-{number}") for number in range(2, 9))
    assert (
        len(found.follow({"db-1:3306": met("u-1", followers=followers)}, {"db-1:3306": reading("db-1", "u-1")}, most=3))
        == 3
    )


def test_a_server_that_is_known_under_another_name_is_not_asked_twice():
    found = Found(ClusterSettings(nodes=("a:3306", "b:3306")))
    everyone = {"a:3306": met("u-1", followers=(FOLLOWER,)), "b:3306": met("u-2", sources=("u-1",))}
    measured = {"a:3306": reading("a", "u-1", Role.PRIMARY), "b:3306": reading("b", "u-2")}
    assert found.follow(everyone, measured, most=9) == ()


def test_another_name_that_nobody_could_know_for_one_is_asked_once():
    found = Found(ClusterSettings(nodes=("a:3306",)))
    everyone = {"a:3306": met("u-1", followers=(Peer(address="a.internal:3306"),))}
    measured = {"a:3306": reading("a", "u-1", Role.PRIMARY)}
    for wave in (("a.internal:3306",), ()):
        assert found.follow(everyone, measured, most=9) == wave
        for address in wave:
            everyone[address], measured[address] = met("u-1"), reading(address, "u-1", Role.PRIMARY)
        assert [each.node for each in found.judged(measured, everyone)] == ["a"]
        assert found.is_needless("a.internal:3306")
        everyone.pop("a.internal:3306", None), measured.pop("a.internal:3306", None)


def test_who_was_found_is_remembered_when_the_primary_that_named_it_is_dead():
    found, _, _ = world()
    dead = Reading(node=NodeName("db-1"), unreachable="connection refused")
    promoted = reading(FOLLOWER.address, "u-2", Role.PRIMARY)
    measured = {"db-1.internal:3306": dead, FOLLOWER.address: promoted}
    assert FOLLOWER.address in found.leads
    readings = found.judged(measured, {FOLLOWER.address: met("u-2")})
    assert choose(readings, Gates(), Route.PRIMARY).reading.node == FOLLOWER.address


def test_another_server_that_is_named_at_the_same_address_takes_its_place():
    found, _, _ = world()
    newer = met("u-1", followers=(Peer(address=FOLLOWER.address, server="u-7"),))
    everyone = {"db-1.internal:3306": newer, FOLLOWER.address: met("u-7", sources=("u-1",))}
    measured = {"db-1.internal:3306": reading("db-1", "u-1", Role.PRIMARY), FOLLOWER.address: reading("x", "u-7")}
    assert found.judged(measured, everyone)[1].role is Role.UNKNOWN
    assert found.follow(everyone, measured, most=9) == ()
    assert found.judged(measured, everyone)[1].role is Role.REPLICA
