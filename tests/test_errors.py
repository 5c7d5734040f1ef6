from battbeam import errors


def test_a_preflight_error_lists_every_fault():
    error = errors.PreflightError(
        "xrd_map", ["exposure must be greater than 0 s, got -1 s", "phase XYZ is unknown"]
    )
    assert error.faults == ("exposure must be greater than 0 s, got -1 s", "phase XYZ is unknown")
    assert str(error).startswith("xrd_map: 2 fault(s), nothing was moved\n  - exposure must be")


def test_every_error_of_the_tree_is_drawn_in_its_docstring():
    names = [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    assert names
    assert not [name for name in names if name not in (errors.__doc__ or "")]
