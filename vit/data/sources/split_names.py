"""Which split a folder's name means: train, val or test, in common spellings and with common affixes."""

import re

WORDS = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# These words have other meanings, too; they mean a split only beside a folder named with one of the words above.
DEV = {"dev", "devel", "development"}
HELD_OUT = {"eval", "evaluation", "holdout", "heldout"}
AFFIXES = (
    "datasets?|data|sets?|subset|split|partition|folder|dir|images?|imgs?|pictures?|pics?|photos?|frames?|files?|"
    "samples?|crops?|cropped|resized|original|orig|raw|final|full|small|jpe?g|png|the|my|all"
)
_NAME = re.compile(f"(?:{AFFIXES})*(?P<word>{'|'.join([*WORDS, *DEV, *HELD_OUT])})(?:{AFFIXES})*")
_NO_LETTERS = re.compile(r"\d+x\d+|[\W\d_]+")  # 224x224, training-set, train2017
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")  # PublicTest, asl_test


def splits_named(names: set[str]) -> dict[str, str]:
    """The split of each of these sibling folders whose name means one: a word for it, with affixes and numbers.

    `training_set`, `Train2017`, `imgs-test`, `holdout`; a name that means no split is left out.
    """
    matches = {name: _NAME.fullmatch(_NO_LETTERS.sub("", name.lower())) for name in sorted(names)}
    words = {name: match["word"] for name, match in matches.items() if match}
    found = {name: WORDS[word] for name, word in words.items() if word in WORDS}
    if not found:
        return {}
    found |= {name: "val" for name, word in words.items() if word in DEV}
    free = [split for split in ("test", "val") if split not in found.values()]
    return found | {name: free[0] for name, word in words.items() if word in HELD_OUT and free}


def splits_mentioned(names: set[str]) -> dict[str, tuple[str, str]]:
    """The split that one word of a name means, and the other words: of `asl_train` train and `asl`."""
    found = {}
    for name in sorted(names):
        words = words_of(name).split()
        meant = [word for word in words if word in WORDS]
        if len(meant) == 1:
            found[name] = (WORDS[meant[0]], " ".join(word for word in words if word != meant[0]))
    return found


def words_of(name: str) -> str:
    """The words of a name in lower case, without numbers: `asl train` of `ASL_Train2`."""
    return " ".join(_WORD.findall(name)).lower()
