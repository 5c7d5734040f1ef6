import json
import os
import signal
import threading
import time
import uuid

import h5py
import hdf5plugin
import httpx
import numpy as np
import pytest
from event_model import StreamRange, compose_run, compose_stream_resource

from battbeam.errors import StorageError
from battbeam.processes import wait_for
from battbeam.storage.catalog import Catalog
from battbeam.storage.run_publisher import RunPublisher
from battbeam.storage.spool import Spool


def spool(directory, documents, *, pause=0.0):
    written = {}
    with Spool(directory) as writer:
        for name, doc in documents:
            writer(name, doc)
            written[len(written)] = time.monotonic()
            if pause:
                threading.Event().wait(pause)
    return documents[0][1]["uid"]


def rows(run, stream="primary"):
    return run.base[stream].base["internal"].read()


def write_frames(path, n_frames):
    frames = np.arange(n_frames * 8 * 6, dtype=np.uint32).reshape(n_frames, 8, 6)
    with h5py.File(path, "w", libver="latest") as file:
        dataset = file.create_dataset(
            "/entry/data/data",
            data=frames,
            chunks=(1, 8, 6),
            maxshape=(None, 8, 6),
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )
        file.swmr_mode = True
        dataset.flush()
    return frames


def frame_documents(path, n_events, frames_an_event):
    run = compose_run(time=1000.0, validate=False)
    shape = [8, 6] if frames_an_event == 1 else [frames_an_event, 8, 6]
    keys = {
        "point": {"dtype": "integer", "shape": [], "source": "test"},
        "detector_image": {
            "dtype": "array",
            "shape": shape,
            "source": "test",
            "external": "STREAM:",
            "dtype_numpy": "<u4",
        },
    }
    stream = run.compose_descriptor(name="primary", data_keys=keys, validate=False)
    resource = compose_stream_resource(
        mimetype="application/x-hdf5",
        uri=f"file://localhost{path}",
        data_key="detector_image",
        parameters={"dataset": "/entry/data/data", "chunk_shape": [1, 8, 6], "swmr": True},
        start=run.start_doc,
    )
    found = [
        ("start", run.start_doc),
        ("descriptor", stream.descriptor_doc),
        ("stream_resource", resource.stream_resource_doc),
    ]
    for index in range(n_events):
        datum = resource.compose_stream_datum(
            StreamRange(start=index, stop=index + 1),
            StreamRange(start=index + 1, stop=index + 2),
            stream.descriptor_doc,
        )
        event = stream.compose_event(
            data={"point": index}, timestamps={"point": 0.0}, time=1000.0 + index, validate=False
        )
        found += [("stream_datum", datum), ("event", event)]
    return [*found, ("stop", run.compose_stop(time=2000.0))]


def test_a_run_of_the_spool_is_read_back_as_it_was(services, catalog, scan):
    documents = scan(n_events=70, technique="XRD", kind="measurement", cell={"cell": "C1"})
    uid = spool(services.connection.spool, documents)
    services.wait_published(timeout=20)
    table = catalog.table(uid)
    assert table["voltage"].to_numpy().tolist() == [3.0 + row for row in range(70)]
    assert table["note"].to_numpy().tolist() == [f"row {row}" for row in range(70)]
    assert table["point"].dtype == np.int64
    assert np.array_equal(table["intensity"], np.arange(350.0) + np.arange(70.0)[:, np.newaxis])
    assert table["voltage"].attrs["units"] == "V"
    run = catalog.last(cell="C1", technique="XRD", kind="measurement")
    assert run.start["uid"] == uid
    assert run.stop["exit_status"] == "success"
    assert [found.start["uid"] for found in catalog.runs(cell="C1")] == [uid]
    assert catalog.run(uid[:8]).start["uid"] == uid
    assert catalog.raw[-1].start["uid"]


def test_a_run_hands_out_its_documents_again(services, catalog, scan):
    documents = scan(n_events=3)
    uid = spool(services.connection.spool, documents)
    services.wait_published(timeout=20)
    found = list(catalog.run(uid).documents())
    assert [name for name, _ in found] == ["start", "descriptor", *["event"] * 3, "stop"]
    assert found[2][1]["data"] == documents[2][1]["data"]


def test_of_a_point_taken_twice_the_last_row_counts_and_both_are_stored(services, catalog, scan):
    uid = spool(services.connection.spool, scan(points=[0, 1, 2, 1, 2, 3]))
    services.wait_published(timeout=20)
    assert rows(catalog.run(uid))["seq_num"].tolist() == [1, 2, 3, 4, 5, 6]
    assert catalog.table(uid)["voltage"].to_numpy().tolist() == [3.0, 6.0, 7.0, 8.0]


def test_of_a_train_taken_twice_the_last_frames_count(services, catalog, scan):
    uid = spool(services.connection.spool, scan(points=[0, 0, 1, 1, 1, 1], n_frames=2))
    services.wait_published(timeout=20)
    assert catalog.table(uid)["voltage"].to_numpy().tolist() == [3.0, 4.0, 7.0, 8.0]


