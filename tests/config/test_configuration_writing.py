"""A cluster is added to a configuration: the rest of the file stays, and what is wrong writes nothing."""

import os
import stat
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.config.loading import load_settings
from safeconsole.config.writing import add_cluster
from safeconsole.errors import ConfigurationError
from safeconsole.config.settings import Accounts, ClusterSettings, TlsSettings

SHOP = ClusterSettings(
    nodes=("10.0.0.5:3306", "[::1]:3306"),
    schema="shop",
    names={"10.0.0.5:3306": "first"},
    accounts=Accounts(read="r", elevated="e"),
    tls=TlsSettings(mode="verify-ca"),
)


@pytest.fixture
def home(tmp_path):
    return {"HOME": str(tmp_path)}


@pytest.fixture
def nowhere(tmp_path):
    return tmp_path / "no-system.toml"


def test_what_is_written_is_what_is_read(home, nowhere):
    file = add_cluster(None, home, "shop", SHOP, system=nowhere)
    assert load_settings(None, home, system=nowhere).clusters == {"shop": SHOP}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_stood_there_stays_as_it_was_written(home, nowhere, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('# mine\n[clusters.old]\nnodes = ["a:1"]   # kept\n[limits]\nrun_seconds = 5')
    own.chmod(0o640)
    before = own.read_text()
    add_cluster(str(own), home, "shop", SHOP, system=nowhere)
    assert own.read_text().startswith(before)
    assert set(load_settings(str(own), home, system=nowhere).clusters) == {"old", "shop"}
    assert stat.S_IMODE(own.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["own.toml"]


@pytest.mark.parametrize(
    "name, text, cluster",
    [
        ("old", '[clusters.old]\nnodes = ["a:1"]\n', SHOP),
        ("shop", 'clusters = { old = { nodes = ["a:1"] } }\n', SHOP),
        ("shop", "nonsense = 1\n", SHOP),
        ("shop", "[[[\n", SHOP),
        ("two words", "", SHOP),
        ("shop", "", ClusterSettings(nodes=())),
    ],
)
def test_what_is_wrong_writes_nothing(home, nowhere, tmp_path, name, text, cluster):
    own = tmp_path / "own.toml"
    own.write_text(text)
    with pytest.raises(ConfigurationError):
        add_cluster(str(own), home, name, cluster, system=nowhere)
    assert own.read_text() == text
    assert os.listdir(tmp_path) == ["own.toml"]


@pytest.mark.parametrize("says", ["locked = true\n", '[clusters.shop]\nnodes = ["a:1"]\n'])
def test_the_systems_file_wins(home, tmp_path, says):
    system, own = tmp_path / "system.toml", tmp_path / "own.toml"
    system.write_text(says)
    with pytest.raises(ConfigurationError):
        add_cluster(str(own), home, "shop", SHOP, system=system)
    assert not own.exists()


@given(
    schema=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=20),
    name=st.from_regex(r"\A[0-9A-Za-z_][0-9A-Za-z_.-]{0,8}\Z"),
)
def test_any_text_is_written_so_that_it_is_read_back(tmp_path_factory, schema, name):
    folder = tmp_path_factory.mktemp("written")
    cluster = ClusterSettings(nodes=("a:1",), schema=schema)
    file = add_cluster(str(folder / "c.toml"), {"HOME": str(folder)}, name, cluster, system=folder / "none")
    assert tomllib.loads(file.read_text()) == {
        "clusters": {name: {"nodes": ["a:1"], **({"schema": schema} if schema else {})}}
    }
