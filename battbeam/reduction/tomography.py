"""This file is where the frames of a tomogram become a volume."""

from battbeam.reduction.projections import Projections
from battbeam.reduction.tomography_result import (
    TomographyOptions,
    TomographyPreview,
    TomographyResult,
)

__all__ = ["Projections", "TomographyOptions", "TomographyPreview", "TomographyResult"]