@pytest.mark.parametrize("frames_an_event", [1, 3])
def test_frames_are_read_from_the_detectors_file(services, catalog, frames_an_event):
    directory = services.connection.frames
    path = directory / f"{uuid.uuid4()}.h5"
    frames = write_frames(path, 4 * frames_an_event)
    uid = spool(services.connection.spool, frame_documents(path, 4, frames_an_event))
    services.wait_published(timeout=20)
    image = catalog.run(uid)["primary"]["detector_image"]
    assert image.shape == frames.shape
    assert np.array_equal(image[2], frames[2])
    assert np.array_equal(image[1:3, 2:4], frames[1:3, 2:4])
    assert "detector_image" not in catalog.table(uid)


def test_a_run_that_is_begun_again_anywhere_has_each_row_once(services, catalog, scan, tmp_path):
    client = catalog.raw.include_data_sources()
    path = services.connection.frames / f"{uuid.uuid4()}.h5"
    frames = write_frames(path, 4)
    for documents in (scan(n_events=12), frame_documents(path, 4, 1)):
        uid = documents[0][1]["uid"]
        for end in range(1, len(documents) + 1, 3):
            publisher = RunPublisher(client)
            for name, doc in documents[:end]:
                publisher(name, doc)
            if end % 2:
                publisher.flush()
        for _ in range(2):
            publisher = RunPublisher(client)
            for name, doc in documents:
                publisher(name, doc)
        n_events = sum(name == "event" for name, _ in documents)
        table = rows(catalog.run(uid))
        assert table["seq_num"].tolist() == list(range(1, n_events + 1))
    assert np.array_equal(catalog.run(uid)["primary"]["detector_image"].read(), frames)


def test_a_request_that_was_given_up_and_arrives_late_adds_nothing(catalog, scan):
    documents = scan(n_events=4)
    client = catalog.raw.include_data_sources()
    slow, quick = RunPublisher(client), RunPublisher(client)
    for publisher in (slow, quick):
        for name, doc in documents[:-1]:
            publisher(name, doc)
    quick.flush()
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        slow.flush()
    assert len(rows(catalog.run(documents[0][1]["uid"]))) == 4


def test_a_run_of_the_same_uid_that_is_another_one_is_refused(catalog, scan):
    (name, start), *_ = scan()
    client = catalog.raw.include_data_sources()
    RunPublisher(client)(name, start)
    with pytest.raises(StorageError, match="is another one: started at"):
        RunPublisher(client)(name, {**start, "time": 5.0})


def test_a_pattern_of_another_length_is_refused(catalog, scan):
    documents = scan(n_events=1)
    documents[2][1]["data"]["intensity"] = [1.0]
    publisher = RunPublisher(catalog.raw.include_data_sources())
    for name, doc in documents[:3]:
        publisher(name, doc)
    with pytest.raises(StorageError, match=r"intensity of row 1 .* declares \(350,\)"):
        publisher.flush()


def test_values_without_a_number_of_the_declared_type_are_missing_never_rounded(catalog, scan):
    documents = scan(n_events=2)
    documents[2][1]["data"].update(point=1.5, voltage=float("nan"), note=None)
    publisher = RunPublisher(catalog.raw.include_data_sources())
    for name, doc in documents:
        publisher(name, doc)
    table = rows(catalog.run(documents[0][1]["uid"]))
    assert np.isnan(table["point"].astype(float)[0])
    assert np.isnan(table["voltage"][0])
    assert table["point"].astype(float)[1] == 1.0


def test_a_cell_run_appears_while_the_guard_writes_its_log(services, catalog):
    uid = str(uuid.uuid4())
    log = services.connection.guards["cell1"].log

    def entry(number, kind, **more):
        return json.dumps({"n": number, "kind": kind, "time": 100.0 + number, **more}) + "\n"

    with log.open("a") as file:
        file.write(entry(0, "mount", cell_run=uid, passport={"cell": "C9"}))
        for number in range(1, 21):
            file.write(entry(number, "sample", voltage=3.0, sequence=number, source="file"))
        file.flush()
        wait_for(lambda: uid in catalog.raw and "primary" in catalog.raw[uid], timeout=10, what=uid)
        wait_for(lambda: catalog.table(uid).sizes["time"] == 20, timeout=10, what="samples")
        assert "stop" not in catalog.raw[uid].metadata
        file.write(entry(21, "dismount"))
    wait_for(lambda: "stop" in catalog.raw[uid].metadata, timeout=10, what="the dismount")
    table = catalog.table(uid)
    assert table["time"].to_numpy().tolist() == [100.0 + number for number in range(1, 21)]
    assert catalog.last(cell="C9", kind="cell").start["uid"] == uid


