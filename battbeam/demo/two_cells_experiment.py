"""This file is where the experiment of the schedule's demo is: what two visiting groups would write.

The schedule is text. While the cells run, one line is added to the file in which it stands, and the
beam is lost once.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from battbeam.demo.experiment import INERT
from battbeam.demo.two_cells import PHASES
from battbeam.devices.beamline import Beamline
from battbeam.devices.frames import FrameTrain
from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure, Plan, mounted
from battbeam.plans.xrd_series import xrd_reduction

#: What the visitors write, the most important first.
SCHEDULE = """\
# cell1: GITT, at the end of each relaxation, before the next pulse
relaxed: at the end of each rest, 150 s before, measure lfp of cell1 (step then measure)
# cell2: five times denser at the top of charge
top of charge: every 2 min while voltage > 4.1 V, else every 10 min, at most 1 min late, measure nmc of cell2
# too long for 1C, short enough for C/2
survey: every 20 min, measure survey of cell2 (smear at most 2 %)
"""
#: What is added while the cells run.
ADDED = "discharge: every 200 s while current < 0 A, measure nmc of cell2\n"
#: s of cell time after the start at which the line is added.
EDITED_AT = 2400.0
#: s of cell time after the start at which the beam is lost, and for how long.
LOST_AT, LOST_FOR = 1740.0, 180.0
#: s, of one pattern, and frames of the long one.
EXPOSURE, SURVEY_FRAMES = 24.0, 5
POLICIES = {"plan_end": "open_circuit", "failure": "open_circuit", "client_loss": "open_circuit"}


def measurements(beamline: Beamline, transmission_reference: float) -> dict[str, Pattern]:
    """What the schedule measures, by name."""

    def pattern(cell: str, n_frames: int = 1) -> Pattern:
        stage = beamline.sample_stage
        return Pattern(
            Exposure(
                (beamline.detector,),
                beamline.beam,
                FrameTrain(EXPOSURE, n_frames),
                (beamline.potentiostats[cell], stage),
            ),
            reduction=xrd_reduction(
                beamline.calibration,
                (*PHASES[cell], *INERT),
                transmission_reference=transmission_reference,
            ),
            positions=((stage.x, 0.0), (stage.y, 0.0)),
            md={"energy": beamline.monochromator.position},
        )

    return {
        "lfp": pattern("cell1"),
        "nmc": pattern("cell2"),
        "survey": pattern("cell2", SURVEY_FRAMES),
    }


def experiment(
    beamline: Beamline,
    transmission_reference: float,
    *,
    passports: Mapping[str, Mapping[str, Any]],
    protocols: Mapping[str, Mapping[str, Any]],
    schedule_file: Path,
) -> Plan:
    """Both cells follow their protocols; one beam serves them."""
    for name, passport in passports.items():
        yield from mounted(beamline.potentiostats[name], passport)
    return (
        yield from operando(
            Schedule.parse(SCHEDULE),
            measurements(beamline, transmission_reference),
            potentiostat=beamline.potentiostats,
            beam=beamline.beam,
            clock=beamline.clock,
            stage=beamline.sample_stage,
            cell_positions=beamline.cell_positions,
            protocols=protocols,
            policies=POLICIES,
            schedule_file=schedule_file,
        )
    )


@contextmanager
def happenings(
    beamline: Beamline, schedule_file: Path, lose: Callable[[bool], None]
) -> Iterator[None]:
    """What happens to the experiment while the block runs: a loss of beam, and an edit.

    Args:
        beamline: Its clock and the first cell say when the experiment has started.
        schedule_file: To be edited.
        lose: Takes the beam away, or gives it back.
    """
    stop = threading.Event()

    def reached(time: float) -> bool:
        while beamline.clock.now() < time and not stop.is_set():
            stop.wait(0.05)
        return not stop.is_set()

    def happen() -> None:
        while not schedule_file.exists() and not stop.is_set():
            stop.wait(0.05)
        start = beamline.clock.now()
        if reached(start + LOST_AT):
            lose(True)
        reached(start + LOST_AT + LOST_FOR)
        lose(False)
        if reached(start + EDITED_AT):
            edit(schedule_file, ADDED)

    thread = threading.Thread(target=happen, name="happenings", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def edit(path: Path, line: str) -> None:
    """Add one line to the running schedule, as an editor does: whole or not at all."""
    scratch = path.with_suffix(".edited")
    scratch.write_text(path.read_text() + line)
    scratch.replace(path)
