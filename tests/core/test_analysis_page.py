"""docs/analysis.md says what the data says."""

from safeconsole.core.vocabulary import CostClass, Flavour
from safeconsole.core.hazards import CATALOGUES
from tests.core.analysis_page import PAGE, rendered


def test_the_page_is_made_from_the_data():
    page = PAGE.read_text(encoding="utf-8")
    assert rendered(page) == page, "run: python -m tests.core.analysis_page"


def test_the_page_names_every_danger_of_an_object():
    page = PAGE.read_text(encoding="utf-8")
    for flavour in Flavour:
        for row in CATALOGUES[flavour].objects:
            assert row.id in page


def test_every_cost_class_is_explained():
    page = PAGE.read_text(encoding="utf-8")
    for cost in CostClass:
        assert f"`{cost.value}`" in page
