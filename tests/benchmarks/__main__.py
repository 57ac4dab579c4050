"""Run the benchmark: ``python -m tests.benchmarks [names ...] [--repeats N] [--quick] [--picture PATH]``."""

import argparse
import os
import sys
import warnings

import numpy as np
import scipy
import sklearn
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from tests.benchmarks import whole_fits, whole_searches, whole_tables
from tests.benchmarks.bars import BARS
from tests.benchmarks.growth import growth
from tests.benchmarks.report import cells, draw, growth_table, table
from tests.benchmarks.timing import Missing, Settings

GROWTH = "growth"
# These have tables of their own, take an hour, and run only where they are named.
WHOLE = (whole_fits, whole_searches, whole_tables)


def parsed(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="sgdkit against its peers."
    )
    parser.add_argument(
        "names",
        nargs="*",
        help="parts of the names of rows; all rows but those of the whole-* tables if none is given",
    )
    parser.add_argument("--repeats", type=int, default=5, help="turns that each side takes (default: 5)")
    parser.add_argument("--quick", action="store_true", help="small data: does all run?")
    parser.add_argument("--picture", default="benchmark.png", help="where the picture goes; '' for none")
    parser.add_argument("--wordnet", help="folder of WordNet's data files; else they are found, or fetched")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    return parser.parse_args(arguments)


def chosen(names):
    """The rows that are asked for, and whether the growth table is."""
    bars = [bar for bar in BARS if not names or any(name in bar.name for name in names)]
    return bars, not names or any(name in GROWTH for name in names)


def chosen_whole(names):
    """The tables of whole fits and searches that are named, each with the problems of its rows."""
    for table_of in WHOLE:
        whole_names = [name for name in names if name.startswith("whole")]
        problems = [
            p for p in table_of.PROBLEMS if any(name in f"{table_of.NAME} {p}" for name in whole_names)
        ]
        if problems:
            yield table_of, problems


def whole(table_of, problems, settings):
    """Measure the rows of such a table in order; return the table, and what was skipped and why."""
    rows, skipped = [], []
    for name in problems:
        try:
            rows.append(table_of.row(name, settings))
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
        except Missing as reason:
            skipped.append(f"skipped: {table_of.NAME} {name}: {reason}")
    return "\n".join([table(rows, table_of.HEADER), *skipped])


def measured(bars, settings):
    """Measure the rows in order; return the results, and what was skipped and why."""
    results, skipped = [], []
    for bar in bars:
        try:
            results.append((bar, bar.measure(settings)))
            print("  ".join(cells(*results[-1])), file=sys.stderr, flush=True)
        except Missing as reason:
            skipped.append(f"skipped: {bar.name}: {reason}")
    return results, skipped


def main(arguments=None):
    """Measure, print the tables and save the picture."""
    options = parsed(arguments)
    bars, with_growth = chosen(options.names)
    tables = list(chosen_whole(options.names))
    if options.list:
        tables = tables if options.names else [(table_of, table_of.PROBLEMS) for table_of in WHOLE]
        whole_names = [f"{table_of.NAME} {name}" for table_of, problems in tables for name in problems]
        print("\n".join([*(bar.name for bar in bars), *[GROWTH] * with_growth, *whole_names]))
        return
    settings = Settings(options.repeats, options.quick, options.wordnet)
    versions = f"NumPy {np.__version__}, SciPy {scipy.__version__}, scikit-learn {sklearn.__version__}"
    print(f"{versions}; one thread; medians of at most {settings.repeats} turns\n")
    results, skipped = measured(bars, settings)
    if results:
        print(table([cells(bar, result) for bar, result in results]), "\n")
    for line in skipped:
        print(line)
    if with_growth:
        print(growth_table(list(growth(settings))))
    for table_of, problems in tables:
        print(whole(table_of, problems, settings))
    if options.picture and results:
        draw(results, options.picture)
        print(f"\nThe picture is in {options.picture}.")


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"  # for the processes that are started
    warnings.simplefilter("ignore", ConvergenceWarning)
    with threadpool_limits(1):
        main()
