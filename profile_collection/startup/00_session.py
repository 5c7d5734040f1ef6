"""The session: RunEngine, devices, spool. Everything else in this profile uses it."""

import os
from pathlib import Path

from battbeam.session import open_session

session = open_session(
    Path(os.environ.get("BATTBEAM_DIRECTORY", "beamline")).resolve(), is_interactive=True
)
RE, beamline, connection = session.RE, session.beamline, session.connection
globals().update(beamline.devices)
clock = beamline.clock
for fault in session.connection_faults:
    print(fault)
if session.refusal:
    print(f"You may look at the cell, not command it: {session.refusal}")

get_ipython = globals().get("get_ipython")
if get_ipython is not None and get_ipython() is not None:
    from bluesky.magics import BlueskyMagics

    get_ipython().register_magics(BlueskyMagics)
