"""This file is where a log that was divided for its size is read as one.

``log.jsonl`` goes on in ``log.0001.jsonl``, that in ``log.0002.jsonl``. Once the next part is there
a part does not grow any more, no line is divided, and bytes count through all of them: what was read
up to an offset stays read.
"""

from collections.abc import Iterator
from pathlib import Path


def part(path: Path, number: int) -> Path:
    """One part of a log.

    >>> part(Path("guard/log.jsonl"), 3).name
    'log.0003.jsonl'
    """
    return path if number == 0 else path.with_name(f"{path.stem}.{number:04d}{path.suffix}")


def parts(path: Path) -> list[Path]:
    """The parts that are there, in order; empty where there is no log."""
    return list(_existing(path))


def _existing(path: Path) -> Iterator[Path]:
    number = 0
    while (each := part(path, number)).exists():
        yield each
        number += 1


def read_block(path: Path, offset: int, size: int) -> bytes:
    """Bytes from an offset on, of one part, at least a whole line where there is one.

    Args:
        path: Of the first part.
        offset: Counted through all parts.
        size: Bytes that are wanted.

    Raises:
        OSError: If a part cannot be read, or there is none.
        ValueError: If the log is shorter than the offset.
    """
    end = 0
    for each in parts(path) or [path]:
        begin, end = end, end + each.stat().st_size
        if offset < end:
            with each.open("rb") as file:
                file.seek(offset - begin)
                block = file.read(min(size, end - offset))
                return block + file.readline() if block and b"\n" not in block else block
    if offset > end:
        raise ValueError(f"{path} became shorter: {offset} bytes had been read")
    return b""
