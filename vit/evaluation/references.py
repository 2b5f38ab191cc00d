"""A baseline without a neural network, on the same split."""

import numpy as np
from sklearn.svm import SVC


def svc_accuracy(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> float:
    """Test accuracy of scikit-learn's SVC(gamma=.001) on raw pixels, fitted on train; each is (images, labels).

    Pixels are scaled to 0..16, the range for which scikit-learn's digits example chose that gamma.
    """
    (train_images, train_labels), (test_images, test_labels) = train, test
    classifier = SVC(gamma=0.001).fit(_flat(train_images), train_labels)
    return float(classifier.score(_flat(test_images), test_labels))


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) * np.float32(16 / 255)
