"""This file is where the counts of a scan through an absorption edge become an edge position and a
valence.
"""

from battbeam.reduction.spectrum import Spectrum
from battbeam.reduction.xanes_result import Standard, XanesOptions, XanesResult

__all__ = ["Spectrum", "Standard", "XanesOptions", "XanesReducer", "XanesResult"]


class XanesReducer:
    """Reduces spectra of one edge; made once a run, used for every spectrum in their order.

    Without stored curves the first spectrum that can be used sets the foil's and the edge's: it is
    measured against nothing but itself, and all others against it.

    Args:
        options: See `XanesOptions`.
        element: Absorbing, as "Ni".
        edge: As "K".

    Raises:
        ReductionError: If the edge is not known.
    """

    def __init__(self, options: XanesOptions, element: str, edge: str) -> None:
        self.options, self.element, self.edge = options, element, edge

    def reduce(self, spectrum: Spectrum) -> XanesResult:
        """One spectrum, calibrated, normalized and compared with the standards.

        What cannot be trusted is NaN, and the result says why; this raises nothing.
        """
        raise NotImplementedError
