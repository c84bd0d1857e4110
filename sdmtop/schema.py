"""The JSON Schema of contract 2, generated from the model: `python -m sdmtop.schema`."""

import json
import sys

import msgspec

from sdmtop.model import Snapshot


def schema_text() -> str:
    """The schema as checked in at `docs/snapshot.schema.json`."""
    schema = msgspec.json.schema(Snapshot)
    return (
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2)
        + "\n"
    )


if __name__ == "__main__":
    sys.stdout.write(schema_text())
