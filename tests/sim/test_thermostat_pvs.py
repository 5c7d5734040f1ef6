import asyncio

from caproto import AlarmSeverity, AlarmStatus

from battbeam.sim.scenario import Cell
from battbeam.sim.thermostat import Thermostat
from battbeam.sim.thermostat_pvs import ThermostatGroup


def test_a_temperature_out_of_range_is_refused_with_an_alarm_that_the_next_good_one_clears(capsys):
    thermostat = Thermostat(Cell())
    group = ThermostatGroup("HOLDER:", thermostat=thermostat)
    before, alarm = thermostat.setpoint, group.setpoint.alarm

    async def put(value):
        return await group.set(group.setpoint, value)

    assert asyncio.run(put(2000.0)) == before
    assert (alarm.status, alarm.severity) == (AlarmStatus.WRITE, AlarmSeverity.INVALID_ALARM)
    assert capsys.readouterr().out.startswith("refused HOLDER:SP: ")
    assert asyncio.run(put(40.0)) == 40.0 == thermostat.setpoint
    assert (alarm.status, alarm.severity) == (AlarmStatus.NO_ALARM, AlarmSeverity.NO_ALARM)
