"""Recipes are read for ``--help``: they tell what each number means, and load nothing heavy."""

import subprocess
import sys
from dataclasses import fields

import pytest

from scripts.pipeline import REPOSITORY
from scripts.pipeline.options import StageOptions
from stylegan_modified.recipes import V1Recipe, V2Recipe, V3Recipe


@pytest.mark.parametrize("recipe", [V1Recipe, V2Recipe, V3Recipe])
def test_a_field_of_a_recipe_has_the_metadata_of_an_option(recipe: type) -> None:
    keys = {key for field in fields(StageOptions) for key in field.metadata}
    for field in fields(recipe):
        assert set(field.metadata) == keys and field.metadata["help"] and field.metadata["affects_results"]


def test_recipes_load_no_network_library() -> None:
    code = "import sys, stylegan_modified.recipes; print({'torch', 'numpy', 'scripts'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert found.stdout.strip() == "set()", found.stderr
