#!/usr/bin/env python3
"""Checks the list of dependencies that `cargo auditable` embeds in a program.

    packaging/dependencies/embedded.py [--features FEATURES] PROGRAM

The list must name the same crates as the software bill of materials. `objcopy` (package binutils) reads it.
"""

import json
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from tree import arguments, crates


def embedded(program):
    """Returns the embedded list, as (name, version, whether the crate only helps to build)."""
    with tempfile.TemporaryDirectory() as folder:
        section = Path(folder, "section")
        subprocess.run(["objcopy", f"--dump-section=.dep-v0={section}", program, "/dev/null"], stderr=subprocess.DEVNULL)
        if not section.exists():
            sys.exit(f"{program}: no embedded list of dependencies; build it with `cargo auditable build`")
        listed = json.loads(zlib.decompress(section.read_bytes()))["packages"]
    return {(crate["name"], crate["version"], crate.get("kind") == "build") for crate in listed}


def main():
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("program")
    args = parser.parse_args()
    listed = embedded(args.program)
    known = {(*crate.key, not crate.shipped) for crate in crates(args.features).values()}
    if listed != known:
        for sign, difference in (("-", known - listed), ("+", listed - known)):
            for crate in sorted(difference):
                print(sign, *crate, file=sys.stderr)
        sys.exit(f"{args.program}: the embedded list of dependencies differs from `cargo tree`")
    print(f"{args.program} embeds its {len(listed)} crates")


if __name__ == "__main__":
    main()
