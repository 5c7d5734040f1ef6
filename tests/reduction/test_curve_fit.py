from functools import partial

import numpy as np
import pytest
from pulls import assert_honest
from scipy.optimize import least_squares

from battbeam.errors import ReductionError
from battbeam.reduction import curve_fit
from battbeam.reduction.curve_fit import fit_curve

AT = np.linspace(-1, 1, 25)


def line(parameters):
    return parameters[0] + parameters[1] * AT


def test_a_line_has_the_closed_forms_parameters_and_covariance():
    rng = np.random.default_rng(1)
    sigma = 0.05 + 0.1 * rng.random(len(AT))
    values = 2 - 3 * AT + sigma * rng.normal(size=len(AT))
    fit = fit_curve(line, np.zeros(2), values, sigma)
    columns = np.column_stack([np.ones_like(AT), AT]) / sigma[:, None]
    covariance = np.linalg.inv(columns.T @ columns)
    assert fit.parameters == pytest.approx(covariance @ columns.T @ (values / sigma), rel=1e-6)
    assert fit.covariance == pytest.approx(covariance, rel=1e-5)
    assert fit.variance_of(np.array([1.0, 2.0])) == pytest.approx(
        np.array([1, 2]) @ covariance @ [1, 2], rel=1e-5
    )


@pytest.mark.parametrize("known", [True, False])
def test_errors_are_honest_whether_the_noise_is_known_or_not(known):
    pulls = []
    for seed in range(300):
        values = 2 - 3 * AT + 0.2 * np.random.default_rng(seed).normal(size=len(AT))
        fit = fit_curve(line, np.zeros(2), values, 0.2 if known else None)
        pulls.append((fit.parameters[1] + 3) / fit.errors[1])
    assert_honest(pulls)


def test_given_derivatives_lead_to_the_same_fit_in_fewer_steps():
    def bell(parameters):
        calls.append(parameters)
        area, place, width = parameters
        return area * np.exp(-(((AT - place) / width) ** 2))

    def by_parameters(parameters):
        area, place, width = parameters
        u, shape = (AT - place) / width, bell(parameters) / area
        return np.column_stack(
            [shape, area * shape * 2 * u / width, area * shape * 2 * u**2 / width]
        )

    calls = []
    values = bell((3.0, 0.1, 0.4)) + np.random.default_rng(1).normal(0, 0.02, len(AT))
    fits, costs = [], []
    for derivatives in (None, by_parameters):
        calls = []
        fits.append(
            fit_curve(bell, np.array([2.0, 0.0, 0.5]), values, 0.02, derivatives=derivatives)
        )
        costs.append(len(calls))
    assert fits[1].parameters == pytest.approx(fits[0].parameters, rel=1e-5)
    assert fits[1].covariance == pytest.approx(fits[0].covariance, rel=1e-3)
    assert costs[1] < costs[0]


def test_too_few_values_and_values_without_errors_are_refused():
    with pytest.raises(ReductionError, match="1 values cannot say 2 parameters"):
        fit_curve(lambda p: line(p)[:1], np.zeros(2), np.ones(1), 0.1)
    with pytest.raises(ReductionError, match="must be finite, errors greater than 0"):
        fit_curve(line, np.zeros(2), np.ones(25), 0.0)


def test_a_fit_that_does_not_settle_says_so(monkeypatch):
    monkeypatch.setattr(curve_fit, "least_squares", partial(least_squares, max_nfev=2))
    with pytest.raises(ReductionError, match="did not settle"):
        fit_curve(lambda p: np.exp(line(p) ** 2), np.array([2.0, 1.0]), np.ones(25), 0.1)
