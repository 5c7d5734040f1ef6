"""Shared by the tests of the reduction."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
