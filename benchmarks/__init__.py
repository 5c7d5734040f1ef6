"""Hot paths side by side with what a user would pick instead: ``python -m benchmarks [NAME]``.

Correctness is part of a benchmark: the largest deviation from the reference stands beside the ratio, and decides the
exit status. Speed never does: ratios are to be copied, times are not.
"""
