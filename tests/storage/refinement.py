"""A refinement by cryspy, which shares nothing with battbeam, of a pattern that battbeam exported."""

import itertools
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from scipy.optimize import least_squares

_KNOTS = 7
_WIDTHS = (0.02, 0.0055, 0.01, 0.02)  # U, W, X, Y of Thompson, Cox and Hastings; V is 0


def _cif(structure, edges):
    """Of a structure; its occupancies and B are its own."""
    lattice = structure.lattice
    a, c = edges[0], edges[-1]
    symbol, _, setting = structure.space_group.partition(":")
    lines = [f"data_{structure.name.lower()}"]
    lines += [f"_cell_angle_{name} {getattr(lattice, name)}" for name in ("alpha", "beta", "gamma")]
    lines += [f"_cell_length_a {a}()", f"_cell_length_b {a}", f"_cell_length_c {c}()"]
    if setting:
        lines.append(f"_space_group_it_coordinate_system_code {setting.lower()}")
    lines.append(f'_space_group_name_H-M_alt "{symbol}"')
    keys = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "adp_type")
    lines += ["loop_", *(f"_atom_site_{key}" for key in (*keys, "B_iso_or_equiv"))]
    for n, site in enumerate(structure.sites):
        place = " ".join(f"{each:.6f}" for each in site.position)
        b = 8 * np.pi**2 * site.u_iso
        lines.append(f"{site.element}{n} {site.element} {place} {site.occupancy:.5f} Biso {b:.5f}")
    return lines


def _experiment(structures, pattern, wavelength, background):
    two_theta = pattern[:, 0]
    lines = [
        "data_exp",
        "_setup_radiation X-rays",
        # The exported pattern has no polarization left in it.
        *("_setup_K 0.0", "_setup_cthm 1.0"),
        *(f"_setup_wavelength {wavelength}", "_setup_field 0.0", "_setup_offset_2theta 0.0"),
        *(f"_range_2theta_min {two_theta[0]}", f"_range_2theta_max {two_theta[-1]}"),
        *(f"_pd_instr_resolution_{name} 0.01()" for name in "UVWXY"),
        *("loop_", "_phase_label", "_phase_scale", "_phase_igsize"),
        *(f"{structure.name.lower()} 0.01() 0.0" for structure in structures),
        *("loop_", "_pd_background_2theta", "_pd_background_intensity"),
        *(f"{angle} {value}()" for angle, value in background),
        *("loop_", "_pd_meas_2theta", "_pd_meas_intensity", "_pd_meas_intensity_sigma"),
        *(f"{angle:.6f} {value:.6f} {error:.6f}" for angle, value, error in pattern),
    ]
    return lines


def read_xy(path, *, lowest=6.0, highest=36.0):
    """Pattern, shape (n_bins, 3), and wavelength of an exported file; its ends have too few pixels."""
    header = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ")]
    (said,) = [line for line in header if line.startswith("wavelength: ")]
    pattern = np.loadtxt(path)
    inside = (pattern[:, 0] > lowest) & (pattern[:, 0] < highest)
    return pattern[inside], float(said.split()[1])


@dataclass(frozen=True)
class Refined:
    """Edges of the first phase, angstrom; errors as the covariance has them; reduced chi squared."""

    edges: np.ndarray
    errors: np.ndarray
    chi_squared: float


def refined(pattern, wavelength, structures, start):
    """Refine edges, scales, four widths and a background of straight lines between knots.

    Args:
        pattern: Two theta, intensity and error, shape (n_bins, 3).
        wavelength: Angstrom.
        structures: Of the phases; all but their edges is kept.
        start: Edges to start from, one tuple a phase.
    """
    objects = import_module("cryspy.H_functions_global.function_1_cryspy_objects")
    rhochi = import_module("cryspy.procedure_rhochi.rhochi_by_dictionary")
    scale = 1000 / np.max(pattern[:, 1])
    angle, counted, error = (pattern * [1, scale, scale]).T
    knots = np.linspace(angle[0], angle[-1], _KNOTS)
    floor = [np.percentile(counted[np.abs(angle - knot) < 1.0], 20) for knot in knots]
    blocks = [_cif(*each) for each in zip(structures, start, strict=True)]
    blocks.append(
        _experiment(
            structures,
            np.column_stack([angle, counted, error]),
            wavelength,
            zip(knots, floor, strict=True),
        )
    )
    text = "\n".join(itertools.chain.from_iterable([*block, ""] for block in blocks))
    given = objects.str_to_globaln(text).get_dictionary()
    experiment = given["pd_exp"]
    crystals = [given[f"crystal_{structure.name.lower()}"] for structure in structures]
    n_edges = [len(each) for each in start]

    def model(p):
        edges = np.split(p[: sum(n_edges)], np.cumsum(n_edges)[:-1])
        u, w, x, y = p[sum(n_edges) : sum(n_edges) + 4]
        for crystal, (a, *c) in zip(crystals, edges, strict=True):
            crystal["unit_cell_parameters"][:3] = [a, a, c[0] if c else a]
        experiment["resolution_parameters"][:] = [u, 0, w, x, y]
        experiment["phase_scale"][:] = np.exp(p[sum(n_edges) + 4 : -_KNOTS])
        experiment["background_intensity"][:] = p[-_KNOTS:]
        found = {}
        rhochi.rhochi_calc_chi_sq_by_dictionary(
            given,
            dict_in_out=found,
            flag_use_precalculated_data=False,
            flag_calc_analytical_derivatives=False,
        )
        found = found["pd_exp"]
        return found["signal_plus"] + found["signal_minus"] + found["signal_background"]

    first = np.array([*itertools.chain(*start), *_WIDTHS, *[0.0] * len(structures), *floor])
    below = np.interp(angle, knots, floor)
    scales = slice(sum(n_edges) + 4, len(first) - _KNOTS)
    first[scales] = np.log((counted - below).sum() / (model(first) - below).sum())
    steps = [*first[: sum(n_edges)] * 5e-4, 0.01, 1e-3, 0.01, 0.01]
    steps += [0.1] * len(structures) + [5.0] * _KNOTS
    fit = least_squares(
        lambda p: (counted - model(p)) / error, first, x_scale=steps, diff_step=1e-5, max_nfev=60
    )
    if not fit.success:
        raise RuntimeError(f"cryspy's fit did not settle: {fit.message}")
    errors = np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))
    free = n_edges[0]
    return Refined(fit.x[:free], errors[:free], 2 * fit.cost / (len(angle) - len(first)))
