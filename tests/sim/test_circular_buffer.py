import asyncio

import numpy as np

from battbeam.sim.circular_buffer import CircularBuffer, Ring
from battbeam.sim.shots import Request, Shot


def shot(number):
    request = Request(0.0, 1.0, 0.0, 0.0, 22163.0, number)
    return Shot(request, np.zeros((2, 2), dtype=np.uint32), 1.0, 1.0, 100.0, True, {})


def numbers(passed):
    return [each.request.number for each, _ in passed]


def test_frames_before_and_after_a_trigger_pass_once_and_in_order():
    ring = Ring()
    ring.start(n_before=3, n_after=2, n_triggers=1)
    passed = [ring.take(index) for index in range(5)]
    ring.trigger()
    passed += [ring.take(index) for index in range(5, 10)]
    assert [frame for frames in passed for frame in frames] == [2, 3, 4, 5, 6]
    assert not ring.is_capturing
    assert ring.n_triggers == 1


def test_a_trigger_before_the_ring_is_full_passes_what_there_is():
    ring = Ring()
    ring.start(n_before=10, n_after=1, n_triggers=1)
    ring.take("a")
    ring.trigger()
    assert ring.take("b") == ["a", "b"]


def test_a_ring_that_does_not_capture_passes_and_keeps_nothing():
    ring = Ring()
    ring.trigger()
    assert ring.take("a") == []
    assert ring.n_kept == 0


def test_a_ring_that_keeps_nothing_from_before_passes_what_comes():
    ring = Ring()
    ring.start(n_before=0, n_after=1, n_triggers=2)
    passed = [ring.take("a")]
    ring.trigger()
    passed += [ring.take("b"), ring.take("c")]
    ring.trigger()
    passed += [ring.take("d"), ring.take("e")]
    assert passed == [[], ["b"], [], ["d"], []]


def test_a_second_trigger_while_frames_pass_changes_nothing():
    ring = Ring()
    ring.start(n_before=1, n_after=3, n_triggers=1)
    ring.take("a")
    ring.trigger()
    assert ring.take("b") == ["a", "b"]
    ring.trigger()
    assert [ring.take(name) for name in "cde"] == [["c"], ["d"], []]


def test_its_records_tell_what_it_does():
    async def scene():
        buffer = CircularBuffer("T:CB1:")
        await buffer.PreCount.write(2)
        await buffer.PostCount.write(2)
        await buffer.Capture.write(1)
        told, passed = [], []
        for number in range(1, 8):
            if number == 4:
                await buffer.Trigger.write(1)
                told.append((buffer.Trigger.value, buffer.Trigger_RBV.value))
            passed += numbers(buffer.passed(shot(number), 0.0))
            await buffer.show()
            told.append((buffer.Capture_RBV.value, buffer.CurrentQty_RBV.value))
        return passed, told, (buffer.Capture.value, buffer.ActualTriggerCount_RBV.value)

    passed, told, end = asyncio.run(scene())
    assert passed == [2, 3, 4, 5]
    assert told[:3] == [("Capturing", 1), ("Capturing", 2), ("Capturing", 2)]
    assert told[3] == ("Done", "Triggered")
    assert told[-1] == ("Done", 0)
    assert end == ("Done", 1)
