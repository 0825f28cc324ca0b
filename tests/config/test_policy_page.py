"""The configuration that docs/policy.md shows is one."""

import re
from pathlib import Path

from safeconsole.config.loading import load_settings
from safeconsole.approvals.notices import open_notices

PAGE = Path(__file__).resolve().parents[2] / "docs" / "policy.md"


def test_the_sample_is_read_and_says_what_the_page_says(tmp_path):
    found = re.search(
        r"<!-- sample -->\n```toml\n(.*?)```\n<!-- /sample -->", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    config = tmp_path / "config.toml"
    config.write_text(found[1])
    settings = load_settings(str(config), {"HOME": str(tmp_path)}, system=tmp_path / "none.toml")
    assert settings.clusters["shop"].policy == "strict"
    assert sorted(settings.approvals.approvers) == ["ann", "ben"]
    assert settings.approvals.directory == "/srv/safeconsole/approvals"
    assert open_notices(tmp_path, settings.notices, {"SAFECONSOLE_HOOK": "x"}) is not None
