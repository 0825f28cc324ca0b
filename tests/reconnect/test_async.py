"""The pattern of docs/reconnect.md for asynchronous engines, as it stands there, through real failovers."""

import asyncio
import importlib
import re
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from safeconsole import reconnect
from tests.harness.clusters import kill, promote
from tests.reconnect.test_promotion import created, stored

PAGE = Path(__file__).parents[2] / "docs" / "reconnect.md"
DRIVERS = ("aiomysql", "asyncmy")


def module_of(driver):
    try:
        return importlib.import_module(driver)
    except ImportError as error:
        pytest.skip(f"{driver} IS NOT INSTALLED, so that the asynchronous pattern is not tested with it: {error}")


def the_pattern():
    (source,) = re.findall(r"<!-- the pattern -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    made = {}
    exec(compile(source, str(PAGE), "exec"), made)
    return made["writing_engine"]


async def requests(engine, numbers, done, failed):
    for number in numbers:
        try:
            async with engine.begin() as connection:
                await connection.execute(text("INSERT INTO acknowledged VALUES (:id)"), {"id": number})
        except (DBAPIError, ConnectionError) as error:
            failed.append((number, str(error).splitlines()[0]))
        else:
            done.append(number)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("flavour", "driver", "end"),
    [("mysql", "aiomysql", "promoted"), ("mariadb", "asyncmy", "promoted"), ("mariadb", "aiomysql", "killed"),
     ("mysql", "asyncmy", "killed")],
)  # fmt: skip
def test_an_asynchronous_application_goes_on_at_the_new_primary(private_cluster, flavour, driver, end):
    module, cluster = module_of(driver), created(private_cluster(flavour, replicas=1))
    nodes = [(node.host, node.port) for node in cluster.nodes]
    done, failed = [], []

    def fail_over():
        if end == "killed":
            kill(cluster.primary)
        promote(cluster, cluster.replicas[0])

    async def application():
        account = "console_elevated"
        engine = the_pattern()(module, nodes, user=account, password=cluster.accounts[account], db="shop")
        try:
            await requests(engine, range(20), done, failed)
            assert not failed
            over = asyncio.ensure_future(asyncio.to_thread(fail_over))
            await requests(engine, range(20, 40), done, failed)
            await over
            during = len(failed)
            await requests(engine, range(40, 60), done, failed)
            # Whoever holds a connection to the demoted server learns it within the second, by one refusal at most.
            assert len(failed) - during <= 1, failed
        finally:
            await engine.dispose()

    asyncio.run(application())
    assert done[-1] == 59
    # What was acknowledged and lost with the killed server is its replication's, not the pool's.
    assert set(stored(cluster)) <= set(done) | {number for number, _ in failed}
    assert len(stored(cluster)) == len(set(stored(cluster)))
    if end == "promoted":
        assert stored(cluster) == done


@pytest.mark.parametrize("driver", DRIVERS)
def test_install_refuses_an_asynchronous_engine_and_names_those_it_takes(driver):
    from sqlalchemy.ext.asyncio import create_async_engine

    module_of(driver)
    engine = create_async_engine(f"mysql+{driver}://u@127.0.0.1/x")
    with pytest.raises(ValueError, match=f"no reconnect for the driver {driver}.*docs/reconnect.md"):
        reconnect.install(engine.sync_engine)
    with pytest.raises(ValueError, match="engine.sync_engine|docs/reconnect.md"):
        reconnect.install(engine)
