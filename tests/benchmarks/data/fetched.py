"""What is fetched once by the clients of package registries, and kept in a cache folder."""

import os
import subprocess
from pathlib import Path

from tests.benchmarks.timing import Missing


def cache():
    """The folder, which is made if there is none."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sgdkit"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(command, folder, what):
    """What a command prints that is run in a folder; `Missing` where it fails."""
    options = {
        "cwd": folder,
        "check": True,
        "capture_output": True,
        "stdin": subprocess.DEVNULL,
        "text": True,
    }
    try:
        return subprocess.run(command, **options).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing(f"{what}: could not be fetched ({error})") from error


def debian_package(name):
    """Fetch one of Debian's packages, and unpack it in the cache folder."""
    run(["apt-get", "download", name], cache(), f"the package {name}")
    (package,) = cache().glob(f"{name}_*.deb")
    run(["dpkg", "-x", package.name, "."], cache(), f"the package {name}")
    package.unlink()


def npm_package(name):
    """Where the archive of one of npm's packages is, which is fetched if it is not there."""
    if not list(cache().glob(f"{name}-*.tgz")):
        run(["npm", "pack", "--silent", name], cache(), f"npm's package {name}")
    return max(cache().glob(f"{name}-*.tgz"))


def apt_lists():
    """The folder of the lists of all packages and of their English descriptions, beside the system's own lists."""
    folder = cache() / "apt" / "lists"
    if not list(folder.glob("*_Translation-en")):
        (folder / "partial").mkdir(parents=True, exist_ok=True)
        (cache() / "apt" / "cache").mkdir(exist_ok=True)
        options = {
            "Acquire::Languages": "en",
            "Acquire::GzipIndexes": "false",
            "Dir::State::lists": folder,
            "Dir::Cache": cache() / "apt" / "cache",
        }
        command = ["apt-get", "update", "-q", *(f"-o{name}={value}" for name, value in options.items())]
        run(command, cache(), "the descriptions of Debian's packages")
    return folder
