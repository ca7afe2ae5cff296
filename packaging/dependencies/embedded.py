#!/usr/bin/env python3
"""Checks the list of dependencies that `cargo auditable` embeds in a program.

    packaging/dependencies/embedded.py [--features FEATURES] PROGRAM

The list must name every crate of the software bill of materials. It names a few more: cargo-auditable also counts the
features that other crates of the workspace need. `objcopy` (package binutils) reads the list.
"""

import json
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from tree import arguments, crates


def embedded(program):
    """Returns the names and versions in the embedded list."""
    with tempfile.TemporaryDirectory() as folder:
        section = Path(folder, "section")
        subprocess.run(["objcopy", f"--dump-section=.dep-v0={section}", program, "/dev/null"], stderr=subprocess.DEVNULL)
        if not section.exists():
            sys.exit(f"{program}: no embedded list of dependencies; build it with `cargo auditable build`")
        listed = json.loads(zlib.decompress(section.read_bytes()))["packages"]
    return {(crate["name"], crate["version"]) for crate in listed}


def main():
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("program")
    args = parser.parse_args()
    listed = embedded(args.program)
    known = set(crates(args.features))
    if missing := known - listed:
        sys.exit(f"{args.program}: the embedded list of dependencies lacks {sorted(missing)}")
    print(f"{args.program} embeds its {len(known)} crates, and {len(listed - known)} more")



if __name__ == "__main__":
    main()
