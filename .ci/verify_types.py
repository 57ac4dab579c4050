"""Whether an editor knows the types of all that is public: what `__all__` of the public modules names, and its methods.

`python .ci/verify_types.py` asks pyright about the sgdkit that this Python imports.
"""

import importlib
import inspect
import json
import subprocess
import sys

MODULES = [
    "sgdkit",
    *(f"sgdkit.{name}" for name in ("dask", "disk", "model_selection", "onnx", "optimizers", "plotting")),
]


def owners():
    """The full names of our public classes and functions, and of the classes that they inherit from."""
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            thing = getattr(module, name)
            for owner in inspect.getmro(thing) if inspect.isclass(thing) else [thing]:
                if str(getattr(owner, "__module__", "")).startswith("sgdkit"):
                    yield f"{owner.__module__}.{owner.__qualname__}"


def is_public(symbol, names):
    owner, _, name = symbol.rpartition(".")
    public = not name.startswith("_") or name == "__init__"
    return symbol in names or (owner in names and public)


def faults(symbol):
    """What is not known of the type of a symbol, but for what scikit-learn, which has no types, leaves unknown."""
    found = []
    for message, _, detail in (each["message"].partition("\n") for each in symbol["diagnostics"]):
        inherited = message.startswith(("No docstring", "Type of metaclass", "Type of base class"))
        # A class of ours is partially unknown where its base is.
        if not inherited and ("partially unknown" not in message or not detail or "Unknown" in detail):
            found.append(message)
    return found


command = [
    "pyright",
    "--pythonpath",
    sys.executable,
    "--verifytypes",
    "sgdkit",
    "--ignoreexternal",
    "--outputjson",
]
report = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
if "typeCompleteness" not in report:
    sys.exit(f"pyright has no report: {report}")
names = {*owners()}
symbols = [symbol for symbol in report["typeCompleteness"]["symbols"] if is_public(symbol["name"], names)]
unknown = {symbol["name"]: messages for symbol in symbols if (messages := faults(symbol))}
missing = names - {symbol["name"] for symbol in symbols}
for name, messages in unknown.items():
    print(name, *messages, sep="\n    ")
for name in sorted(missing):
    print(name, "pyright does not see it", sep="\n    ")
print(f"{len(symbols) - len(unknown)} of {len(symbols) + len(missing)} public names have types")
sys.exit(bool(unknown or missing))
