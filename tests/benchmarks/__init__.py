"""The speed benchmark: each row is measured in turns with its peer. Run ``python -m tests.benchmarks``.

`bars` says what is measured and how fast it must be, `peers` how each peer is run, `data` where the rows come from.
`whole_fits` and `whole_searches` measure what users call, on real data: ``python -m tests.benchmarks whole-fits``;
`whole_tables` does so on dense tables, most of them generated.
"""
