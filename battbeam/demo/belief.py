"""This file is where a demo's user writes down what is believed of a cell; a little beside the truth, as always."""

from typing import Any

from battbeam.sim.scenario import Cell


def believed_passport(
    cell: Cell,
    *,
    name: str,
    sample_uid: str,
    chemistry: str,
    specific_capacity: float,
    voltage_min: float,
    voltage_max: float,
) -> dict[str, Any]:
    """The passport of a simulated cell: mass and area as weighed and measured, the rest believed.

    Args:
        cell: The hidden truth.
        name: Of the cell.
        sample_uid: Of the sample.
        chemistry: As the user names it.
        specific_capacity: mAh/g of active material; sets the nominal capacity.
        voltage_min: Lowest voltage allowed, V.
        voltage_max: Highest voltage allowed, V.
    """
    mass = round(cell.active_loading * cell.electrode_area, 2)
    return {
        "cell": name,
        "sample_uid": sample_uid,
        "chemistry": chemistry,
        "active_mass": mass,
        "electrode_area": round(cell.electrode_area, 4),
        "nominal_capacity": round(mass * 1e-3 * specific_capacity, 4),
        "nominal_capacity_definition": f"{specific_capacity:.0f} mAh/g of active material",
        "initial_state_of_charge": 0.0,
        "initial_lithium_content": 0.98,
        "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
        "limits": {"voltage_min": voltage_min, "voltage_max": voltage_max, "current_max": 0.02},
    }
