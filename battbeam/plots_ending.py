"""This file is where a picture is given its title and written."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def written(figure: "Figure", path: Path, title: str, size: float) -> Path:
    """Write a figure with its title, if it has one; its path.

    Args:
        figure: Drawn without pyplot, which would keep it.
        path: .png or .pdf; its directory is made.
        title: Above it, or empty.
        size: Of the title, points.
    """
    if title:
        figure.suptitle(title, fontsize=size)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
