"""Tables that Sphinx makes of sgdkit's registries, so that what is added there appears here."""

import inspect

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from sgdkit.losses import CLASSIFIER_LOSSES
from sgdkit.optimizers import OPTIMIZERS


def parsed(directive, lines):
    """The nodes that lines of reStructuredText stand for."""
    node = nodes.Element()
    directive.state.nested_parse(StringList(lines, source="registries"), directive.content_offset, node)
    return node.children


class OptimizerTable(Directive):
    """``.. optimizer-table::``: name, class, summary and default schedule of each optimizer."""

    def run(self):
        loss = CLASSIFIER_LOSSES["log_loss"](0.0, 1)
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
        rows = [("Name", "What it is", "A step takes", "Its schedule")]
        for name, cls in OPTIMIZERS.items():
            summary = inspect.getdoc(cls).partition("\n")[0].replace(" [1]_ [2]_", "").replace(" [1]_", "")
            rows.append(
                (
                    f'``"{name}"``, :class:`~sgdkit.optimizers.{cls.__name__}`',
                    summary,
                    "all rows" if cls.full_batch else "a row, or a mini-batch",
                    f"``{cls().default_schedule(loss)}``" + ", backtracking" * cls().backtracks(loss),
                )
            )
        for row in rows:
            lines += [f"   {'*' if not k else ' '} - {cell}" for k, cell in enumerate(row)]
        return parsed(self, lines)


class OptimizerFigure(Directive):
    """``.. optimizer-figure:: name``: its picture in the example of optimizers; nothing if there is no such name."""

    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        if name not in OPTIMIZERS:
            return []
        # The first picture is that of all.
        number = 2 + list(OPTIMIZERS).index(name)
        return parsed(
            self,
            [
                f".. figure:: /auto_examples/images/sphx_glr_plot_optimizers_{number:03d}.png",
                f"   :alt: The way of {name} on a loss surface, and its objective by epoch.",
                "   :target: auto_examples/plot_optimizers.html",
            ],
        )


def setup(app):
    app.add_directive("optimizer-table", OptimizerTable)
    app.add_directive("optimizer-figure", OptimizerFigure)
    return {"parallel_read_safe": True}
