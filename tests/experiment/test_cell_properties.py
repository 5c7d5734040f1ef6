"""Whatever is handed in as a passport: it is one, or every fault is a sentence."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.experiment.cell import FULL_EXAMPLE, CellPassport, cell_faults

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**6),
    st.floats(),
    st.text(max_size=4),
    st.lists(st.floats(-5, 5) | st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers() | st.none(), max_size=2),
)


@given(st.dictionaries(st.sampled_from([*FULL_EXAMPLE, "colour"]), ODD, max_size=4))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_anything_is_a_passport_or_refused_in_words(changes):
    document = {**FULL_EXAMPLE, **changes}
    faults = cell_faults(document)
    assert all(sentence for _, sentence in faults)
    if faults:
        return
    passport = CellPassport.read(document)
    assert CellPassport.read(json.loads(passport.model_dump_json())) == passport
