#!/usr/bin/env python3
"""Prints the licence texts of all crates in the program. Crates with the same text share it.

Some crates name a licence but contain no text. They get the standard text from packaging/licences.
"""

import re
import sys
from pathlib import Path

from tree import PROGRAM, PROJECT, arguments, crates

STANDARD = PROJECT / "packaging" / "licences"
# Files with these names are licences, wherever they are in a crate: libraries in C have folders of their own.
NAME = re.compile(r"^(un)?(licen[cs]e|copying|copyright|notice)([-._].*)?$", re.IGNORECASE)
NOT_A_TEXT = {".rs", ".py", ".toml", ".json", ".html", ".sh"}


def texts_of(crate):
    """Returns the licence texts in the folder of a crate, or the standard texts."""
    paths = sorted(path for path in crate.folder.rglob("*") if NAME.match(path.name) and path.is_file())
    texts = [path.read_text(errors="replace") for path in paths if path.suffix not in NOT_A_TEXT]
    if texts:
        return texts
    names = sorted(re.findall(r"[A-Za-z0-9.+-]+", re.sub(r"\b(OR|AND|WITH)\b", " ", crate.licence)))
    texts = [(STANDARD / f"{name}.txt").read_text() for name in names if (STANDARD / f"{name}.txt").exists()]
    alternatives = " OR " in crate.licence
    if not texts or (not alternatives and len(texts) < len(names)):
        sys.exit(
            f"{crate.name} {crate.version}: no text of its licence {crate.licence!r}; "
            f"add the standard text to {STANDARD.relative_to(PROJECT)}"
        )
    return texts[:1] if alternatives else texts


def tidy(text):
    """The text without differences that have no meaning: line ends, spaces at the end, blank lines around it."""
    return "\n".join(line.rstrip() for line in text.strip("\ufeff\r\n ").splitlines())


def main():
    found = crates(arguments(__doc__).parse_args().features)
    owners = {}
    for crate in sorted(found.values(), key=lambda crate: crate.key):
        # `cargo tree` lists members of the workspace, too. Their licence is the file LICENSE.
        if crate.checksum and crate.name != PROGRAM:
            for text in map(tidy, texts_of(crate)):
                owners.setdefault(text, []).append(f"{crate.name} {crate.version} ({crate.licence})")
    print(f"{PROGRAM} contains the following libraries under the following licences, and the standard library of")
    print("Rust (MIT OR Apache-2.0; https://github.com/rust-lang/rust/blob/main/COPYRIGHT).")
    for text, names in sorted(owners.items(), key=lambda item: (-len(set(item[1])), item)):
        print("\n" + "=" * 100 + "\n" + "\n".join(dict.fromkeys(names)) + "\n" + "-" * 100 + "\n\n" + text)


if __name__ == "__main__":
    main()
