#!/usr/bin/env python3
"""Prints a software bill of materials (CycloneDX 1.6, JSON) of the program.

The same sources give the same bytes: the time comes from SOURCE_DATE_EPOCH, and the serial number from the content.
"""

import json
import os
import uuid
from datetime import datetime, timezone

from tree import PROGRAM, arguments, crates


def component(crate):
    described = {
        "type": "library",
        "bom-ref": crate.purl,
        "name": crate.name,
        "version": crate.version,
        # Crates that only help to build the program are not part of it.
        "scope": "required" if crate.shipped else "excluded",
        "purl": crate.purl,
    }
    if crate.licence:
        described["licenses"] = [{"expression": crate.licence}]
    if crate.checksum:
        described["hashes"] = [{"alg": "SHA-256", "content": crate.checksum}]
    if crate.repository:
        described["externalReferences"] = [{"type": "vcs", "url": crate.repository}]
    return described


def sbom(found):
    program = next(crate for crate in found.values() if crate.name == PROGRAM)
    others = sorted((crate for crate in found.values() if crate is not program), key=lambda crate: crate.key)
    root = component(program) | {"type": "application"}
    del root["scope"]
    time = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), timezone.utc)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": root},
        "components": [component(crate) for crate in others],
        "dependencies": [
            {"ref": crate.purl, "dependsOn": sorted(found[key].purl for key in crate.needs)}
            for crate in [program, *others]
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json"} | document | {"serialNumber": f"urn:uuid:{serial}"}


if __name__ == "__main__":
    print(json.dumps(sbom(crates(arguments(__doc__).parse_args().features)), indent=1, ensure_ascii=False))
