"""`vit folds` under its old name."""

from vit.cli.renamed import renamed

if __name__ == "__main__":
    renamed("vit.folds", "folds")
