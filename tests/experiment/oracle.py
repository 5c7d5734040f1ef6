"""When conditions are met, found from a whole record at once instead of reading by reading.

A record is a list of readings; a clock is looked at with each. An event is (position of the reading
that shows it, 0 for the reading itself and 1 for the clock, due, why it is missed). What is not known
to have happened is missed for being "unknown".
"""

import math
from functools import singledispatch
from itertools import pairwise

from battbeam.experiment import conditions as c
from battbeam.experiment import predicates as p


def column(record, quantity):
    if quantity.endswith("_magnitude"):
        return [abs(v) for v in column(record, quantity.removesuffix("_magnitude"))]
    return [getattr(reading, quantity) for reading in record]


def is_known(value):
    return value is not None and value != "" and not (isinstance(value, float) and value != value)


def straight(record, values, j, k, level):
    """When a line between two readings passes a level."""
    part = (level - values[j]) / (values[k] - values[j])
    return record[j].time + min(max(part, 0), 1) * (record[k].time - record[j].time)


# What is so for a while: intervals (begin, end, state) that cover the record.


@singledispatch
def states(predicate, record):
    raise NotImplementedError


@states.register
def _(predicate: p.Compare, record):
    values = column(record, predicate.quantity.value)
    sign = 1 if predicate.relation == ">" else -1
    beyond = [sign * (v - predicate.value) for v in values]

    def state(k):
        # The last reading outside the band decides; before any, being short of it counts as not.
        for j in range(k, -1, -1):
            if is_known(values[j]) and (beyond[j] > 0 or beyond[j] <= -predicate.margin):
                return beyond[j] > 0
        return False

    found = []
    for k, reading in enumerate(record):
        end = record[k + 1].time if k + 1 < len(record) else math.inf
        if not is_known(values[k]):
            found.append((reading.time, end, None))
            continue
        own = state(k)
        has_next = k + 1 < len(record) and is_known(values[k + 1])
        if has_next and state(k + 1) != own:
            level = predicate.value if not own else predicate.value - sign * predicate.margin
            # A reading at the level itself was still on the side where it was seen.
            turn = max(straight(record, values, k, k + 1, level), reading.time + 1e-9)
            found += [(reading.time, turn, own), (turn, end, not own)]
        else:
            found.append((reading.time, end, own))
    return found


@states.register
def _(predicate: p.Between, record):
    low, high = predicate.sides
    return states(p.Both(predicates=(low, high)), record)


@states.register
def _(predicate: p.StepIs, record):
    return _steady(record, [r.step_type and r.step_type == predicate.step_type for r in record])


@states.register
def _(predicate: p.CycleIs, record):
    last = math.inf if predicate.last is None else predicate.last
    number = [r.cycle_number for r in record]
    return _steady(record, [None if n is None else predicate.first <= n <= last for n in number])


def _steady(record, values):
    ends = [r.time for r in record[1:]] + [math.inf]
    return [
        (r.time, end, bool(value) if is_known(value) else None)
        for r, end, value in zip(record, ends, values, strict=True)
    ]


@states.register
def _(predicate: p.Not, record):
    inner = states(predicate.predicate, record)
    return [(begin, end, None if s is None else not s) for begin, end, s in inner]


@states.register(p.Both)
@states.register(p.Either)
def _(predicate, record):
    parts = [states(each, record) for each in predicate.predicates]
    wanted = isinstance(predicate, p.Either)
    marks = sorted({begin for part in parts for begin, _, _ in part})
    found = []
    for begin, end in zip(marks, [*marks[1:], math.inf], strict=True):
        own = [at(part, begin) for part in parts]
        state = wanted if wanted in own else None if None in own else not wanted
        found.append((begin, end, state))
    return found


def at(intervals, time):
    known = [state for begin, end, state in intervals if begin <= time < end]
    return known[-1] if known else None


# What happens.


@singledispatch
def events(condition, record):
    raise NotImplementedError


