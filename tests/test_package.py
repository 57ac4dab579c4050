"""The package as editors, notebooks and reports of faults see it."""

import ast
import inspect
from importlib.util import find_spec
from pathlib import Path

import pytest
from sklearn.utils._param_validation import Interval

import sgdkit
from sgdkit import _documented, model_selection
from sgdkit.optimizers import OPTIMIZERS
from tests.problems import ESTIMATORS, IRIS

FOLDER = Path(sgdkit.__file__).parent / "optimizers"
COMPILED = [name for name in OPTIMIZERS if not (FOLDER / f"{name}.py").exists()]
PAGES = dict.fromkeys(ESTIMATORS, "sgdkit")
PAGES |= dict.fromkeys(OPTIMIZERS.values(), "sgdkit.optimizers")
SEARCHES = [getattr(model_selection, name) for name in model_selection.__all__ if name.endswith("SearchCV")]
PAGES |= dict.fromkeys(SEARCHES, "sgdkit.model_selection")


def test_all_that_is_public_is_at_the_top():
    assert {*model_selection.__all__, *(cls.__name__ for cls in ESTIMATORS)} <= set(sgdkit.__all__)
    assert all(hasattr(sgdkit, name) for name in sgdkit.__all__)


@pytest.mark.parametrize("name", COMPILED)
def test_a_stub_has_the_signature_of_its_compiled_class(name):
    cls = OPTIMIZERS[name]
    (stub,) = [
        node
        for node in ast.parse((FOLDER / f"{name}.pyi").read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    *attributes, init = stub.body
    parameters = inspect.signature(cls).parameters.values()
    assert stub.name == cls.__name__
    assert [each.target.id for each in attributes] == [each.name for each in parameters]
    assert [each.arg for each in init.args.kwonlyargs] == [each.name for each in parameters]
    assert [ast.literal_eval(each) for each in init.args.kw_defaults] == [each.default for each in parameters]
    for each, annotation in zip(parameters, init.args.kwonlyargs, strict=True):
        constraints = cls._parameter_constraints[each.name]
        is_number = any(isinstance(constraint, Interval) for constraint in constraints)
        assert annotation.annotation.id == ("float" if is_number else "bool")


def test_the_package_says_that_it_is_typed():
    assert (Path(sgdkit.__file__).parent / "py.typed").exists()


def test_versions_are_shown(capsys):
    sgdkit.show_versions()
    shown = capsys.readouterr().out
    for line in "System:", "Packages:", f"sgdkit: {sgdkit.__version__}", "Thread pools:":
        assert line in shown


@pytest.mark.parametrize("cls", PAGES, ids=lambda cls: cls.__name__)
def test_html_leads_to_the_page_of_the_class(cls, monkeypatch):
    arguments = {"estimator": ESTIMATORS[0](), "param_grid": {}, "param_distributions": {}}
    needed = {name: arguments[name] for name in inspect.signature(cls).parameters if name in arguments}
    model = cls(**needed)
    monkeypatch.setattr("sgdkit._documented.documentation", lambda: "https://docs.example/sgdkit")
    page = f"https://docs.example/sgdkit/generated/{PAGES[cls]}.{cls.__name__}.html"
    assert page in model._repr_html_()
    monkeypatch.setattr("sgdkit._documented.documentation", lambda: "")

    assert model._get_doc_link() == ""


def test_the_address_is_that_of_the_package(monkeypatch):
    def metadata(name):
        return type(
            "", (), {"get_all": lambda self, key: ["Source, https://a", "Documentation, https://b/"]}
        )()

    monkeypatch.setattr(_documented, "metadata", metadata)
    assert _documented.documentation.__wrapped__() == "https://b"


@pytest.mark.skipif(
    find_spec("sklearn.utils._repr_html.common") is None, reason="scikit-learn shows no descriptions"
)
def test_html_tells_of_parameters_and_attributes(monkeypatch):
    monkeypatch.setattr("sgdkit._documented.documentation", lambda: "https://docs.example/sgdkit")
    html = ESTIMATORS[0]().fit(*IRIS)._repr_html_()
    assert "Strength of the penalty" in html
