"""What the stages write, file by file and figure by figure: the reference pages are made from this."""

from pathlib import Path

from vit.config.files import (
    AUDIT,
    AUDITED_IMAGES,
    CLASSES,
    CONFIG,
    CORRECTED,
    EVALUATION,
    FEATURES,
    FIRST_BATCH,
    HISTORY,
    LEARNING_RATE,
    MODEL,
    MODEL_SUMMARY,
    PACK_MODE,
    PACKED,
    PREDICTIONS,
    PREPROCESSING,
    RAW,
    RAW_RECORD,
    SPLIT_METRICS,
    SPLITS,
    TABLES,
    TEST_METRICS,
    TRAIN_METRICS,
    TRAINING,
    VAL_PREDICTIONS,
    VALUE_RANGE,
    WEIGHTS,
    WEIGHTS_BROUGHT,
    WEIGHTS_RECORD,
)

# Every file that a stage writes, as a pattern (* stands for any name), and what is in it.
# A file is described by the first pattern that it matches.
FILES: dict[Path, str] = {
    RAW / "*/*": "the images, one folder per class; with a folder per split between where the source is split already",
    RAW_RECORD: "the source, its version, the number of images per class and a digest of them all",
    TABLES / "README.txt": "a note, so that the folder is never empty",
    TABLES / "source_paths.json": "the paths that the images have at the source, where they differ",
    TABLES / CORRECTED: "what `data.corrections` changed, and the images that it added to train",
    TABLES / "*": "CSV files that lay beside the classes of the source",
    SPLITS / "*.csv": "`train.csv`, `val.csv` and `test.csv`: path, label and group of each image",
    SPLITS / VALUE_RANGE: "the values that become 0 and 255, of a data set with images of more than 8 bits",
    SPLITS / CLASSES: "the class names, in the order of the model's outputs",
    AUDIT / "report.html": "the audit as a page: counts, warnings, leakage and contact sheets",
    AUDIT / "audit.json": "the same figures for a program",
    AUDIT / AUDITED_IMAGES: "every image with its split, label, group and the SHA-256 of its file and of its pixels",
    AUDIT / "quarantine.csv": "unreadable files, with the reason",
    AUDIT / "duplicates.csv": "images left out because their pixels occur twice, under one label or under two",
    AUDIT / "near_duplicates.csv": "groups of images that look nearly the same",
    AUDIT / "samples.png": "a contact sheet with some images of each class",
    AUDIT / "torn_near_duplicates*.png": "near duplicates in train and test, and (`_val`) in train and val",
    SPLIT_METRICS: "how many images each split has, and how far the split leaks",
    PACKED / "*_images.npy": "the images of a split: uint8 (N, H, W, C)",
    PACKED / "*_labels.npy": "their labels, as places in the class order",
    PACKED / "*_shards.json": "the shards of a split (`pack.mode: shards`): name, size and SHA-256 of each, and where "
    "images lie in them",
    PACKED / "*_order.npy": "which row of the split's table each place in the shards holds: train is shuffled",
    PACKED / "shards/*.tar": "the shards, unless `pack.store` puts them elsewhere: tar files as WebDataset reads them",
    PACKED / PREPROCESSING: "what is done to every image, in training and in serving: size, crop, mean, std, classes",
    PACKED / PACK_MODE: "whether images are packed as arrays, in shards and where, or decoded on the fly",
    WEIGHTS_BROUGHT / "*/README.txt": "a note, so that the folder is never empty",
    WEIGHTS_BROUGHT / "*/*": "the weights that `train.init_from` (`init/`) and `train.teacher` (`teacher/`) "
    "name, under this project's names, with the settings that are known of them",
    WEIGHTS_RECORD: "where those weights came from, their digest and licence, and whether they have seen images of "
    "val or test; `null` for none",
    FEATURES / "README.txt": "a note, so that the folder is never empty",
    FEATURES / "*.npy": "`train.npy` and `val.npy`, with `train.frozen_layers: all`: what the frozen model makes of "
    "each image, float32 (versions, N, D); the first version is that of the images as they are",
    MODEL / WEIGHTS: "the weights of the best epoch",
    MODEL / CONFIG: "everything needed to use them: architecture, preprocessing, classes, temperature, precision",
    TRAINING / HISTORY: "loss and accuracy on train and val, a row per epoch",
    TRAINING / LEARNING_RATE: "the learning rate, a row per optimizer step",
    TRAINING / FIRST_BATCH: "the first batch as the model saw it",
    TRAIN_METRICS: "the epoch that was kept",
    EVALUATION / PREDICTIONS: "the prediction for each test image: label, prediction, group, probability of each class",
    EVALUATION / VAL_PREDICTIONS: "the same for each val image",
    EVALUATION / "per_class.csv": "precision, recall, F1 and number of images of each class",
    EVALUATION / "confusion_matrix.*": "how often each class was predicted as each other: as a table and drawn",
    EVALUATION / "confusion_rates.csv": "the same as shares of each true class",
    EVALUATION / "reliability.*": "confidence against accuracy before and after calibration: as a table and drawn",
    EVALUATION / "slices.csv": "accuracy by `evaluate.slices`",
    EVALUATION / "questions.csv": "accuracy on `evaluate.questions`",
    EVALUATION / "invariance.csv": "what small changes of the images cost (`evaluate.invariance`)",
    EVALUATION / "mistakes.png": "the mistakes of which the model was most confident",
    EVALUATION / "training_curves.png": "loss, accuracy and learning rate of the training",
    EVALUATION / "batch.png": "the first batch as the model saw it, drawn",
    EVALUATION / MODEL_SUMMARY: "the model's layers with output shapes, parameters and multiply-adds",
    EVALUATION / "explain/examples.png": "right and wrong predictions with attention rollout and gradient x attention",
    EVALUATION / "explain/heads.png": "the attention of each head, block by block",
    EVALUATION / "explain/attention_distance.*": "how far each head looks, in pixels: as a table and drawn",
    EVALUATION / "explain/position_similarity.png": "how similar the position embeddings are to each other",
    EVALUATION / "explain/patch_filters.png": "principal components of the filters that read the pixels",
    TEST_METRICS: "how good the model is on test, with intervals",
}

