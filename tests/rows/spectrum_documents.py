"""Documents of spectra, as plans write them, from counts that came without a wire."""

from battbeam.sim.monochromator import D_SPACING


def columns(prefix, reading, *, scalar):
    """Counts as events have them."""
    counts = reading.counts
    arrays = {
        "i0": counts.i0,
        "it": counts.transmitted,
        "ir": counts.reference,
        "if": counts.fluorescence,
        "if_input": counts.fluorescence_input,
    }
    return {
        f"{prefix}_{name}": float(values[0]) if scalar else values.tolist()
        for name, values in arrays.items()
    }


def documents(scans, dark, said, readings):
    """Of one run of spectra.

    Args:
        scans: Each its edge and the data of its points.
        dark: Data of the dark that belongs to all of them.
        said: What stands in the start document besides.
        readings: What else stands in the events, by number of the scan.
    """
    edges = {where.label: where.document() for where, _ in scans}
    configuration = {"m": {"data": {"monochromator_d_spacing": D_SPACING}}}
    yield "start", {"uid": "raw", "time": 0.0, "edges": list(edges.values()), **said}
    for name in ("dark", "primary", "spectra"):
        keys = {"uid": name, "name": name, "data_keys": {}, "configuration": configuration}
        yield "descriptor", keys
    yield "event", {"descriptor": "dark", "data": dark}
    point, repeats = 0, dict.fromkeys(edges, 0)
    for number, (where, points) in enumerate(scans):
        which = {"spectrum": number, "edge": where.label, "repeat": repeats[where.label]}
        for data in points:
            extra = readings.get(number, {})
            row = {**which, "point": point, "dark": 0, "shutter": 1, **data, **extra}
            yield "event", {"descriptor": "primary", "data": row}
            point += 1
        yield "event", {"descriptor": "spectra", "data": {**which, "fluence": 0.0}}
        repeats[where.label] += 1
    yield "stop", {"time": 1e9, "exit_status": "success", "reason": ""}
