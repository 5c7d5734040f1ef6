"""This file is where what the guard knows is put into the words of its record."""

import json
import math
from typing import Any

from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.protocol import expected_duration
from battbeam.guard.core import Guard


def published(guard: Guard) -> dict[str, Any]:
    """Every value of the record that may change, by PV suffix."""
    samples, runner, limits = guard.samples, guard.runner, guard.limits
    step, live, owner = runner.step, guard.writer.live, guard.ownership.owner
    passport = guard.passport.model_dump_json() if guard.passport else ""
    return {
        "CellRun": guard.standing.cell_run,
        "Passport": passport,
        "State": str(guard.standing.shown_state),
        "Owner": json.dumps(owner.to_document()) if owner else "",
        "OwnerState": str(guard.ownership.state),
        "Policies": json.dumps({str(k): str(v) for k, v in guard.policies.items()}),
        "Settings": json.dumps(
            {
                "heartbeat_timeout": guard.ownership.timeout,
                "hold_maximum": guard.course.hold_maximum,
            }
        ),
        "HeartbeatTimeout": guard.ownership.timeout,
        "StepIndex": step.index if step else -1,
        "StepType": str(step.type) if step and runner.is_active else "",
        "StepCount": runner.step_count,
        "CycleNumber": step.cycle_number if step else 0,
        "StepStart": guard.course.step_start,
        "StepEnd": guard.course.step_end,
        "Voltage": live.voltage if live else math.nan,
        "Current": live.current if live else math.nan,
        "VoltageWorking": live.voltage + guard.writer.counter_of(live) if live else math.nan,
        "VoltageCounter": guard.writer.counter_of(live) if live else math.nan,
        "Temperature": live.temperature if live else math.nan,
        "Charge": samples.latest.charge,
        "Capacity": samples.latest.capacity,
        "SampleTime": guard.writer.sample_time,
        "SampleSequence": samples.sequence,
        "Watermark": guard.writer.watermark,
        "ExpectedEnd": expected_end(guard),
        "ProtocolProgress": json.dumps(progress(guard)),
        "SoftVoltageMin": limits.soft.voltage_min,
        "SoftVoltageMax": limits.soft.voltage_max,
        "SoftCurrentMax": limits.soft.current_max,
        "Trip": int(bool(guard.trip)),
        "TripReason": json.dumps(guard.trip) if guard.trip else "",
        "LastError": (guard.writer.log.fault or guard.standing.last_error)[:8000],
    }


def expected_end(guard: Guard) -> float:
    """When the protocol will be over, session clock; NaN unless one runs. An estimate."""
    step, passport = guard.runner.step, guard.passport
    if guard.state is not GuardState.RUNNING or step is None or passport is None:
        return math.nan
    content = passport.state_of_charge_from_charge(guard.samples.latest.charge)
    left = step.after(guard.samples.step_elapsed, guard.samples.step_charge)
    ahead = guard.runner.steps_ahead
    steps = ahead if left is None else (left, *ahead)
    length = expected_duration(steps, passport=passport, state_of_charge=content)
    return float(round(guard.clock.now() + length)) if math.isfinite(length) else math.nan


def progress(guard: Guard) -> dict[str, Any]:
    """Where the protocol stands, in plain values."""
    runner, step = guard.runner, guard.runner.step
    return {
        "step_index": step.index if step else -1,
        "cycle_number": step.cycle_number if step else 0,
        "steps_ahead": len(runner.steps_ahead) if runner.is_active else len(runner.steps_waiting),
        "segments_ahead": len(runner.waiting),
        "remainder": len(runner.remainder),
    }