def shown(record, time):
    return next(k for k, reading in enumerate(record) if reading.time >= time)


def newest(found, record, grace):
    """Of slots that one look shows only the newest is served."""
    slots = [(shown(record, slot), slot) for slot in found]
    return [
        (k, 1, slot, "late" if (k, slot) != max(each for each in slots if each[0] == k) else late)
        for k, slot in slots
        for late in ["late" if record[k].time > slot + grace else ""]
    ]


def slots_of(start, period, record, n=None, until=math.inf):
    count = int((record[-1].time - start) / period) + 2 if n is None else n
    slots = [start + k * period for k in range(count)]
    return [slot for slot in slots if slot <= min(record[-1].time, until)]


@events.register
def _(condition: c.AbsoluteClock, record):
    until = math.inf if condition.until is None else condition.until
    slots = slots_of(condition.start, condition.period, record, condition.n, until)
    return newest(slots, record, condition.longest_delay)


@events.register
def _(condition: c.Cadence, record):
    during = [states(rate.during, record) for rate in condition.rates]
    found = []
    for place, period in enumerate([*(r.period for r in condition.rates), condition.otherwise]):
        for slot in slots_of(condition.start, period, record):
            before = [at(each, slot) for each in during[:place]]
            own = at(during[place], slot) if place < len(during) else True
            if own is not False and all(each is False for each in before):
                late = period * c.GRACE_IN_PERIODS
                found.append((shown(record, slot), slot, own is True, slot + late))
    served = [(k, slot) for k, slot, is_so, last in found if is_so and record[k].time <= last]

    def why(k, slot, is_so, period_ends):
        if record[k].time > period_ends or any(k == j and later > slot for j, later in served):
            return "late" if is_so else "unknown"
        return "" if is_so else "unknown"

    return [(k, 1, slot, why(k, slot, is_so, last)) for k, slot, is_so, last in found]


@events.register
def _(condition: c.Becomes, record):
    known, pending, found = None, False, []
    intervals = _merged(states(condition.predicate, record))
    for begin, end, state in intervals:
        if state is None:
            continue
        pending = state and (known is False or pending)
        known = state
        due = begin + condition.lasting
        if pending and due <= min(end, record[-1].time):
            found.append((shown(record, due), 0, due, ""))
            pending = False
    return found


def _merged(intervals):
    found = []
    for begin, end, state in intervals:
        if begin == end:
            continue
        if found and found[-1][2] is state:
            found[-1] = (found[-1][0], end, state)
        else:
            found.append((begin, end, state))
    return found


@events.register(c.VoltageCrossing)
@events.register(c.TemperatureCrossing)
def _(condition, record):
    values = column(record, condition.quantity.value)
    return crossings(record, values, condition.level, condition.direction, condition.hysteresis)


def crossings(record, values, level, direction, hysteresis):
    signs = {"rising": (1,), "falling": (-1,), "any": (1, -1)}[direction]
    known = [k for k, v in enumerate(values) if is_known(v)]
    found = set()
    for sign in signs:
        beyond = [sign * (values[k] - level) for k in known]
        for place, k in enumerate(known):
            if beyond[place] < 0:
                continue
            earlier = [j for j in range(place) if beyond[j] >= 0]
            since = range(earlier[-1] + 1 if earlier else 0, place)
            if any(beyond[j] <= -hysteresis or (j == 0 and beyond[j] < 0) for j in since):
                found.add((k, 0, straight(record, values, known[place - 1], k, level), ""))
    return sorted(found)


@events.register(c.ChargeLevels)
def _(condition, record):
    values = column(record, condition.quantity.value)
    found = [
        event
        for level in condition.levels
        for event in crossings(record, values, level, condition.direction, condition.margin)
    ]
    return [
        (k, 0, due, "jumped" if any(k == o and later > due for o, _, later, _ in found) else "")
        for k, _, due, _ in found
    ]


