"""register: publish the trained and evaluated model to MLflow, from files only; repeating it changes nothing."""

from vit.errors import run_program
from vit.registry.receipt import said_of_the_same


def main() -> None:
    said = said_of_the_same()
    if said is None:
        from vit.config.params_file import load_params  # late, as MLflow alone takes two seconds to import
        from vit.registry.gathered import publish_outputs

        said = publish_outputs(load_params())
    print(said)


if __name__ == "__main__":
    run_program(main)
