"""The best one-to-one pairs: scipy's `linear_sum_assignment`, for boards that have no scipy."""

import numpy as np
from numpy.typing import NDArray


def best_pairs(cost: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the min(N, M) pairs of least total cost, rows ascending.

    cost: (N, M) finite. By shortest augmenting paths (Jonker and Volgenant, 1987).
    """
    if cost.size == 0:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    if cost.shape[0] > cost.shape[1]:
        columns, rows = best_pairs(cost.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    rows = np.arange(len(cost))
    nearest = cost.argmin(axis=1)
    if len(np.unique(nearest)) == len(nearest):  # nothing can be better, and it is the usual case
        return rows, nearest
    return rows, _assign(cost)


def _assign(cost: NDArray[np.float64]) -> NDArray[np.intp]:
    """(N,) the column of each row, N <= M."""
    num_rows, num_columns = cost.shape
    owner = np.full(num_columns, -1)
    row_price, column_price = np.zeros(num_rows), np.zeros(num_columns)
    for start in range(num_rows):
        before = np.full(num_columns, -1)  # the column a path came from; -1: from `start` itself
        length = np.full(num_columns, np.inf)
        reached = np.zeros(num_columns, dtype=np.bool_)
        row, column, shortest = start, -1, 0.0
        while True:
            path = shortest + cost[row] - row_price[row] - column_price
            shorter = ~reached & (path < length)
            length[shorter], before[shorter] = path[shorter], column
            column = int(np.where(reached, np.inf, length).argmin())
            shortest = float(length[column])
            if owner[column] < 0:
                break
            reached[column] = True
            row = int(owner[column])
        row_price[start] += shortest
        row_price[owner[reached]] += shortest - length[reached]
        column_price[reached] -= shortest - length[reached]
        while column >= 0:
            came_from = int(before[column])
            owner[column] = start if came_from < 0 else owner[came_from]
            column = came_from
    taken = np.flatnonzero(owner >= 0)
    chosen = np.empty(num_rows, np.intp)
    chosen[owner[taken]] = taken
    return chosen