@events.register
def _(condition: c.ChargeStep, record):
    known = [k for k, r in enumerate(record) if is_known(r.charge)]
    values = column(record, "charge")
    passed = []
    for j, k in pairwise(known):
        low, high = sorted((values[j], values[k]))
        lines = range(math.ceil(low / condition.step), math.floor(high / condition.step) + 1)
        ahead = [n for n in lines if n * condition.step != values[j]]
        ahead.sort(reverse=values[k] < values[j])
        passed += [(k, straight(record, values, j, k, n * condition.step), n) for n in ahead]
    first = values[known[0]] / condition.step if known else 0
    lines_before = [int(first) if first == int(first) else None, *(n for _, _, n in passed)]
    kept = [
        (k, due) for (k, due, n), before in zip(passed, lines_before, strict=False) if n != before
    ]
    return [
        (k, 0, due, "jumped" if any(k == o and later > due for o, later in kept) else "")
        for k, due in kept
    ]


@events.register
def _(condition: c.StepEdge, record):
    found, last = [], None
    for k, r in enumerate(record):
        if r.step_count is None or (condition.step_type and not r.step_type):
            continue
        n = 0 if last is None else r.step_count - last
        last = r.step_count
        if n and condition.step_type in (None, r.step_type):
            found += [(k, 0, r.time, "unseen")] * (0 if condition.step_type else n - 1)
            found.append((k, 0, r.time, ""))
    return found


@events.register
def _(condition: c.CycleEdge, record):
    known = [(k, r.cycle_number) for k, r in enumerate(record) if r.cycle_number is not None]
    found = []
    for (_, before), (k, after) in pairwise(known):
        for number in range(before + 1, after + 1):
            if condition.number in (None, number):
                found.append((k, 0, record[k].time, "" if number == after else "unseen"))
    return found


@events.register
def _(condition: c.EndOfProtocol, record):
    known = [(k, r.state, r.step_count or 0) for k, r in enumerate(record) if r.state]
    return [
        (k, 0, record[k].time, "")
        for (_, before, steps), (k, after, more) in pairwise(known)
        if after == "Finished" and (before != "Finished" or more > steps)
    ]


@events.register
def _(condition: c.AnyOf, record):
    found = [event for each in condition.conditions for event in events(each, record)]
    served = {(k, clock) for k, clock, _, missed in found if not missed}
    first = [
        (k, clock, min(due for j, o, due, m in found if (j, o, m) == (k, clock, "")), "")
        for k, clock in served
    ]
    return [event for event in found if event[3]] + first


@events.register
def _(condition: c.After, record):
    found = []
    for k, _, due, missed in events(condition.condition, record):
        later = due + condition.delay
        if later <= record[-1].time:
            found.append((max(k, shown(record, later)), 1, later, missed))
    return found


@events.register
def _(condition: c.While, record):
    intervals = states(condition.predicate, record)
    found = [(event, at(intervals, event[2])) for event in events(condition.condition, record)]
    return [
        (*event[:3], "unknown" if state is None else event[3])
        for event, state in found
        if state is not False
    ]


@events.register
def _(condition: c.AtMost, record):
    ordered = sorted(events(condition.condition, record), key=lambda event: event[:3])
    served = [place for place, event in enumerate(ordered) if not event[3]]
    last = served[condition.n - 1] if len(served) >= condition.n else len(ordered)
    return ordered[: last + 1]


@events.register
def _(condition: c.AllOf, record):
    news = sorted(
        (k, clock, due, part)
        for part, each in enumerate(condition.conditions)
        for k, clock, due, missed in events(each, record)
        if missed != "unknown"
    )
    found, happened = [], {}
    for k, clock, due, part in news:
        happened[part] = due
        latest = max(happened.values())
        within = math.inf if condition.within is None else condition.within
        happened = {key: d for key, d in happened.items() if latest - d <= within}
        if len(happened) == len(condition.conditions):
            found.append((k, clock, latest, ""))
            happened = {}
    return found
