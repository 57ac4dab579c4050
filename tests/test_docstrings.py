"""Docstrings of what is public: in numpydoc's form, and true of the signatures, the registries and each other."""

import doctest
import inspect
import re

import pytest
from numpydoc.docscrape import ClassDoc, NumpyDocString
from numpydoc.validate import validate

import sgdkit
from sgdkit import SGDClassifierPlus, SGDRegressorPlus, model_selection, plotting
from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from sgdkit.optimizers import OPTIMIZERS, Adam, Nadam, RMSProp
from sgdkit.optimizers.base import Optimizer
from sgdkit.penalties import PENALTIES
from sgdkit.schedules import SCHEDULES

ESTIMATORS = [SGDClassifierPlus, SGDRegressorPlus]
SEARCHES = [getattr(model_selection, name) for name in model_selection.__all__ if name.endswith("SearchCV")]
DISPLAYS = [getattr(plotting, name) for name in plotting.__all__ if name.endswith("Display")]
FUNCTIONS = [plotting.coef_frame, model_selection.regularization_path, sgdkit.show_versions]
CLASSES = [*ESTIMATORS, *SEARCHES, *DISPLAYS, *OPTIMIZERS.values()]
# Sections that are unknown (GL06) or out of order (GL07), docstrings (GL08) and summaries (SS01) that are missing,
# parameters other than those of the signature (PR01, PR02, PR03), those without a type (PR04), and results without a
# section (RT01) or a description (RT03).
FAULTS = {"GL06", "GL07", "GL08", "SS01", "PR01", "PR02", "PR03", "PR04", "RT01", "RT03"}
LISTS = [
    *[(estimator, "optimizer", {"auto", *OPTIMIZERS}) for estimator in ESTIMATORS],
    *[(estimator, "learning_rate", {"auto", *SCHEDULES}) for estimator in ESTIMATORS],
    *[(estimator, "penalty", set(PENALTIES) - {None}) for estimator in ESTIMATORS],
    (SGDClassifierPlus, "loss", set(CLASSIFIER_LOSSES)),
    (SGDRegressorPlus, "loss", set(REGRESSOR_LOSSES)),
]


def public():
    """The paths of our functions, classes and those methods that do not come from scikit-learn, with the objects.

    A method without a docstring has that of the method it overrides.
    """
    for thing in [*CLASSES, *FUNCTIONS]:
        yield pytest.param(f"{thing.__module__}.{thing.__name__}", thing, id=thing.__name__)
    for cls in [*CLASSES, Optimizer]:
        for name, method in inspect.getmembers(cls, callable):
            overrides = any(hasattr(base, name) for base in cls.__mro__[1:]) and not method.__doc__
            if not name.startswith("_") and str(method.__module__).startswith("sgdkit") and not overrides:
                name = f"{cls.__name__}.{name}"
                yield pytest.param(f"{cls.__module__}.{name}", method, id=name)


def parameter(cls, name):
    return next(parameter for parameter in ClassDoc(cls)["Parameters"] if parameter.name == name)


@pytest.mark.parametrize(("path", "documented"), list(public()))
def test_docstring_has_the_form_of_numpydoc(path, documented):
    faults = FAULTS | {"EX01"} if inspect.isclass(documented) else FAULTS
    assert not [error for error in validate(path)["errors"] if error[0] in faults]


@pytest.mark.parametrize(("path", "documented"), list(public()))
def test_examples_run(path, documented):
    examples = doctest.DocTestParser().get_doctest(inspect.getdoc(documented), {}, path, None, 0)
    output = []
    assert not doctest.DocTestRunner().run(examples, out=output.append).failed, "".join(output)


@pytest.mark.parametrize(
    ("things", "excluded"),
    [
        (ESTIMATORS, {"loss", "alpha", "alpha_", "coef_", "intercept_"}),
        ([cls.partial_fit for cls in ESTIMATORS], set()),
        (SEARCHES, set()),
        ([Adam, Nadam, RMSProp], set()),
        ([plotting.coef_frame, *(cls.from_estimator for cls in DISPLAYS)], {"estimator", "ax"}),
        ([cls.plot for cls in DISPLAYS], {"ax"}),
    ],
    ids=["estimators", "partial_fit", "searches", "optimizers", "from_estimator", "plot"],
)
def test_shared_parameters_have_the_same_words(things, excluded):
    """And so have shared attributes; but for those that are excluded."""
    words = {}
    for thing in things:
        docstring = NumpyDocString(inspect.getdoc(thing))
        for parameter in [*docstring["Parameters"], *docstring["Attributes"]]:
            own = parameter.type, " ".join(parameter.desc)
            assert parameter.name in excluded or words.setdefault(parameter.name, own) == own, parameter.name


@pytest.mark.parametrize(("cls", "name", "registry"), LISTS, ids=lambda part: getattr(part, "__name__", None))
def test_a_parameter_lists_its_registry(cls, name, registry):
    listed = re.search("{(.*?)}", parameter(cls, name).type)[1]
    assert {entry.strip(' "') for entry in listed.split(",")} == registry


@pytest.mark.parametrize(
    ("name", "registry"), [("loss", {**CLASSIFIER_LOSSES, **REGRESSOR_LOSSES}), ("learning_rate", SCHEDULES)]
)
def test_every_entry_has_its_formula(name, registry):
    text = " ".join(line for cls in ESTIMATORS for line in parameter(cls, name).desc)
    assert not [entry for entry in registry if f'"{entry}"' not in text]
