"""This file is where a picture is given its title, and written."""

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Width of a letter over the size of its font; DejaVu Sans has 0.5 to 0.6 in running text.
_LETTER = 0.6


def in_lines(text: str, *, width: float, size: float) -> str:
    """A text in as many lines as it takes.

    Args:
        text: A title or a name.
        width: That a line may have, inch.
        size: Of the font, points.
    """
    return textwrap.fill(text, max(int(72 * width / (_LETTER * size)), 1))


def legend_of(panels: "Iterable[Axes]") -> "dict[str, Artist]":
    """What one legend for several axes holds: by name, each name once."""
    known = [each.get_legend_handles_labels() for each in panels]
    return {name: drawn for each in known for drawn, name in zip(*each, strict=True)}


def titled(figure: "Figure", title: str, size: float) -> None:
    """Give a figure its title, if it has one; a long one has several lines."""
    if title:
        width = float(figure.get_size_inches()[0])
        figure.suptitle(in_lines(title, width=width, size=size), fontsize=size)


def written(figure: "Figure", path: Path, title: str, size: float) -> Path:
    """Write a figure with its title, if it has one; its path.

    Args:
        figure: Drawn without pyplot, which would keep it.
        path: .png or .pdf; its directory is made.
        title: Above it, or empty.
        size: Of the title, points.
    """
    titled(figure, title, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
