"""Tomogram after tomogram while a cell is cycled, through the wire (rows A10, B1, B12)."""

import pytest

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]
