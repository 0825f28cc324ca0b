"""docs/analysis.md says what the data says."""

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.vocabulary import CostClass, Flavour
from safeconsole.dialects.settings import HARMLESS_SETTINGS, SESSION_VARIABLES, Ruling
from tests.sqltext.analysis_page import LIMITS_BLOCKS, LIMITS_PAGE, PAGE, rendered


def test_the_page_is_made_from_the_data():
    page = PAGE.read_text(encoding="utf-8")
    assert rendered(page) == page, "run: python -m tests.sqltext.analysis_page"


def test_the_page_names_every_danger_of_an_object():
    page = PAGE.read_text(encoding="utf-8")
    for flavour in Flavour:
        for row in DIALECTS[flavour].catalogue.objects:
            assert row.id in page


def test_every_cost_class_is_explained():
    page = PAGE.read_text(encoding="utf-8")
    for cost in CostClass:
        assert f"`{cost.value}`" in page


def test_the_table_of_session_variables_is_made_from_the_data():
    page = LIMITS_PAGE.read_text(encoding="utf-8")
    assert rendered(page, LIMITS_BLOCKS) == page, "run: python -m tests.sqltext.analysis_page"


def test_each_session_variable_is_decided_once_and_none_that_is_owned_may_be_set():
    names = [name for row in SESSION_VARIABLES for name in row.names]
    assert len(names) == len(set(names))
    owned = {name for row in SESSION_VARIABLES if row.ruling is Ruling.OWNED for name in row.names}
    assert not owned & HARMLESS_SETTINGS
    assert set(names) >= HARMLESS_SETTINGS
