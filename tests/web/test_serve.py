"""The pages of a team: what they show of a central database, and whom they let do what."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
from functools import partial
from types import SimpleNamespace

import msgspec
import pytest
import sqlalchemy

from benchmarks import serve as benchmark
from safeconsole.audit.central import ENTRIES, open_database
from safeconsole.audit.index import ALL_SECONDS, Indexer, Indexing
from safeconsole.audit.record import Noticed, SessionClosed
from safeconsole.audit.journal import open_journal
from safeconsole.capacity.overview import Overviews
from safeconsole.capacity.reports import End, Head, Page, line_of
from safeconsole.capacity.shelf import FileShelf
from safeconsole.config.settings import ClusterSettings, Settings
from safeconsole.web.team import respond
from tests.harness.journals import OPENED, HandClock, asked, decided, ended, intent, write_session
from tests.harness.team import Web, archive_of, opened, pages, provider, ship


@pytest.fixture(scope="module")
def issuer():
    with provider() as made:
        yield made


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/central.db"


@pytest.fixture
def written(tmp_path, database):
    """Two computers' journals, sent to one database."""
    for number, name in enumerate(("one", "two")):
        clock = HandClock(number * 60)
        write_session(tmp_path / name, clock, session=f"plain-{name}")
        write_session(tmp_path / name, clock, session=f"glass-{name}", elevated=True)
        ship(tmp_path / name, database)
    return tmp_path


@pytest.fixture
def team(written, database, issuer):
    engine, indexer, archive = archive_of(database)
    with pages(archive, issuer) as (browser, desk):
        opening = partial(browser)
        opening.desk, opening.engine = desk, engine

        def arrive(directory):
            """Send what a computer's journals hold, and read it, however old its times are."""
            ship(directory, database)
            Indexer(engine).step()

        opening.arrive = arrive
        yield opening
    engine.dispose()


