"""A plugin of MariaDB that is in its server's package, and not in the one that the tests run from."""

import shutil
import tempfile
from pathlib import Path

from safeconsole.demo import archives
from safeconsole.demo.binaries import ServersUnavailableError, exclusive, servers_directory

NAME = "metadata_lock_info.so"


def metadata_lock_info(version):
    """
    Return the directory of the plugin METADATA_LOCK_INFO, fetched into the cache if needed.

    Args:
        version: the server's: a plugin is loaded by its own release alone.
    """
    release = version.partition("-")[0]
    directory = servers_directory()
    tree = directory / f"plugins-{release}"
    with exclusive(directory / "plugins.lock"):
        if not tree.is_dir():
            _fetch(directory, tree, release)
    return tree


def _fetch(directory, tree, release):
    distribution = archives.read_distribution()
    partial = Path(tempfile.mkdtemp(prefix=".partial-plugins-", dir=directory))
    try:
        for archive in archives.machine_archives(distribution):
            found = archives.PackageArchive(uri=archive.uri, suite="bookworm", components=("main",))
            got = archives.unpack_package(
                ("mariadb-server",), archive=found, keyring_of=distribution.identifier, into=partial, alone=True
            )
            if release not in got:
                raise ServersUnavailableError(f"the archive has {got} alone", f"a server of release {got}")
            (partial / "tree/usr/lib/mysql/plugin").rename(tree)
            return
        raise ServersUnavailableError("no archive of this machine has MariaDB's plugins", "install mariadb-server")
    except archives.ArchiveError as error:
        raise ServersUnavailableError(f"no plugins of MariaDB: {error}", "install mariadb-server") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
