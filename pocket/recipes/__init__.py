"""Every pocket model's recipe, by its name. A new file here is a new model; nothing lists them."""

import importlib
import pkgutil

from pocket.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for file in pkgutil.iter_modules(__path__)
    for recipe in [importlib.import_module(f"{__name__}.{file.name}").RECIPE]
}
