"""`vit data-hunger` under its old name."""

from vit.cli.renamed import renamed

if __name__ == "__main__":
    renamed("vit.data_hunger", "data-hunger")