# The keys of metrics/*.json beside the headline metrics, which vit/evaluation/metrics.py explains.
FIGURES: dict[Path, dict[str, str]] = {
    SPLIT_METRICS: {
        "train_images": "number of images in train",
        "val_images": "number of images in val",
        "test_images": "number of images in test",
        "leakage": "the larger of `near_duplicate_share` and what `nearest_frame_accuracy` exceeds `majority_accuracy` "
        "by; `register.max_leakage` is its limit",
        "majority_accuracy": "accuracy on test of always predicting the most frequent class of train",
        "near_duplicate_share": "share of test images that have a near duplicate in train",
        "nearest_neighbour_accuracy": "accuracy on test of the label of the train image with the nearest thumbnail",
        "nearest_frame_accuracy": "accuracy on test of the label of the train image with the nearest frame number; "
        "absent where file names have no numbers",
        "val_leakage": "`leakage` of val; the same limit holds",
        "val_majority_accuracy": "`majority_accuracy` on val",
        "val_near_duplicate_share": "`near_duplicate_share` of val",
        "val_nearest_neighbour_accuracy": "`nearest_neighbour_accuracy` on val",
        "val_nearest_frame_accuracy": "`nearest_frame_accuracy` on val",
    },
    TRAIN_METRICS: {
        "best_epoch": "the epoch whose weights were kept, from 1",
        "best_val_accuracy": "accuracy on val after that epoch",
        "best_val_loss": "loss on val after that epoch, before the temperature is fitted",
        "knn_val_accuracy": "accuracy on val of 20 nearest neighbours on the features (`train.frozen_layers: all`)",
    },
    TEST_METRICS: {
        "test_groups": "number of groups that the intervals resample",
        "majority_accuracy": "accuracy on test of always predicting the most frequent class of train",
        "svc_accuracy": "accuracy on test of scikit-learn's `SVC(gamma=0.001)`, fitted on the pixels of train "
        "(`evaluate.svc_baseline`)",
        "knn_accuracy": "accuracy on test of the label that the 20 nearest train images vote for, by the cosine of "
        "their features (`train.frozen_layers: all`)",
    },
}