def test_who_is_not_signed_in_is_sent_to_the_provider_and_comes_back_to_the_page_they_asked_for(team):
    web = team()
    away = web.get("/sessions/glass-one")
    assert (away.status, away.headers["Location"]) == (303, "/sign-in?then=%2Fsessions%2Fglass-one")
    begun = web.get(away.headers["Location"])
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(begun.headers["Location"]).query))
    assert asked["code_challenge_method"] == "S256"
    assert {"state", "nonce", "code_challenge"} <= set(asked)
    back = web.sign_in("cleo", then="/sessions/glass-one")
    assert (back.status, back.headers["Location"]) == (303, "/sessions/glass-one")
    for cookie in back.headers.get_all("Set-Cookie"):
        assert all(word in cookie for word in ("__Host-", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"))
        assert "Domain" not in cookie
    shown = web.get("/sessions/glass-one")
    assert shown.status == 200
    assert "stuck orders, ticket INC-7" in shown.text
    assert "SELECT * FROM orders" in shown.text
    assert "its computer is laptop" in shown.text


def test_the_lists_are_of_all_computers(team):
    web = team()
    web.sign_in("dan")
    queue, everything = web.get("/").text, web.get("/?state=all").text
    assert re.findall(r'href="sessions/([^"]+)"', queue) == ["glass-two", "glass-one"]
    assert re.findall(r'href="sessions/([^"]+)"', everything) == ["glass-two", "plain-two", "glass-one", "plain-one"]
    assert "No session is like that" in web.get("/?state=all&person=ben").text
    assert "glass-two" in web.get("/?state=all&person=ANA&cluster=Shop").text
    # A reader sees everything and can change nothing.
    assert "Approve" not in web.get("/sessions/glass-one").text


def test_a_search_finds_in_all_sessions_and_goes_on_where_a_page_ends(team, written, database):
    write_session(written / "one", HandClock(600), session="long", statements=120)
    team.arrive(written / "one")
    web = team()
    web.sign_in("dan")
    first = web.get("/search?text=FROM+Orders")
    assert first.text.count("sessions/long") == 100
    link = re.search(r'href="(search\?[^"]*before=[^"]*)"', first.text).group(1).replace("&amp;", "&")
    second = web.get(f"/{link}").text
    assert second.count("sessions/long") == 20
    assert second.count("sessions/glass-one") == 3
    assert "Older" not in second
    assert web.get("/search?ticket=inc-7").text.count("<code>") == 2
    assert web.get("/search?table=orders&until=2026-11-07T00:00").text.count("<code>") == 6
    assert web.get("/search?table=orders&since=2026-11-07T00:01").text.count("<code>") == 100
    assert "No statement is like that" in web.get("/search?text=100%25").text
    assert "is not a time" in web.get("/search?since=soon").text


def test_a_reviewer_reviews_and_nobody_their_own(team):
    cleo, ana, dan = team(), team(), team()
    cleo.sign_in("cleo"), ana.sign_in("ana"), dan.sign_in("dan")

    def said(web, session, act, note):
        page = web.get(f"/sessions/{session}").text
        head = re.search(r'name="head" value="([^"]+)"', page)
        form = {"csrf": web.csrf(), "act": act, "note": note, "head": head.group(1) if head else ""}
        return web.post(f"/sessions/{session}/review", form)

    assert "no reviewer here" in said(dan, "glass-one", "flag", "why?").text
    assert "somebody else than its person" in said(ana, "glass-one", "flag", "mine").text
    assert "has not written its closing note" in said(cleo, "glass-one", "approve", "").text
    assert said(ana, "glass-one", "note", "done with it").status == 303
    assert said(cleo, "glass-one", "approve", "looked at").status == 303
    shown = dan.get("/sessions/glass-one").text
    assert "cleo approve: looked at" in shown
    assert "ana note: done with it" in shown
    assert "glass-one" not in dan.get("/").text
    assert "looked at" in dan.get("/?state=approved").text
    with team.engine.connect() as connection:
        lines = connection.exec_driver_sql("SELECT line FROM safeconsole_reviews ORDER BY number").scalars().all()
    assert len(lines) == 2


def test_a_session_that_went_on_since_it_was_read_is_not_approved(team, written, database):
    journal = write_session(written / "one", HandClock(700), session="going", elevated=True, close=False)
    team.arrive(written / "one")
    web = team()
    web.sign_in("cleo")
    page = web.get("/sessions/going").text
    head = re.search(r'name="head" value="([^"]+)"', page).group(1)
    journal.append(SessionClosed(statements=3))
    journal.close()
    team.arrive(written / "one")
    answer = web.post("/sessions/going/review", {"csrf": web.csrf(), "act": "flag", "note": "?", "head": head})
    assert "has gone on since you read it" in answer.text


@pytest.mark.parametrize("sub", ["eve", "fay"])
def test_who_has_no_role_reads_nothing(team, sub):
    web = team()
    web.sign_in(sub)
    for target in ("/", "/search?text=orders", "/sessions/glass-one", "/timeline"):
        answer = web.get(target)
        assert answer.status == 403
        assert "has no role here" in answer.text
        assert "orders" not in answer.text


def test_a_form_needs_its_token_its_origin_and_its_cookie(team):
    web = team()
    web.sign_in("cleo")
    form = {"csrf": web.csrf(), "act": "flag", "note": "x", "head": ""}
    target = "/sessions/glass-one/review"
    assert web.post(target, {**form, "csrf": "x"}).status == 403
    assert web.post(target, {**form, "csrf": ""}).status == 403
    assert web.post(target, form, Origin="https://elsewhere.example").status == 403
    assert web.post(target, form, **{"Sec-Fetch-Site": "cross-site"}).status == 403
    assert team().post(target, form).status == 403
    # A link in a message leads to a page; a page elsewhere reads none.
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    assert web.get("/sessions/glass-one", **followed).status == 200
    assert web.get("/sessions/glass-one", **{**followed, "Sec-Fetch-Dest": "empty"}).status == 403
    assert web.get("/", Host="other.example").status == 421
    assert web.get("/", **{"X-Forwarded-Host": "other.example"}).status == 200


def test_signing_out_ends_it(team):
    web = team()
    web.sign_in("cleo")
    cookies = dict(web.cookies)
    web.post("/sign-out", {"csrf": web.csrf()})
    web.cookies = cookies
    assert web.get("/").status == 303


@pytest.mark.parametrize("then", ["//elsewhere.example", "https://elsewhere.example/", "/\\elsewhere", "/a\r\nX: y"])
def test_nobody_is_sent_elsewhere_after_signing_in(team, then):
    assert team().sign_in("cleo", then=then).headers["Location"] == "/"


def test_the_answer_to_another_sign_in_lets_nobody_in(team):
    mine, other = team(), team()
    begun = other.get("/sign-in")
    _, headers = opened(begun.headers["Location"], b"sub=cleo")
    back = urllib.parse.urlsplit(headers["Location"])
    # In a browser that began nothing, and in one that began another.
    assert mine.get(f"{back.path}?{back.query}").status == 403
    mine.get("/sign-in")
    assert "not the answer to the sign-in that began here" in mine.get(f"{back.path}?{back.query}").text
    assert other.get(f"{back.path}?{back.query}").status == 303
    # A code counts once.
    other.get("/sign-in")
    assert other.get(f"{back.path}?{back.query}").status == 403


def test_a_line_that_somebody_changed_in_the_database_is_told(team, database):
    changed = sqlalchemy.update(ENTRIES).where(ENTRIES.c.stream == "glass-one", ENTRIES.c.number == 1)
    with team.engine.begin() as connection:
        line = connection.scalar(sqlalchemy.select(ENTRIES.c.line).where(changed.whereclause))
        connection.execute(changed.values(line=line.replace("FROM orders", "FROM others")))
    web = team()
    web.sign_in("dan")
    assert "The journal is invalid: record 1 its text does not match its hash" in web.get("/sessions/glass-one").text
    assert "The journal is invalid" not in web.get("/sessions/glass-two").text


def test_a_line_that_is_missing_puts_a_session_into_the_queue(written, database, issuer):
    engine, _, archive = archive_of(database)
    gone = sqlalchemy.delete(ENTRIES).where(ENTRIES.c.stream == "plain-one", ENTRIES.c.number == 2)
    with engine.begin() as connection:
        connection.execute(gone)
        connection.exec_driver_sql("DELETE FROM safeconsole_streams")
    _, _, archive = archive_of(database)
    assert "record 2" in archive.session("plain-one").summary.trouble
    assert [one.summary.session for one in archive.sessions()[0]] == ["glass-two", "glass-one", "plain-one"]


def test_the_index_can_be_dropped_and_is_made_again(written, database):
    engine, _, archive = archive_of(database)
    before = archive.sessions(state="all"), archive.session("glass-one")
    with engine.begin() as connection:
        for table in ("sessions", "statements", "anchors", "streams"):
            connection.exec_driver_sql(f"DROP TABLE safeconsole_{table}")
    _, _, archive = archive_of(database)
    assert (archive.sessions(state="all"), archive.session("glass-one")) == before


def test_a_session_is_followed_as_it_grows_and_late_lines_are_found(written, database):
    engine, _, archive = archive_of(database)
    now = [2e9]
    indexer = Indexer(engine, now=lambda: now[0])
    indexer.step()
    journal = write_session(written / "one", HandClock(900), session="grows", close=False)
    ship(written / "one", database)
    now[0] += 5
    # Its clock is years behind: only a pass over everything sees it.
    assert indexer.step() == 0
    now[0] += ALL_SECONDS
    assert indexer.step() > 0
    assert archive.session("grows").summary.statements == 3
    journal.append(Noticed(what="more"))
    journal.append(SessionClosed(statements=3))
    journal.close()
    ship(written / "one", database)
    now[0] += ALL_SECONDS
    indexer.step()
    assert archive.session("grows").summary.closed
    assert archive.session("grows").summary.trouble == ""


def test_hostile_text_stays_text(team, written, database):
    hostile = "<script>alert(1)</script>\x00\x1b[31m\u202e'\"&amp;"
    journal = open_journal(written / "one", clock=HandClock(2000), session="hostile")
    journal.append(msgspec.structs.replace(OPENED, person=hostile, cluster=hostile, host=hostile))
    journal.append(asked(1, sql=hostile, tables=(hostile,)))
    journal.append(decided(1, verdict="deny", rules=(hostile,), message=hostile))
    journal.append(ended(1, outcome="refused", message=hostile))
    journal.append(SessionClosed(statements=1))
    journal.close()
    team.arrive(written / "one")
    web = team()
    web.sign_in("dan")
    for target in ("/", "/search?text=script", "/timeline", "/sessions/hostile"):
        page = web.get(target).text
        assert "&lt;script&gt;" in page, target
        assert not [part for part in ("<script>", "\x00", "\x1b", "\u202e") if part in page], target
    policy = web.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_command_serves_counts_and_ends_with_a_signal(tmp_path, issuer, written, database):
    config = tmp_path / "config.toml"
    config.write_text(
        f'[serve]\nurl = "http://localhost:9/team/"\ndatabase = "{database}"\n[serve.sign_in]\nissuer = "{issuer}"\n'
        'client_id = "us"\nclient_secret_variable = "SSO"\n[serve.roles]\nreader = ["eng"]\n'
    )
    command = [sys.executable, "-m", "safeconsole", "--config", str(config), "serve", "--listen", "127.0.0.1:0"]
    environ = {**os.environ, "SSO": "secret"}
    with subprocess.Popen(
        [*command, "--health", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        try:
            said = json.loads(process.stdout.readline())
            server = SimpleNamespace(server_address=("127.0.0.1", int(said["listen"].rpartition(":")[2])))
            web = Web(server, said["url"])
            assert web.get("/").status == 404
            assert web.get("/team/sessions/x").headers["Location"] == "/team/sign-in?then=%2Fteam%2Fsessions%2Fx"
            assert web.get("/team/static/style.css").status == 200
            health = SimpleNamespace(server_address=("127.0.0.1", int(said["health"].rpartition(":")[2])))
            asked = Web(health, "http://anything")
            assert asked.get("/healthz").text == "ok\n"
            deadline = time.monotonic() + 20
            while 'safeconsole_serve_sessions{state="queued"} 2.0' not in asked.get("/metrics").text:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert asked.get("/readyz").status == 200
            assert 'safeconsole_serve_requests_total{status="404"} 1.0' in asked.get("/metrics").text
            assert asked.get("/").status == web.get("/metrics").status == 404
        finally:
            process.send_signal(signal.SIGTERM)
        _, wrong = process.communicate(timeout=20)
    assert (process.returncode, wrong) == (0, "")


@pytest.mark.parametrize(
    ("serve", "options", "said"),
    [
        ("", (), "serve.database is not set"),
        ('database = "sqlite://"', (), "serve.url: '' is no https:// address"),
        ('database = "sqlite://"\nurl = "http://team.example/"', (), "no https:// address"),
        ('database = "x://"\nurl = "https://team.example/"', (), "serve.database: the address cannot be used"),
        ('database = "sqlite://"\nurl = "https://t/"\n[serve.sign_in]\nissuer = "https://i"\nclient_id = "c"', (), "serve.roles is empty"),
        ("", ("--listen", "0.0.0.0:0"), "is beyond this computer"),
        ("session_hours = 0", (), "session_hours is up to 168"),
    ],
)  # fmt: skip
def test_what_is_configured_wrongly_is_one_line(tmp_path, serve, options, said, capsys):
    from safeconsole.app import run

    config = tmp_path / "config.toml"
    config.write_text(f"[serve]\n{serve}\n")
    assert run(["--config", str(config), "serve", "--listen", "127.0.0.1:0", *options], dict(os.environ)) == 2
    assert said in capsys.readouterr().err


def test_the_timeline_has_what_changed_something_or_did_not_simply_run(team, written):
    journal = open_journal(written / "one", clock=HandClock(300), session="day")
    journal.append(msgspec.structs.replace(OPENED, person="ben"))
    for number, (outcome, changed) in enumerate((("done", 0), ("done", 3), ("stopped", 0)), start=1):
        journal.append(asked(number, sql=f"SELECT {number}"))
        journal.append(decided(number))
        journal.append(intent(number, sql=f"SELECT {number}"), durable=True)
        journal.append(ended(number, outcome, changed_rows=changed))
    journal.append(SessionClosed(statements=3))
    journal.close()
    team.arrive(written / "one")
    web = team()
    web.sign_in("dan")
    shown = web.get("/timeline").text
    assert ("SELECT 2" in shown, "SELECT 3" in shown, "SELECT 1" in shown) == (True, True, False)
    assert "<h2>2026-11-07</h2>" in shown
    assert "Nothing that changed anything" in web.get("/timeline?person=ana").text


def test_the_coverage_says_what_each_rule_decided_and_which_never_did(tmp_path, database, issuer):
    clock = HandClock()
    today = time.strftime("%Y-%m-%d", time.gmtime())
    clock.utc = lambda: f"{today}T00:00:{clock.monotonic():09.6f}Z"
    for name in ("one", "two"):
        write_session(tmp_path / "a", clock, session=name, statements=4)
    engine, indexer, archive = archive_of(database, directory=tmp_path / "a")
    indexer.cover()
    indexer.cover()
    with pages(archive, issuer) as (browser, desk):
        server = browser.args[0]
        rules = {"baseline": ("read-on-replica", "never-fired")}
        server.answer = partial(respond, desk=msgspec.structs.replace(desk, rules=lambda: rules))
        web = browser()
        web.sign_in("dan")
        shown = re.sub(r"<[^>]+>", " ", web.get("/coverage").text)
        assert re.search(rf"baseline@c0ffee .*read-on-replica +allow +8 +{today}", shown)
        assert re.search(r"baseline: never +never-fired", shown)
    # What is indexed again is counted again, not twice.
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM safeconsole_streams")
    again = Indexer(engine)
    again.step()
    again.cover()
    assert [each.statements for each in archive.coverage(today)] == [8]
    engine.dispose()


def test_the_fleet_says_sizes_growth_and_leftovers(tmp_path, database, issuer):
    shelf = FileShelf(tmp_path / "capacity")
    for day, rows in (("01", [("shop", "orders", 10, 1 << 30, 0, "")]),
                      ("09", [("shop", "_orders_old", 1, 1 << 20, 0, ""), ("shop", "orders", 10, 3 << 30, 0, "")])):  # fmt: skip
        head = Head(cluster="shop", schema="", server="s", node="n", flavour="mysql", source="statistics",
                    started=f"2026-11-{day}T00:00:00Z", server_time="")  # fmt: skip
        for part in (head, Page(rows), End(f"2026-11-{day}T00:01:00Z", [])):
            shelf.append("shop", "draft", line_of(part))
        shelf.keep("shop", "draft", f"2026-11-{day}")
    clusters = {name: ClusterSettings(nodes=("db1:3306",)) for name in ("shop", "new")}
    overviews = Overviews(shelf, Settings(clusters=clusters))
    overviews.renew()
    shop, new = overviews.rows()
    assert (shop.tables, shop.leftovers, round(shop.days), shop.fastest[0]) == (2, 1, 8, ("shop.orders", 2 << 30))
    assert "there is no capacity report of new" in new.trouble
    engine, _, archive = archive_of(database)
    with pages(archive, issuer) as (browser, desk):
        web = browser()
        web.sign_in("dan")
        assert "capacity.reports names no database" in web.get("/fleet").text
        server = browser.args[0]
        server.answer = partial(respond, desk=msgspec.structs.replace(desk, overviews=overviews))
        shown = re.sub(r"<[^>]+>", " ", web.get("/fleet").text)
        assert re.search(r"shop +2026-11-09 00:00 +2 +3\.0 GiB +\+2\.0 GiB in 8 days +shop\.orders 2\.0 GiB", shown), (
            shown
        )
    engine.dispose()


def test_no_page_reads_or_sorts_a_whole_table(tmp_path):
    """Every query of every page, on the sessions of `benchmarks.serve`: no scan without an index, nothing sorted."""
    engine, _ = open_database(f"sqlite:///{tmp_path}/c.db", setting="x.y", secret_variable="", environ={}, example="")
    benchmark.fill(engine, 300)
    benchmark.index(engine)
    asked_for = []

    @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, context, many):
        asked_for.append((statement, parameters))

    found = benchmark.measured(engine, 300, rounds=1)
    sqlalchemy.event.remove(engine, "before_cursor_execute", note)
    assert len(found) > 15
    plans = {}
    with engine.connect() as connection:
        for statement, parameters in {(each, tuple(given)) for each, given in asked_for if each.startswith("SELECT")}:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans[statement] = [row[3] for row in rows]
    assert len(plans) > 10
    small = ("safeconsole_requests", "safeconsole_answers", "safeconsole_reviews")
    for statement, plan in plans.items():
        for step in plan:
            scans = step.startswith("SCAN ") and "USING" not in step and not any(name in step for name in small)
            assert not scans, (statement, plan)
            sorts = step.startswith("USE TEMP B-TREE") and not any(name in statement for name in small)
            assert not sorts, (statement, plan)
    engine.dispose()


def test_what_the_database_does_not_take_keeps_nothing_else_waiting(written, database):
    engine, _, archive = archive_of(database)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM safeconsole_streams")
        connection.exec_driver_sql("DELETE FROM safeconsole_sessions")
        # As a server refuses what is too long for a column, or cannot be encoded.
        connection.exec_driver_sql(
            "CREATE TRIGGER refuses BEFORE INSERT ON safeconsole_sessions WHEN NEW.session = 'glass-one' "
            "BEGIN SELECT RAISE(ABORT, 'it is not taken'); END"
        )
    indexer = Indexer(engine)
    indexer.step()
    assert indexer.refused == {"glass-one"}
    assert {one.summary.session for one in archive.sessions(state="all")[0]} == {"plain-one", "plain-two", "glass-two"}
    assert Indexing(indexer).behind() == "1 sessions cannot be shown: the database does not take what they hold."
    engine.dispose()
