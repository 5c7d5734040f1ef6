import pytest

from battbeam.guard.policy import DEFAULT_POLICIES, Occasion, Policy, policies_from


def test_every_occasion_has_a_policy_from_the_start():
    assert set(DEFAULT_POLICIES) == set(Occasion)


def test_policies_are_read_by_name():
    assert policies_from({"failure": "hold"}) == {Occasion.FAILURE: Policy.HOLD}


def test_every_unknown_name_is_told():
    with pytest.raises(ValueError, match=r"unknown occasion 'lunch'; unknown policy 'sleep' for"):
        policies_from({"lunch": "hold", "pause": "sleep"})


@pytest.mark.parametrize("nonsense", [None, [], {}, "hold"])
def test_nonsense_is_refused(nonsense):
    with pytest.raises(ValueError, match="policies must be an object"):
        policies_from(nonsense)
