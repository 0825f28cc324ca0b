"""A small part of the proof against real servers, always run where there are servers."""

import pytest

from safeconsole.demo.archives import ArchiveError
from safeconsole.demo.binaries import ServersUnavailableError
from tests.differential.effects import measure
from tests.differential.native_functions import differences, native_functions

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_no_statement_called_a_read_has_an_effect(flavour):
    try:
        tally = measure(flavour, statements=300, seed=4)
    except (ServersUnavailableError, ArchiveError) as error:
        pytest.skip(str(error))
    assert tally.executed >= 300
    assert tally.missed == []
    # The sample is small, so one test file full of stored functions weighs much; the published figure is of a large one.
    assert len(tally.refused) < tally.executed * 0.1


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_the_shipped_functions_are_those_of_the_server(flavour):
    try:
        _, native, callable_words = native_functions(flavour)
    except ServersUnavailableError as error:
        pytest.skip(str(error))
    assert len(native) > 300
    assert differences(flavour, native) == ([], [])
    assert callable_words == []
