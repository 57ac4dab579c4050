"""How plans become columns of one pass."""

import numpy as np

from sgdkit.penalties import Penalty


def join_problems(plans):
    """One problem for plans whose problems differ in losses' numbers, penalties and weights of classes alone."""
    plan = plans[0]
    if len(plans) == 1:
        return plan.problem
    n_columns = plan.problem.targets.n_columns
    problem = plan.problem.repeat(len(plans))
    penalties = [other.problem.penalty for other in plans]
    strengths = (
        np.concatenate([np.broadcast_to(getattr(p, name), n_columns) for p in penalties])
        for name in ("l1", "l2")
    )
    problem.penalty = Penalty(*strengths, penalties[0].units)
    problem.loss = _join_losses([other.problem.loss for other in plans], n_columns)
    if any(other.problem.row_weights is not problem.row_weights for other in plans):
        problem.row_weights = plan.data.sample_weight
        ones = np.ones(len(plan.data.kind.classes))
        tables = [ones if other.data.class_weights is None else other.data.class_weights for other in plans]
        problem.class_weights = np.ascontiguousarray(np.repeat(tables, n_columns, axis=0).T, dtype=np.float64)
        problem.column_weights = np.repeat([np.divide(*other.seen) for other in plans], n_columns)
    return problem


def _join_losses(losses, n_columns):
    numbers = [loss.parameter for loss in losses]
    if len({*numbers}) == 1:
        return losses[0]
    return type(losses[0])(np.repeat(np.array(numbers, dtype=np.float64), n_columns), losses[0].n_outputs)


def join_weights(plans):
    """The weights that the columns of several plans begin with."""
    if len(plans) == 1:
        return plans[0].first_weights()
    return np.concatenate([plan.first_weights() for plan in plans], axis=1)


def join_schedules(plans):
    """The schedule of several plans, and the factor of each of their columns."""
    plan, n_columns = plans[0], plans[0].problem.targets.n_columns
    if plan.rate is None:
        return None, None
    rates, factors = [other.rate for other in plans], plan.rate_factors
    factors = None if factors is None else np.tile(factors, len(plans))
    schedules = [other.schedule(other.rate) for other in plans]
    if schedules[0].separable:
        rates = np.repeat(rates, n_columns)
        return plan.schedule(1.0), rates if factors is None else rates * factors
    alphas = [schedule.alpha for schedule in schedules]
    if len({*zip(rates, alphas, strict=True)}) == 1:
        return schedules[0], factors
    return type(schedules[0])(np.repeat(rates, n_columns), alpha=np.repeat(alphas, n_columns)), factors
