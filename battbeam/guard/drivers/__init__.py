"""How the guard speaks to each make of cycler."""
