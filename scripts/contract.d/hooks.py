"""Bodies that schemathesis knows no way to write: as the bytes they are, or as JSON text."""

import json

import schemathesis


@schemathesis.serializer("application/x-protobuf", "application/x-ndjson")
def as_bytes(_context, value):
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode()
