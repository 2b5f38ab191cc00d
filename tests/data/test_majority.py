import numpy as np

from vit.data.majority import majority_accuracy


def test_the_majority_is_counted_on_train_and_judged_on_test():
    # Class 2 leads in train, 4 of 7; in test it is 1 of 5, where class 0 would have 3.
    train, test = np.array([0, 1, 2, 2, 2, 2, 1]), np.array([0, 0, 0, 2, 1])
    assert majority_accuracy(train, test) == 0.2


def test_a_majority_that_test_lacks_scores_nothing():
    assert majority_accuracy(np.array([3, 3, 0]), np.array([0, 0])) == 0.0


def test_labels_may_be_names_and_of_equally_frequent_ones_the_first_is_predicted():
    test = np.array(["cat", "dog", "dog", "dog"])
    assert majority_accuracy(np.array(["dog", "cat", "dog", "cat", "cow"]), test) == 0.25
    assert majority_accuracy(np.array([1, 0, 1, 0, 2]), np.array([0, 1, 1, 1])) == 0.25
