"""The docstrings of NumPy, SciPy and scikit-learn, see examples/plot_sparse_text.py: which module are they from?"""

import ast
from functools import lru_cache
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer

from tests.benchmarks.data.split import Problem, texts_of

EXAMPLE = Path(__file__).parents[3] / "examples" / "plot_sparse_text.py"


@lru_cache
def docstrings():
    """Texts without what gives the module away, and modules."""
    example = _definitions(EXAMPLE)
    texts, labels = example["collect"]()
    texts = example["conceal"](texts, labels)
    return Problem(texts_of(texts), labels, lambda: TfidfVectorizer(sublinear_tf=True, min_df=2))


def _definitions(path):
    """The imports, constants and functions of a script, which is not run."""

    def defines(node):
        constant = isinstance(node, ast.Assign) and all(
            isinstance(target, ast.Name) and target.id.isupper() for target in node.targets
        )
        return constant or isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef))

    module = ast.parse(path.read_text(encoding="utf-8"))
    module.body = [node for node in module.body if defines(node)]
    names = {"__name__": path.stem}
    exec(compile(module, str(path), "exec"), names)
    return names
