"""SQLAlchemy's own compliance suite on the guarded interface: what is left out stands in `guarded_requirements`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from safeconsole.demo.binaries import FLAVOURS
from tests.harness.desk import demo_configuration

ROOT = Path(__file__).resolve().parents[2]
SUITE = Path(__file__).resolve().parent / "sqlalchemy_suite"
FEWEST_PASSED = 500


@pytest.mark.timeout(900)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_dialect_passes_what_is_not_refused(flavour, private_cluster, tmp_path):
    """As a process of its own: the suite's plug-in takes over the whole of pytest."""
    cluster = private_cluster(flavour, replicas=1)
    config = demo_configuration(cluster, tmp_path)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "guarded_plugin", "-p", "no:cacheprovider", "-c", "setup.cfg", "--rootdir", ".",
         "--dburi", "mysql+guardedsuite://", "-q", "--tb=short", "suite_of_sqlalchemy.py"],
        cwd=SUITE, capture_output=True, text=True, timeout=840, check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SUITE}", "HOME": str(tmp_path),
             "SAFECONSOLE_SUITE_CONFIG": str(config), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    summary = ended.stdout.strip().splitlines()[-1]
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", summary)[1]) >= FEWEST_PASSED, summary
