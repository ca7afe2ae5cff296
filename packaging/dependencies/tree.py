"""The crates that cargo compiles into the program, as `cargo tree` lists them."""

import argparse
import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
PROGRAM = "music-insights"


@dataclass
class Crate:
    """A crate. `shipped` says that its code is in the program; other crates only help to build it."""

    name: str
    version: str
    licence: str
    repository: str
    folder: Path
    checksum: str | None
    shipped: bool = False
    needs: set[tuple[str, str]] = field(default_factory=set)

    @property
    def key(self):
        return self.name, self.version

    @property
    def purl(self):
        return f"pkg:cargo/{self.name}@{self.version}"


def run(program, *args):
    done = subprocess.run([program, *args], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{program} {args[0]} failed; its message is above")
    return done.stdout


def target():
    """The platform of this machine, such as x86_64-unknown-linux-gnu."""
    lines = run("rustc", "--version", "--verbose").splitlines()
    return next(line.removeprefix("host: ") for line in lines if line.startswith("host: "))


def edges(kinds, packages, features):
    """Yields (depth, name, version) of each line of `cargo tree`."""
    args = ["tree", "--locked", "--target", target(), "--edges", kinds, "--prefix", "depth", "--format", "\t{p}"]
    for package in packages:
        args += ["--package", package]
    if features:
        args += ["--features", features]
    for line in run("cargo", *args).splitlines():
        if line.strip():
            depth, package = line.split("\t")
            name, version = package.split()[:2]
            yield int(depth), name, version.removeprefix("v")


def crates(features=""):
    """Returns the crates of the program by (name, version), the program itself first."""
    packages = [PROGRAM] + (["ballista-scheduler"] if features == "cluster" else [])
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1", "--all-features"))
    described = {(package["name"], package["version"]): package for package in metadata["packages"]}
    locked = tomllib.loads((PROJECT / "Cargo.lock").read_text())["package"]
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    found, parents = {}, []
    for depth, *key in edges("normal,build", packages, features):
        key = tuple(key)
        if key not in found:
            package = described[key]
            found[key] = Crate(
                *key,
                # Old crates separate alternatives with a slash.
                licence=(package["license"] or "").replace("/", " OR "),
                repository=package["repository"] or "",
                folder=Path(package["manifest_path"]).parent,
                checksum=checksums[key],
            )
        parents[depth:] = [key]
        if depth > 0:
            found[parents[depth - 1]].needs.add(key)
    for _, *key in edges("normal,no-proc-macro", packages, features):
        found[tuple(key)].shipped = True
    return found


def arguments(description):
    """The parser of the arguments that all scripts share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--features", default="", help="features of the program, such as `cluster`")
    return parser
