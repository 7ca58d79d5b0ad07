"""Where the published codec's conformance cases lie: small ones in the tree, all of them in a folder that the
environment names."""

import os

from tests.support.processes import ROOT

SMALL_CASES = ROOT / "tests" / "data" / "conformance"
"""Cases that every clone has."""
CONFORMANCE = type(SMALL_CASES)(os.environ.get("DCVC_CONFORMANCE", SMALL_CASES))
"""The cases that tests run: those of the tree unless DCVC_CONFORMANCE names a folder."""
FAMILY_CASES = ROOT / "tests" / "data" / "conformance-family"
"""Small cases of the other families, a folder each."""
RUNS_ALL_CASES = bool(os.environ.get("DCVC_ALL_CASES"))
"""DCVC_ALL_CASES=1: every case of that folder, which takes many minutes."""
