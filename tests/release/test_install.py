"""The package as a stranger installs it: built, put into an environment of its own without the extras, and used."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BARE = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


def run(*words, cwd, env, **more):
    return subprocess.run(words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    place = tmp_path_factory.mktemp("wheel")
    pip = (
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "-w",
        str(place),
    )
    made = run(*pip, str(ROOT), cwd=place, env=os.environ)
    if made.returncode:
        message = f"no wheel can be built here: {made.stderr.strip().splitlines()[-1:]}"
        pytest.fail(message) if os.environ.get("SAFECONSOLE_REQUIRE_SERVERS") == "1" else pytest.skip(message)
    return next(place.glob("*.whl"))


def test_the_wheel_holds_the_program_the_policies_and_the_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"safeconsole/_policies/baseline.yaml", "safeconsole/web/style.css", "safeconsole/py.typed"} <= set(names)
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert not [name for name in names if name.startswith("tests/")]


def test_an_installation_without_extras_walks_the_whole_tour(wheel, tmp_path):
    home = {**BARE, "HOME": str(tmp_path)}
    run(sys.executable, "-m", "venv", str(tmp_path / "env"), cwd=tmp_path, env=BARE, check=True)
    pip = (
        str(tmp_path / "env/bin/python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        str(wheel),
    )
    run(*pip, cwd=tmp_path, env=os.environ, check=True)
    program = str(tmp_path / "env/bin/safeconsole")
    tour = run(program, "demo", cwd=tmp_path, env=home)
    assert (tour.returncode, "The tour is over" in tour.stdout + tour.stderr) == (0, True), tour.stderr
    assert run(program, "--version", cwd=tmp_path, env=home).stdout.startswith("safeconsole, version ")
    assert "safeconsole" in run(program, "completion", "bash", cwd=tmp_path, env=home).stdout
    assert ".TH" in run(program, "man", cwd=tmp_path, env=home).stdout
