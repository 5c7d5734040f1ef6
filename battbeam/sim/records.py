"""This file is where pairs of records are declared: a setting, and its readback that follows it."""

from typing import Any

from caproto import ChannelType
from caproto.server import pvproperty

#: Characters in a path or a message.
_TEXT_LENGTH = 1024


async def follow(group: Any, instance: Any, value: Any) -> Any:
    """Show a setting that was put in its readback."""
    readback = getattr(group, f"{instance.pvspec.attr}_RBV")
    await readback.write(value)
    return value


def setting(value: Any, **kwargs: Any) -> tuple[Any, Any]:
    """A setting and its ``_RBV``."""
    put = kwargs.pop("put", follow)
    return pvproperty(value=value, put=put, **kwargs), pvproperty(
        value=value, read_only=True, **kwargs
    )


def choice(*names: str, **kwargs: Any) -> tuple[Any, Any]:
    """A setting of one of several names, the first at the start, and its ``_RBV``."""
    return setting(names[0], enum_strings=names, dtype=ChannelType.ENUM, **kwargs)


def text(value: str = "", **kwargs: Any) -> tuple[Any, Any]:
    """A long string and its ``_RBV``."""
    return setting(value, dtype=ChannelType.CHAR, max_length=_TEXT_LENGTH, **kwargs)


def shown(value: Any, **kwargs: Any) -> Any:
    """A value that clients only read."""
    return pvproperty(value=value, read_only=True, **kwargs)


def shown_text(value: str = "", **kwargs: Any) -> Any:
    """A long string that clients only read."""
    return shown(value, dtype=ChannelType.CHAR, max_length=_TEXT_LENGTH, **kwargs)


def as_text(value: Any) -> str:
    """A put long string, however the client sent it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").rstrip("\0")
    if isinstance(value, str):
        return value.rstrip("\0")
    return bytes(int(number) for number in value).decode("utf-8", errors="replace").rstrip("\0")
