"""Classifiers of a readout: linear, or with one hidden layer.

All of them need only the products of the training vectors, [n, n] in place of [n, 20,000 features].
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...base.blas import one_thread

# Fractions of the mean squared norm of a training vector, chosen on parts of the training recordings of N-MNIST-800 and
# FSDD-SHD: accuracy is flat within a factor of 3.
PENALTIES = {"ridge": 0.1, "logistic": 0.003, "ann": 0.0016}
ITERATIONS = 300  # of logistic regression at most
# Settings of "ann", chosen in the same way: number of principal components, root mean square length of a training
# vector in them, number of training steps, and recordings a step.
COMPONENTS = 400
LENGTH = 8.0
STEPS = 400
BATCH = 100


class LastLayer(NamedTuple):
    """Weights [classes, units] and biases [classes] of the last layer."""

    weights: NDArray[np.floating]
    bias: NDArray[np.float64]


class TrainedSums(NamedTuple):
    """A trained classifier: units that are sums of the training vectors, and perhaps a layer after them."""

    coefficients: NDArray[np.floating]
    """[n, units] of the training vectors."""
    bias: NDArray[np.floating]
    """[units]."""
    last: LastLayer | None = None
    """Layer of the classes; None where the units are the classes."""


class ReadoutClassifier(Protocol):
    """Trains units that are sums of the training vectors, whose products alone it needs."""

    def __call__(
        self, gram: NDArray[np.float64], column: NDArray[np.int64], penalty: float, *, hidden: int, seed: int
    ) -> TrainedSums:
        """Return the units, and the layer after them if there is one.

        Args:
            gram: [n, n] products of the centred training vectors.
            column: [n] class of each.
            penalty: weight of the squared weights.
            hidden: hidden units, where the classifier has a hidden layer.
            seed: key of first weights and of the order of recordings, where they are drawn.
        """


def ridge(
    gram: NDArray[np.float64], column: NDArray[np.int64], penalty: float, *, hidden: int, seed: int
) -> TrainedSums:
    """Solve ridge regression.

    The minimum of |Y - Z w - b|^2 + penalty |w|^2, Y being 1 for the right class and -1 for others. scikit-learn's
    `Ridge` needs the vectors; here their products in single precision are enough, and they take most of the time at
    20,000 features. Its `KernelRidge` has the same coefficients, after an import of more than a second.
    """
    from scipy.linalg import LinAlgError, lstsq, solve

    targets = np.where(column[:, None] == np.arange(column.max() + 1), 1.0, -1.0)
    bias = targets.mean(axis=0)
    penalised = gram.copy()
    penalised.flat[:: len(gram) + 1] += penalty
    # Asked for here, when scipy's own library of linear algebra is there.
    with one_thread():
        try:
            return TrainedSums(solve(penalised, targets - bias, assume_a="pos"), bias)
        except LinAlgError:
            # A penalty below the rounding of the products.
            return TrainedSums(lstsq(penalised, targets - bias)[0], bias)


def logistic(
    gram: NDArray[np.float64], column: NDArray[np.int64], penalty: float, *, hidden: int, seed: int
) -> TrainedSums:
    """Solve multinomial logistic regression.

    It depends on the vectors only through their products, so the rows of a Cholesky factor, n coordinates with these
    products, take the place of 20,000 features.
    """
    from sklearn.linear_model import LogisticRegression

    n = len(gram)
    # Products in single precision may miss being positive definite by their rounding.
    factor = np.linalg.cholesky(gram + (1e-7 * np.trace(gram) + 1e-12) * np.eye(n))
    model = LogisticRegression(C=1 / penalty, max_iter=ITERATIONS).fit(factor, column)
    rows = _of_all_classes(model.coef_, model.intercept_)
    return TrainedSums(np.linalg.solve(factor.T, rows.weights.T), rows.bias)


def ann(gram: NDArray[np.float64], column: NDArray[np.int64], penalty: float, *, hidden: int, seed: int) -> TrainedSums:
    """Train a hidden layer by Adam on the principal coordinates of the training vectors, computed from products."""
    import warnings

    from scipy.linalg import eigh
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    n = len(gram)
    spread, axes = eigh(gram, subset_by_index=[max(n - COMPONENTS, 0), n - 1])
    # Eigenvalues ascend; axes of rounding errors are left out.
    above = spread > 1e-6 * spread[-1]
    scale = LENGTH / np.sqrt(max(float(np.trace(gram)) / n, 1e-12))
    roots = np.sqrt(spread[above])
    coordinates = (axes[:, above] * roots * scale).astype(np.float32)
    with warnings.catch_warnings():
        # Training stops after STEPS on purpose.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPClassifier(
            (hidden,),
            alpha=penalty * scale**2,
            batch_size=min(BATCH, n),
            # Epochs of ceil(n / BATCH) steps each.
            max_iter=-(-STEPS // -(-n // BATCH)),
            random_state=seed % 2**32,
        ).fit(coordinates, column)
    first, last = model.coefs_
    first_bias, last_bias = model.intercepts_
    coefficients = axes[:, above] / roots * scale @ first
    return TrainedSums(coefficients, first_bias, _of_all_classes(last.T, last_bias.astype(np.float64)))


def _of_all_classes(weights: NDArray[np.floating], bias: NDArray[np.float64]) -> LastLayer:
    """Return a row for each class; for two classes scikit-learn has one row, of their difference."""
    if len(weights) > 1:
        return LastLayer(weights, bias)
    return LastLayer(np.vstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2]))


CLASSIFIERS: dict[str, ReadoutClassifier] = {"ridge": ridge, "logistic": logistic, "ann": ann}
