"""`scripts/prove`: the cases of the fault tests, played many times, and counted."""
