"""What needs a sensor that SQLite has not is not sent; what it has is enough."""

import pytest

from safeconsole.errors import UnreachableError
from safeconsole.policy.watchdog import SensorName


@pytest.mark.parametrize("sensor", [SensorName.OPENED_TABLES, SensorName.THREADS_RUNNING])
def test_a_sensor_that_sqlite_has_not_refuses_what_needs_it(talk, sensor):
    connection = talk.open()
    with pytest.raises(UnreachableError, match=f"sqlite tells no {sensor}.*nothing was sent") as caught:
        talk.send(connection, "SELECT 1", sensors=(sensor,))
    assert "node.flavour != 'sqlite'" in caught.value.instead
    assert talk.rows(connection, "SELECT 1") == [(1,)]


def test_a_sensor_that_it_has_is_enough(talk):
    assert talk.rows(talk.open(), "SELECT 1", sensors=(SensorName.FREE_MEMORY,)) == [(1,)]
