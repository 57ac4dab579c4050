"""Without tuning: the estimators as they come, against the best settings of their peers that a grid finds.

Run by ``python -m tests.benchmarks.no_tuning [names ...] [--seeds N] [--quick] [--vw] [--json PATH]``. For each data
set of `tables`, and each of several splits into three quarters training and one quarter test rows, stratified by class:

- `SGDClassifierPlus()` and `SGDRegressorPlus()` untouched, on the features as they come, and on the same features each
  multiplied by a factor between 1/1000 and 1000 of its own ("scaled").
- The best of all grids: the highest mean test score of the points of `grid`, of all peers and of ours. It is picked on
  the test rows, which favours it, the more so the fewer rows there are: in ten splits of iris, with 38 test rows each,
  the best of the peers' points was 0.011 above ours, in fifty it is 0.001 above. Peers get their features as they come
  and scaled to one size.
- The peers at their defaults; Vowpal Wabbit, where it is asked for, on the first three splits.
- The exact minimiser of our own objective, by `LogisticRegression` or `Ridge` on the features as training sees them.
- Fits with a thousandth of the default penalty on both kinds of features, and regressions of targets in other units.
- The share of the time of a fit that is spent on choosing penalties, rates and scales, of data of at least 20,000 rows.
- Each optimizer's own rate of ``eta0="auto"`` against a grid around it: by how much more is the objective of the
  training rows, after the same 10 epochs and computed exactly, than at the best of the grid?

Scores are accuracy or R2; classifiers have the log loss of the test rows in addition. What raises an error counts as
nan. The data sets that were kept out of all decisions stand apart.
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path
from time import perf_counter
from unittest.mock import patch

import numpy as np
from scipy import sparse
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit._kernels.rows import Rows
from sgdkit.auto.scaling import Standard
from sgdkit.estimators import plan
from sgdkit.optimizers import OPTIMIZERS
from tests.benchmarks import data, peers
from tests.benchmarks.report import table
from tests.benchmarks.tables import HELD_OUT, TABLES, load
from tests.benchmarks.timing import Missing
from tests.internals import scaling_of

RATE_FACTORS = 10.0 ** np.arange(-2, 1.51, 0.25)
RATE_EPOCHS = 10
LARGE = 20_000
QUICK_ROWS = 600
VW_SEEDS = 3
# Of fewer rows than the key, so many splits.
SPLITS = {1000: 50, 2000: 10}
# Peers and exact minimisers stop here at the latest; by far the most stop before.
GRID_ITERATIONS, EXACT_ITERATIONS = 500, 5000


# -------------------------------------------------------------------------------------------------------- the models


def ours(kind, **options):
    """Our estimator, which is untouched if there are no options."""
    return (SGDClassifierPlus if kind == "classification" else SGDRegressorPlus)(**options)


def defaults(kind, seed):
    """The peers by name, as they come."""
    if kind == "regression":
        return {"SGDRegressor": SGDRegressor(random_state=seed), "Ridge": Ridge()}
    return {
        "SGDClassifier": SGDClassifier(random_state=seed),
        "SGDClassifier(log_loss)": SGDClassifier(loss="log_loss", random_state=seed),
        "LogisticRegression": LogisticRegression(),
    }


def grid(kind, n_rows, scaler, seed):
    """The points of all grids, as pairs of a name and a model."""
    for standardize in (True, False):
        for factor in (10, 1, 0.1, 0.01, 0.001):
            settings = {"alpha": factor / n_rows, "standardize": standardize}
            name = f"ours(alpha={factor:g}/n{'' if standardize else ', standardize=False'})"
            yield name, ours(kind, max_iter=200, random_state=seed, **settings)
    for name, model in peer_grid(kind, seed):
        yield name, model
        yield f"{type(scaler).__name__}, {name}", make_pipeline(scaler, model)


def peer_grid(kind, seed):
    """The grids of the peers."""
    if kind == "regression":
        for alpha in 10.0 ** np.arange(-7, 0):
            yield f"SGDRegressor(alpha={alpha:g})", SGDRegressor(alpha=alpha, random_state=seed)
        for alpha in 10.0 ** np.arange(-4, 5):
            yield f"Ridge(alpha={alpha:g})", Ridge(alpha=alpha)
        return
    for loss in ("log_loss", "hinge"):
        for alpha in 10.0 ** np.arange(-7, 0):
            yield (
                f"SGDClassifier({loss}, alpha={alpha:g})",
                SGDClassifier(loss=loss, alpha=alpha, random_state=seed),
            )
    for C in 10.0 ** np.arange(-2, 4):
        yield f"LogisticRegression(C={C:g})", LogisticRegression(C=C, max_iter=GRID_ITERATIONS)
        yield f"LinearSVC(C={C:g})", LinearSVC(C=C, max_iter=GRID_ITERATIONS, random_state=seed)


def exact(model, split, kind):
    """The scores of the exact minimiser of the objective of one of our models."""
    X, X_test = (scaling_of(model).apply(Rows(X)).X for X in (split.X, split.X_test))
    strength = len(split.y) * model.alpha_ * scaling_of(model).unit ** 2
    if kind == "regression":
        minimiser = Ridge(alpha=strength, tol=1e-8)
    else:
        minimiser = LogisticRegression(C=1 / strength, max_iter=EXACT_ITERATIONS, tol=1e-6)
    return outcome(minimiser, data.Split(X, split.y, X_test, split.y_test))


# -------------------------------------------------------------------------------------------------------- one split


def split_rows(X, y, kind, seed):
    """A `Split` of the rows."""
    stratify = y if kind == "classification" else None
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
    return data.Split(X, y, X_test, y_test)


def rescaled(X):
    """X with each feature multiplied by a factor of its own."""
    factors = 10.0 ** np.random.default_rng(0).uniform(-3, 3, X.shape[1])
    return sparse.csr_matrix(X @ sparse.diags(factors)) if sparse.issparse(X) else X * factors


def outcome(model, split):
    """Fit a model, and return its score and its log loss on the test rows; nan where there is none."""
    try:
        model.fit(split.X, split.y)
        score = float(model.score(split.X_test, split.y_test))
        if not hasattr(model, "predict_proba"):
            return score, np.nan
        probabilities = model.predict_proba(split.X_test)
        return score, float(log_loss(split.y_test, probabilities, labels=model.classes_))
    except Exception as error:
        print(f"  {model}: {error!r}"[:200], file=sys.stderr)
        return np.nan, np.nan


def of_defaults(splits, kind, seed):
    """Ours and the peers as they come, and the exact minimisers of our objective; `splits` are raw and scaled."""
    found = {}
    for suffix, split in splits.items():
        model = ours(kind, random_state=seed)
        found["ours" + suffix] = outcome(model, split)
        found["exact" + suffix] = exact(model, split, kind)
        weak = ours(kind, alpha=1e-3 / len(split.y), random_state=seed)
        found["weak" + suffix] = outcome(weak, split)
        for name, peer in defaults(kind, seed).items():
            found[name + suffix] = outcome(peer, split)
    if kind == "regression":
        split = splits[""]
        for unit in (1e6, 1e-6):
            others = data.Split(split.X, split.y * unit, split.X_test, split.y_test * unit)
            found[f"y * {unit:g}"] = outcome(ours(kind, random_state=seed), others)
    return found


def of_grid(split, kind, seed):
    """All points of the grids, on the features as they come."""
    scaler = MaxAbsScaler() if sparse.issparse(split.X) else StandardScaler()
    return {name: outcome(model, split) for name, model in grid(kind, len(split.y), scaler, seed)}


# ---------------------------------------------------------------------------------------------------- Vowpal Wabbit


def of_vowpal_wabbit(splits, kind):
    """Vowpal Wabbit in one pass as it comes, and with ``--coin``, which needs no rate."""
    return {
        f"VW{coin}{suffix}": (vowpal_wabbit(split, kind, coin), np.nan)
        for suffix, split in splits.items()
        for coin in ("", " --coin")
    }


def vowpal_wabbit(split, kind, options):
    """The test score of Vowpal Wabbit; one against all where there are several classes."""
    vw = peers._module("vowpalwabbit", "vowpalwabbit")
    folder = peers._scratch()
    if kind == "regression":
        y, y_test, task = split.y, split.y_test, "--loss_function squared"
    else:
        classes, codes = np.unique(np.append(split.y, split.y_test), return_inverse=True)
        several = len(classes) > 2
        codes = codes + 1 if several else 2 * codes - 1
        y, y_test = np.split(codes, [len(split.y)])
        task = f"--loss_function logistic {f'--oaa {len(classes)}' if several else '--binary'}"
    files = {"train": (split.X, y), "test": (split.X_test, y_test)}
    for name, (X, targets) in files.items():
        write_rows(folder / name, X, targets)
    vw.Workspace(f"-d {folder / 'train'} -f {folder / 'model'} -b 22 --quiet {task} {options}").finish()
    predicted = folder / "predicted"
    vw.Workspace(f"-t -i {folder / 'model'} -d {folder / 'test'} -p {predicted} --quiet").finish()
    score = r2_score if kind == "regression" else accuracy_score
    return float(score(y_test, np.loadtxt(predicted)))


def write_rows(path, X, y):
    """Write rows as Vowpal Wabbit reads them, zeros left out."""
    X = sparse.csr_matrix(X)
    with path.open("w", encoding="utf-8") as file:
        for label, begin, end in zip(y, X.indptr, X.indptr[1:], strict=False):
            pairs = zip(X.indices[begin:end], X.data[begin:end], strict=True)
            file.write(f"{label} | {' '.join(f'{j}:{v:.7g}' for j, v in pairs)}\n")


# -------------------------------------------------------------------------------------------------- choosing, rates


def choosing_share(split, kind):
    """The share of the time of a default fit that goes into choosing; the median of five fits."""
    return float(np.median([_choosing_share(split, kind) for _ in range(5)]))


def _choosing_share(split, kind):
    spent = []

    def timed(function):
        def wrapper(*args, **options):
            begin = perf_counter()
            result = function(*args, **options)
            spent.append(perf_counter() - begin)
            return result

        return wrapper

    rates = patch.object(plan, "choose_rates", timed(plan.choose_rates))
    strengths = patch.object(plan, "choose_strength", timed(plan.choose_strength))
    scales = patch.object(Standard, "__init__", timed(Standard.__init__))
    with rates, scales, strengths:
        begin = perf_counter()
        ours(kind, random_state=0).fit(split.X, split.y)
        return sum(spent) / (perf_counter() - begin)


def objective(model, X, y, kind):
    """The objective of one of our models: the mean loss of the rows, and the penalty."""
    scores = model.decision_function(X) if kind == "classification" else model.predict(X)
    if kind == "regression":
        loss = np.mean(np.square(y - scores)) / 2
    elif scores.ndim == 1:
        loss = np.mean(np.logaddexp(0, np.where(y == model.classes_[1], -scores, scores)))
    else:
        own = scores[np.arange(len(y)), np.searchsorted(model.classes_, y)]
        loss = np.mean(logsumexp(scores, axis=1) - own)
    return float(loss + model.alpha_ / 2 * np.sum(np.square(scaling_of(model).scale * model.coef_)))


def rate_excess(optimizer, split, kind):
    """By what share the objective at the rate of "auto" is above that at the best rate of the grid."""

    def reached(eta0):
        try:
            model = ours(kind, optimizer=optimizer, eta0=eta0, max_iter=RATE_EPOCHS, tol=None, random_state=0)
            model.fit(split.X, split.y)
        except ValueError:  # the weights overflow
            return np.nan, np.nan
        return objective(model, split.X, split.y, kind), float(model.eta0_)

    own, rate = reached("auto")
    others = [reached(rate * factor)[0] for factor in RATE_FACTORS]
    best = int(np.nanargmin(others))
    return {"excess": own / others[best] - 1, "eta0": rate, "best factor": float(RATE_FACTORS[best])}


# ------------------------------------------------------------------------------------------------------ one data set


def measured(name, options):
    """All figures of a data set, as a dictionary that JSON can hold."""
    X, y, kind = load(name)
    if options.quick:
        X, y = X[:QUICK_ROWS], y[:QUICK_ROWS]
        if kind == "classification":
            common = np.isin(y, [c for c in np.unique(y) if np.count_nonzero(y == c) > 3])
            X, y = X[common], y[common]
    n_seeds = options.seeds or (1 if options.quick else n_splits(len(y)))
    X_scaled = rescaled(X)
    record = {"kind": kind, "shape": list(X.shape), "defaults": {}, "grid": {}}
    for seed in range(n_seeds):
        splits = {"": split_rows(X, y, kind, seed), ", scaled": split_rows(X_scaled, y, kind, seed)}
        add(record["defaults"], of_defaults(splits, kind, seed))
        add(record["grid"], of_grid(splits[""], kind, seed))
        if options.vw and seed < VW_SEEDS:
            add(record["defaults"], of_vowpal_wabbit(splits, kind))
    split = split_rows(X, y, kind, 0)
    record["choosing"] = choosing_share(split, kind) if len(y) >= LARGE else None
    record["rates"] = {optimizer: rate_excess(optimizer, split, kind) for optimizer in OPTIMIZERS}
    return record


def n_splits(n_rows):
    """How many splits: so many that their mean is certain to less than the 0.01 that it is asked about."""
    return next((n for most, n in SPLITS.items() if n_rows < most), 3)


def add(record, found):
    """Append the scores and log losses of one split to those of others."""
    for name, pair in found.items():
        record.setdefault(name, []).append(pair)


def mean(record, name, which=0):
    """The mean over splits of a score (0) or a log loss (1); nan where there is none."""
    pairs = record["defaults"].get(name, record["grid"].get(name))
    return np.nan if pairs is None else float(np.mean([pair[which] for pair in pairs]))


def best_of_grids(record):
    """The highest mean score, and whose it is."""
    scores = {name: mean(record, name) for name in record["grid"]}
    name = max(scores, key=lambda name: np.nan_to_num(scores[name], nan=-np.inf))
    return scores[name], name


# --------------------------------------------------------------------------------------------------------- the tables


def score_row(name, record):
    best, who = best_of_grids(record)
    scores = [pair[0] for pair in record["defaults"]["ours"]]
    own, scaled = np.mean(scores), mean(record, "ours, scaled")
    return (
        name,
        "×".join(map(str, record["shape"])),
        len(scores),
        own,
        np.std(scores),
        scaled,
        best,
        own - best,
        who,
    )


def loss_row(name, record):
    if record["kind"] == "regression":
        return None
    peers_and_exact = ("LogisticRegression", "exact", "SGDClassifier(log_loss)")
    own, *others = (mean(record, which, 1) for which in ("ours", *peers_and_exact))
    return name, own, *others, *(own / other for other in others[:2])


def defaults_row(name, record):
    first, last = {
        "classification": ("SGDClassifier", "LogisticRegression"),
        "regression": ("SGDRegressor", "Ridge"),
    }[record["kind"]]
    entrants = ("ours", first, last, "VW", "VW --coin")
    return name, *(mean(record, who + suffix) for who in entrants for suffix in ("", ", scaled"))


def checks_row(name, record):
    own, scaled = mean(record, "ours"), mean(record, "ours, scaled")
    of_exact = own - mean(record, "exact"), scaled - mean(record, "exact, scaled")
    weak, weak_scaled = mean(record, "weak"), mean(record, "weak, scaled")
    units = [mean(record, f"y * {unit:g}") - own for unit in (1e6, 1e-6)]
    choosing = np.nan if record["choosing"] is None else 100 * record["choosing"]
    return name, *of_exact, weak, weak_scaled, weak_scaled - weak, *units, choosing


def rates_row(name, record):
    rates = record["rates"]
    return name, *(100 * rates[optimizer]["excess"] for optimizer in OPTIMIZERS)


# Title, row of a data set, header, and how many decimals its numbers have.
TABLES_PRINTED = (
    (
        "Test scores: ours by default (mean, standard deviation over splits) against the best of all grids",
        score_row,
        ("data", "shape", "splits", "default", "±", "scaled", "best", "difference", "whose best"),
        4,
    ),
    (
        "Test log losses",
        loss_row,
        (
            "data",
            "default",
            "LogisticRegression()",
            "exact",
            "SGDClassifier(log_loss)",
            "/ LogReg",
            "/ exact",
        ),
        4,
    ),
    (
        "Test scores of defaults, each on features as they come and on scaled ones; SGD is that of scikit-learn, "
        "LR/Ridge are LogisticRegression and Ridge",
        defaults_row,
        (
            *("data", "ours", "scaled", "SGD", "scaled", "LR/Ridge", "scaled"),
            *("VW", "scaled", "VW --coin", "scaled"),
        ),
        3,
    ),
    (
        "Checks: differences of test scores; weak is alpha=1e-3/n; the time that choosing takes, in per cent of a fit",
        checks_row,
        (
            *("data", "ours - exact", "both scaled", "weak", "weak scaled", "difference"),
            *("y * 1e6", "y * 1e-6", "choosing %"),
        ),
        4,
    ),
    (
        f"Rates: the objective after {RATE_EPOCHS} epochs, in per cent above that of the best eta0 of a grid",
        rates_row,
        ("data", *OPTIMIZERS),
        2,
    ),
)
SUMMARIES = {"mean": np.nanmean, "median": np.nanmedian, "lowest": np.nanmin, "highest": np.nanmax}


def print_tables(records):
    """Print the tables of data sets by name; those held out come after the others, with no part in the summaries."""
    names = [name for name in records if name not in HELD_OUT]
    held_out = [name for name in records if name in HELD_OUT]
    for title, row, header, decimals in TABLES_PRINTED:
        rows = [cells for cells in (row(name, records[name]) for name in names) if cells]
        apart = [cells for cells in (row(f"{name} (held out)", records[name]) for name in held_out) if cells]
        if rows or apart:
            lines = [*rows, *(summaries(rows) if len(rows) > 1 else ()), *apart]
            print(f"\n{title}\n\n{table([formatted(line, decimals) for line in lines], header)}")


def summaries(rows):
    """Rows of statistics over the data sets, of the columns of numbers; nan where there are none."""
    for name, statistic in SUMMARIES.items():
        cells = (
            statistic(column) if isinstance(column[0], float) and not np.isnan(column).all() else ""
            for column in list(zip(*rows, strict=True))[1:]
        )
        yield (name, *cells)


def formatted(cells, decimals):
    """Cells as text; nan is empty, and what is too large for decimals has an exponent."""

    def text(cell):
        if not isinstance(cell, float):
            return str(cell)
        if np.isnan(cell):
            return ""
        return f"{cell:.{decimals}f}" if abs(cell) < 1e4 else f"{cell:.1e}"

    return tuple(map(text, cells))


# ------------------------------------------------------------------------------------------------------ command line


def parsed(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.no_tuning", description="Defaults against tuned peers."
    )
    parser.add_argument("names", nargs="*", metavar="names", help=f"of {', '.join(TABLES)}; all by default")
    parser.add_argument(
        "--seeds", type=int, help="splits (default: 50 under 1,000 rows, 10 under 2,000, else 3)"
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS} rows, one split: does all run?")
    parser.add_argument("--vw", action="store_true", help="also Vowpal Wabbit, which reads text files")
    parser.add_argument("--json", help="where all figures go")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(TABLES)
    if unknown:
        parser.error(f"there are no data sets {', '.join(sorted(unknown))}")
    return options


def _is_here(package):
    """Whether a peer is installed; a line says that it is skipped."""
    try:
        peers._module(package, package)
    except Missing as reason:
        print(f"skipped: {reason}", file=sys.stderr, flush=True)
        return False
    return True


def main(arguments=None):
    """Measure, and print the tables."""
    options = parsed(arguments)
    if options.vw:
        options.vw = _is_here("vowpalwabbit")
    records = {}
    for name in options.names or TABLES:
        begin = perf_counter()
        try:
            records[name] = measured(name, options)
        except Missing as reason:
            print(f"skipped: {name}: {reason}", file=sys.stderr, flush=True)
            continue
        line = "  ".join(formatted(score_row(name, records[name]), 4))
        print(f"{line}  ({perf_counter() - begin:.0f} s)", file=sys.stderr, flush=True)
        if options.json:
            Path(options.json).write_text(json.dumps(records, indent=1), encoding="utf-8")
    print_tables(records)


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"  # for the processes that are started
    warnings.simplefilter("ignore")
    with threadpool_limits(1), np.errstate(all="ignore"):
        main()
