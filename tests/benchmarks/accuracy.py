"""Time to accuracy: how long do we take to score what a peer scores at the best of a few settings?

Both sides choose their settings on the test rows, by one fit each; the chosen ones are then timed in turns. The peer's
is the setting that scores highest. Ours is the one that first, in seconds of its single fit, scores as much; each is
tried with a rising number of epochs. Data are in memory, if `peers` says nothing else.

So scores are a little optimistic, on both sides. More of it on ours: `OUR_SETTINGS` are picked from some 65, which were
tried on another split of the same glosses; the peers' few are common ones.
"""

from functools import lru_cache, partial

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline

from sgdkit import SGDClassifierPlus
from tests.benchmarks import data, peers
from tests.benchmarks.peers import Entrant
from tests.benchmarks.timing import Contest, Result, compete, seconds

EPOCHS = (1, 2, 3, 4, 6, 8, 12)
AVERAGED_SGD = {"optimizer": "sgd", "learning_rate": "constant", "average": True, "alpha": 1e-6}
OUR_SETTINGS = [
    {**AVERAGED_SGD, "eta0": 3.0},
    {**AVERAGED_SGD, "eta0": 10.0},
    {"optimizer": "adagrad", "eta0": 1.0, "alpha": 1e-6},
    {"optimizer": "adagrad", "eta0": 0.2, "alpha": 1e-6, "loss": "squared_hinge"},
    {"optimizer": "adagrad", "eta0": 0.3, "alpha": 1e-6, "loss": "modified_huber"},
]
FLIGHTS_SETTINGS = [
    {"optimizer": optimizer, "eta0": eta0, "alpha": 1e-6}
    for optimizer, eta0 in (("adagrad", 0.03), ("adagrad", 0.1), ("adagrad", 0.3), ("sgd", 0.1))
]


def wordnet(settings):
    """The WordNet glosses of a run."""
    return data.wordnet(settings.wordnet, 12_000 if settings.quick else None)


def tried(entrant):
    """Fit an entrant, and return the score, the seconds and the entrant."""
    fitted = []
    time = seconds(lambda: fitted.append(entrant.fit()))
    return entrant.score(fitted.pop()), time, entrant


def highest(entrants):
    """The entrant of the highest score, and that score."""
    score, _, entrant = max(map(tried, entrants), key=lambda outcome: outcome[0])
    return entrant, score


def soonest(families, score):
    """The entrant that takes the least time to score as much, or None if there is none.

    Each family is an iterable of entrants that take longer and longer.
    """
    best, least = None, float("inf")
    for family in families:
        for entrant in family:
            reached, time, _ = tried(entrant)
            if time >= least:
                break
            if reached >= score:
                best, least = entrant, time
                break
    return best


def our_entrants(split, options_of_all, wrap=lambda model: model):
    """For each of our settings the entrants of 1, 2, 3, ... epochs."""
    for options in options_of_all:
        name = ", ".join(
            f"{key}={options[key]}" for key in ("optimizer", "loss", "eta0", "average") if key in options
        )
        yield (
            peers.estimator(f"{name}, {epochs} epochs", wrap(peers.ours(epochs=epochs, **options)), split)
            for epochs in EPOCHS
        )


def race(peer_entrants, our_families, settings, slack=0.0):
    """Time our way to the score that a peer reaches, less a slack, against that peer."""
    peer, score = highest(peer_entrants)
    mine = soonest(our_families, score - slack)
    if mine is None:
        _, time, _ = tried(peer)
        return Result(float("inf"), time, peer.name, note=f"{score:.4g} is not reached")
    return compete(Contest(mine.fit, peer.fit, peer.name, f"{score:.4g} by {mine.name}"), settings)


def wordnet_race(peer, settings):
    """To the best accuracy of a peer of `peers` on WordNet."""
    split = wordnet(settings)
    return race(peer(split), our_entrants(split, OUR_SETTINGS), settings)


def text_race(ngrams, settings):
    """To fastText's accuracy with words, or with words and pairs, from the texts on: our time includes the TF-IDF."""
    split = wordnet(settings)
    texts = data.Split(split.texts, split.y, split.texts_test, split.y_test)

    def from_texts(model):
        return make_pipeline(TfidfVectorizer(ngram_range=(1, ngrams), min_df=2), model)

    families = our_entrants(texts, OUR_SETTINGS[2:3] + OUR_SETTINGS[:1], from_texts)
    return race(peers.fasttext(split, ngrams), families, settings)


def flights_race(settings):
    """To within 0.0005 of the lowest test log loss of liblinear's logistic regression on the one-hot flights."""
    split = data.flights_sparse(n_rows=20_000 if settings.quick else None)

    def scored_by_loss(entrant):
        def score(model):
            return -log_loss(split.y_test, model.predict_proba(split.X_test))

        return Entrant(entrant.name, entrant.fit, score)

    families = (map(scored_by_loss, family) for family in our_entrants(split, FLIGHTS_SETTINGS))
    return race(map(scored_by_loss, peers.liblinear(split)), families, settings, slack=5e-4)


# ------------------------------------------------------------------------------------------------------- by default


def by_default(settings, *, matched=False, whole=True):
    """Our defaults against `LogisticRegression(C=1)` on WordNet, whose accuracy is the goal.

    Parameters
    ----------
    settings : Settings
    matched : bool
        Whether to leave the features as they are, so that both minimise the same objective.
    whole : bool
        Whether to fit until the default stopping rule ends it, or for the fewest epochs that reach the goal.
    """
    split = wordnet(settings)
    score, peer_time, peer = logistic_regression(split)
    options = {"random_state": 0} | ({"standardize": False} if matched else {})
    lengths = [{}] if whole else [{"max_iter": epochs, "tol": None} for epochs in EPOCHS]
    models = [SGDClassifierPlus(**options, **length) for length in lengths]
    family = [peers.estimator(f"{model.max_iter} epochs", model, split) for model in models]
    mine = soonest([family], score)
    if mine is None:
        reached, time, _ = tried(family[-1])
        note = f"{reached:.3f} after {time:.2g} s, not {score:.3f}"
        return Result(float("inf"), peer_time, peer.name, note=note)
    note = f"accuracy {score:.3f}" + ("" if whole else f" by {mine.name}")
    return compete(Contest(mine.fit, peer.fit, peer.name, note), settings)


@lru_cache
def logistic_regression(split):
    """The accuracy of `LogisticRegression`, its seconds, and the entrant."""
    return tried(peers.estimator("LogisticRegression(C=1)", LogisticRegression(C=1.0), split))


matched = partial(by_default, matched=True)
shortest = partial(by_default, whole=False)
