import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import RunEngine
from ophyd.sim import det, motor

from battbeam.callbacks.live_tables import LiveTables


@bpp.set_run_key_decorator("inner")
@bpp.run_decorator(md={"plan_name": "pattern", "motors": ["motor"]})
def pattern():
    for place in (1, 2):
        yield from bps.mv(motor, place)
        yield from bps.trigger_and_read([det, motor])


@bpp.run_decorator(md={"plan_name": "experiment"})
def experiment():
    yield from bps.trigger_and_read([motor], name="rules")
    yield from pattern()
    yield from bps.trigger_and_read([motor], name="rules")
    yield from pattern()
    yield from bps.trigger_and_read([motor], name="rules")


def test_runs_within_a_run_have_a_table_each_and_the_one_around_them_stays_readable(capsys, caplog):
    engine = RunEngine({})
    tables = LiveTables()
    engine.subscribe(tables)
    engine(experiment())
    assert tables._tables == {}
    shown = capsys.readouterr().out
    assert shown.count("New stream: 'rules'") == 1
    assert shown.count("New stream: 'primary'") == 2
    assert len([line for line in shown.splitlines() if line.startswith("|         2 |")]) == 2
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
