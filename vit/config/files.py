"""The names of files and folders that several modules read or write, relative to the repo."""

from pathlib import Path

PARAMS, DVC_YAML, DVC_LOCK = Path("params.yaml"), Path("dvc.yaml"), Path("dvc.lock")

# What people correct; download reads it if `data.corrections` says so.
FEEDBACK = Path("feedback")
CORRECTIONS, CORRECTED_IMAGES = FEEDBACK / "labels.csv", FEEDBACK / "images"

# Stage outputs, in pipeline order.
RAW, RAW_RECORD, TABLES = Path("data/raw"), Path("data/raw.json"), Path("data/tables")
SPLITS, AUDIT, SPLIT_METRICS = Path("data/splits"), Path("data/audit"), Path("metrics/split.json")
PACKED = Path("data/packed")
WEIGHTS_BROUGHT, WEIGHTS_RECORD = Path("data/weights"), Path("data/weights.json")
INIT, TEACHER = WEIGHTS_BROUGHT / "init", WEIGHTS_BROUGHT / "teacher"
# Images without labels, and the stage that learns from them.
UNLABELLED, PRETRAINED = Path("unlabelled"), Path("data/pretrained")
FEATURES = Path("data/features")
MODEL, TRAINING, TRAIN_METRICS = Path("model"), Path("training"), Path("metrics/train.json")
EVALUATION, TEST_METRICS = Path("evaluation"), Path("metrics/test.json")

# Files inside them.
CORRECTED = "corrections.json"  # of the tables: what the corrections changed
CLASSES = "classes.json"  # of the split; their order is the class order everywhere
VALUE_RANGE = "value_range.json"  # of the split: found by the audit if there are images of more than 8 bits
AUDITED_IMAGES = "images.csv"  # of the audit: every image with its split and digests
PREPROCESSING, PACK_MODE = "preprocessing.json", "mode.json"  # of the packed images
WEIGHTS, CONFIG = "model.safetensors", "config.json"  # of a model
PRETRAINING_RECORD, LEFT_OUT = "record.json", "left_out.csv"  # of the pretrained weights
HISTORY, LEARNING_RATE = "history.csv", "learning_rate.csv"  # of the training
FIRST_BATCH = "first_batch.safetensors"
PREDICTIONS, VAL_PREDICTIONS = "predictions.csv", "val_predictions.csv"  # of the evaluation
VAL_SAMPLE = "val_sample.safetensors"  # of the evaluation, and of a published model
MODEL_SUMMARY = "model_summary.txt"
ENVIRONMENT = "environment.json"  # beside the checkpoints of a training, and with a version
TRAINING_RECORD, HOW_FAR = "training.json", "progress.json"  # beside them too: what is trained, and how far it is
SPLIT_FILES = [SPLITS / name for name in ("train.csv", "val.csv", "test.csv", CLASSES)]

SHARDS = "shards"  # of the packed images, unless pack.store says otherwise

CHECKPOINTS = Path("checkpoints")  # below the user's repo, also in DVC's temporary copies of it
CHECKED = Path(".vit/check")  # what `vit check` draws
KEPT = Path(".vit/keep")  # what `vit keep` remembers and reports; below the user's repo
PREDICTIONS_LOGGED = Path(".vit/predictions")  # by servers, for `vit monitor`
CACHE = Path(".vit/shards")  # shards that were fetched from a bucket; below the user's repo
