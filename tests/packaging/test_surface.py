"""The public surface: every name that is promised exists, once, and says what it is."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil

import pytest

import simsla

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(simsla.__path__, "simsla.")
    if not module.name.endswith("__main__")
)
NEEDS = {"simsla.integrations.litellm_router": "litellm"}
"""What stands on a library of an extra."""

PACKAGES = ["simsla", *(name for name in MODULES if name.count(".") == 1)]


@pytest.mark.parametrize("name", ["simsla", *MODULES])
def test_every_promised_name_exists(name):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    module = importlib.import_module(name)
    promised = getattr(module, "__all__", [])
    assert len(promised) == len(set(promised))
    for public in promised:
        assert getattr(module, public) is not None


def test_every_name_of_simsla_resolves():
    assert set(simsla.__all__) <= set(dir(simsla))
    for name in dir(simsla):
        getattr(simsla, name)


def test_every_subpackage_is_an_attribute():
    for name in PACKAGES[1:]:
        if name != "simsla.cli":
            assert getattr(simsla, name.removeprefix("simsla.")) is importlib.import_module(name)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        simsla.simulat  # noqa: B018 - reading the name is the test


@pytest.mark.parametrize("name", PACKAGES)
def test_public_classes_and_functions_say_what_they_are(name):
    module = importlib.import_module(name)
    values = {public: getattr(module, public) for public in getattr(module, "__all__", [])}
    silent = [
        member
        for public, value in values.items()
        if inspect.isclass(value) or inspect.isfunction(value)
        for member in without_words(public, value)
    ]
    assert silent == []


def without_words(name, value):
    """The class or function, and those of its public methods and properties, that have no docstring."""
    # A dataclass without a docstring is given its signature for one.
    if not value.__doc__ or value.__doc__.startswith(f"{name}("):
        yield name
    if not inspect.isclass(value):
        return
    for member, found in vars(value).items():
        if member.startswith("_"):
            continue
        if isinstance(found, property):
            # It may be described with its class, like a field.
            has_words = found.__doc__ or f"`{member}`" in value.__doc__
        else:
            is_method = isinstance(found, classmethod | staticmethod) or inspect.isfunction(found)
            has_words = not is_method or inspect.getdoc(getattr(value, member))
        if not has_words:
            yield f"{name}.{member}"
