"""The conformance cases in the tree are those that were made with the published codec, byte for byte."""

import hashlib

from tests.support.published import SMALL_CASES


def test_every_file_has_its_digest():
    lines = (SMALL_CASES / "SHA256SUMS").read_text().splitlines()
    digests = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {str(path.relative_to(SMALL_CASES)) for path in SMALL_CASES.rglob("*") if path.is_file()}
    assert files - digests.keys() == {"README.md", "SHA256SUMS"}
    for name, digest in digests.items():
        assert hashlib.sha256((SMALL_CASES / name).read_bytes()).hexdigest() == digest, name
