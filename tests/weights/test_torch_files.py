"""Files of torch.save that ask for far more time or memory than they are long."""

import zipfile
from pathlib import Path

import pytest
import torch

from dcvc_cli.preparing.checkpoints import CheckpointError, read_checkpoint


def pickled_key(depth: int) -> bytes:
    """Makes a dictionary with one key: a tuple of the tuple below it and that tuple again, so often."""
    levels = b"".join(b"q" + bytes([number]) + b"h" + bytes([number]) + b"\x86" for number in range(depth))
    return b"\x80\x02}" + b"X\x01\0\0\0a" + b"\x85" + levels + b"K\x01s."


@pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "plain"])
def test_checkpoint_whose_key_takes_for_ever_to_hash(tmp_path: Path, is_archive: bool) -> None:
    path = tmp_path / "image.pth.tar"
    for depth, words in ((60, "tuples within tuples"), (3, "expected a tensor under a name")):
        if is_archive:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a/data.pkl", pickled_key(depth))
                archive.writestr("a/version", "3")
                archive.writestr("a/byteorder", "little")
        elif depth == 60:
            path.write_bytes(pickled_key(depth))
        else:
            continue
        with pytest.raises(CheckpointError, match=words):
            read_checkpoint(path)


def test_checkpoint_whose_parts_are_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "image.pth.tar"
    torch.save({str(number): torch.full((1 << 10,), float(number)) for number in range(8)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        stored = {part.filename.split("/", 1)[1]: part for part in archive.infolist()}
        for number in range(1, 8):
            stored[f"data/{number}"].header_offset = stored["data/0"].header_offset
            stored[f"data/{number}"].file_size = path.stat().st_size // 2
        archive.comment = b"so that the directory is written anew"
    with pytest.raises(CheckpointError, match="its parts overlap"):
        read_checkpoint(path)


@pytest.mark.parametrize("text", ["hi", "g", "#!/bin/sh\nexit\n", "h\xe9llo", "}", "(", "cos\nsystem\n", "]r", "j"])
def test_text_is_no_checkpoint(tmp_path: Path, text: str) -> None:
    """The loader takes its letters for orders and fails with words that mean nothing to people, such as "105"."""
    path = tmp_path / "image.pth.tar"
    path.write_text(text)
    with pytest.raises(CheckpointError, match="safe loader: it holds something other than tensors and plain values"):
        read_checkpoint(path)