def test_results_lie_on_the_cells_own_clock(services, catalog, scan):
    raw = spool(services.connection.spool, scan(n_events=1))
    reduced = scan(n_events=6, analysis_of=raw, kind="reduced")
    spool(services.connection.reduced_spool, reduced)
    services.wait_published(timeout=20)
    results = catalog.reduced(raw)
    assert results["intensity"].dims == ("time", "two_theta")
    assert set(results.coords) == {"time", "two_theta", "voltage", "valid", "point", "frame"}
    assert results.where(results.voltage > 5.5, drop=True).sizes["time"] == 3
    assert results.attrs["analysis_of"] == raw
    assert [run.start["uid"] for run in catalog.reductions(raw)] == [reduced[0][1]["uid"]]


def test_runs_are_given_in_the_order_in_which_they_began(services, catalog, scan):
    """They come into the catalogue in another; as text 999.5 would stand behind 1000.25."""
    came = [1000.25, 999.5, 1000.0, 20000.0, 1001.0]
    for began in came:
        uid = spool(services.connection.spool, scan(n_events=1, began=began, cell={"cell": "C5"}))
        services.wait_published(timeout=20)
        assert uid in catalog.raw
    found = [run.start["time"] for run in catalog.runs(cell="C5")]
    assert found == sorted(came)
    assert catalog.last(cell="C5").start["time"] == max(came)


def test_what_is_not_there_is_named(services, catalog, scan):
    uid = spool(services.connection.spool, scan(n_events=1))
    services.wait_published(timeout=20)
    with pytest.raises(StorageError, match="has no reduction"):
        catalog.reduced(uid)
    with pytest.raises(StorageError, match="no stream 'beam'"):
        catalog.table(uid, "beam")
    with pytest.raises(StorageError, match="no run with the uid 'nowhere'"):
        catalog.run("nowhere")
    with pytest.raises(StorageError, match="no run in the catalogue with cell='C77'"):
        catalog.last(cell="C77")


def test_a_pattern_is_readable_within_three_seconds_of_being_spooled(services, catalog, scan):
    documents = scan(n_events=60)
    uid = documents[0][1]["uid"]
    written: list[float] = []
    seen: list[float] = []

    def write() -> None:
        with Spool(services.connection.reduced_spool) as writer:
            for name, doc in documents:
                writer(name, doc)
                if name == "event":
                    written.append(time.monotonic())
                    threading.Event().wait(0.05)

    def look() -> bool:
        if uid in catalog.reduced_runs and "primary" in catalog.reduced_runs[uid]:
            n_rows = catalog.table(uid).sizes.get("time", 0)
            seen.extend([time.monotonic()] * (n_rows - len(seen)))
        return len(seen) == 60

    writer = threading.Thread(target=write)
    writer.start()
    wait_for(look, timeout=30, what="every row")
    writer.join()
    assert np.median(np.subtract(seen, written)) < 3.0


@pytest.mark.acceptance
def test_killing_the_publisher_again_and_again_loses_nothing_and_doubles_nothing(
    own_services, scan
):
    documents = scan(n_events=3000)
    connection, uid = own_services.connection, documents[0][1]["uid"]
    catalog, n_rows = Catalog(connection), 0
    writer = threading.Thread(
        target=spool, args=(connection.spool, documents), kwargs={"pause": 0.008}
    )
    writer.start()

    def has_grown() -> bool:
        nonlocal n_rows
        before = n_rows
        if uid in catalog.raw and "primary" in catalog.raw[uid]:
            n_rows = catalog.table(uid).sizes["time"]
        return n_rows > before

    for kill in range(4):
        wait_for(has_grown, timeout=30, what="new rows")
        # Not at the same place of its round each time.
        threading.Event().wait(0.13 * kill)
        os.kill(own_services.pid("publisher"), signal.SIGKILL)
        wait_for(
            lambda kill=kill: own_services.restarts.get("publisher", 0) > kill,
            timeout=30,
            what="the publisher",
        )
    writer.join()
    own_services.wait_published(timeout=90)
    table = Catalog(connection).table(uid)
    assert table["point"].to_numpy().tolist() == list(range(3000))
    assert np.array_equal(table["intensity"][:, 0], np.arange(3000.0))


@pytest.mark.acceptance
@pytest.mark.parametrize(("how", "duration"), [("SIGKILL", 0.0), ("SIGSTOP", 30.0)])
def test_a_catalogue_that_is_killed_or_stalls_costs_no_document(own_services, scan, how, duration):
    documents = scan(n_events=400)
    connection, uid = own_services.connection, documents[0][1]["uid"]
    catalog = Catalog(connection)
    pid = own_services.pid("tiled")
    spooling = Spool(connection.spool)
    for number, (name, doc) in enumerate(documents):
        spooling(name, doc)
        if number == 200:
            wait_for(lambda: uid in catalog.raw, timeout=20, what="the run")
            os.kill(pid, signal.Signals[how])
    assert np.percentile(spooling.durations, 99) < 0.010
    spooling.close()
    threading.Event().wait(duration)
    if how == "SIGSTOP":
        os.kill(pid, signal.SIGCONT)
    own_services.wait_published(timeout=90)
    table = rows(Catalog(connection).run(uid))
    assert table["seq_num"].tolist() == list(range(1, 401))
