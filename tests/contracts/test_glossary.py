"""docs/glossary.md: one row a word, in order, and every word is one that dcvc uses."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in GLOSSARY.read_text(encoding="utf-8").splitlines()[2:]
    if line.startswith("| ") and not line.startswith("| word |")
]
TERMS = [re.sub(r" \(.*\)", "", term) for row in ROWS for term in row[0].split(", ")]
"""Every spelling of every word."""


@cache
def everything_else() -> str:
    """Joins living documents and the sources of the package in one string."""
    documents = [*ROOT.glob("*.md"), *(path for path in (ROOT / "docs").glob("*.md") if path != GLOSSARY)]
    sources = [*(ROOT / "dcvc_cli").rglob("*.py"), *(ROOT / "kernels").rglob("*.[ch]pp")]
    return "\n".join(path.read_text(encoding="utf-8") for path in (*documents, *sources)).lower()


def test_rows_are_in_order_and_have_three_cells():
    words = [row[0].lower() for row in ROWS]
    assert len(words) > 50
    assert words == sorted(set(words))
    assert [row for row in ROWS if len(row) != 3 or not all(row)] == []


@pytest.mark.parametrize("term", TERMS)
def test_every_word_is_used(term: str):
    assert re.search(rf"\b{re.escape(term.lower())}", everything_else()), f"nothing else says {term!r}"


def test_words_that_the_page_on_motion_introduces_have_rows():
    """They stand in italics there; a row may have another form of the word, with the same first letters."""
    text = re.sub(r"`[^`]*`|^    .*$", "", (ROOT / "docs" / "motion.md").read_text(encoding="utf-8"), flags=re.M)
    introduced = {word.lower() for word in re.findall(r"(?<!\*)\*([A-Za-z][A-Za-z -]*)\*(?!\*)", text)}
    assert introduced >= {"blend", "track", "kept", "followed", "long-term reference"}
    assert [word for word in introduced if not any(term.lower().startswith(word[:4]) for term in TERMS)] == []
