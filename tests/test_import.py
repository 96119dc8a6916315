"""Importing is cheap, and works beside broken audio packages that noisewise never needs."""

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "datasets", "faiss", "lightning_fabric", "sklearn", "matplotlib", "transformers")
BROKEN = ("torchaudio", "torchcodec", "fairseq")

WALK = """
import importlib, pkgutil, sys
import noisewise
names = [m.name for m in pkgutil.walk_packages(noisewise.__path__, "noisewise.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
for name in noisewise.__all__:
    getattr(noisewise, name)
print(len(names), *sorted(set(BROKEN) & set(sys.modules)))
"""


def run(code, path=None):
    env = dict(os.environ)
    if path is not None:
        env["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("module", ["noisewise", "noisewise.__main__", "noisewise.errors"])
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*[n for n in {HEAVY} if n in sys.modules])"
    assert run(code) == []


def test_unknown_names_are_attribute_errors():
    import noisewise

    with pytest.raises(AttributeError, match="'noisewise' has no attribute 'lode'"):
        _ = noisewise.lode
    assert noisewise.load.__module__ == "noisewise.bundle"


def break_package(folder, name, error="OSError"):
    """A package that looks installed and whose import fails as with a missing library."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(f"raise {error}('lib{name}.so: undefined symbol')\n")
    info = folder / f"{name}-2.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0.0\n")


def test_every_module_imports_beside_broken_audio_packages(tmp_path):
    for name in BROKEN:
        break_package(tmp_path, name)
    found = run(f"BROKEN = {BROKEN}\n" + WALK, tmp_path)
    assert int(found[0]) > 80
    assert found[1:] == []
    probe = "try:\n import torchaudio\nexcept OSError as error:\n print('broken')"
    assert run(probe, tmp_path) == ["broken"]  # the trap was set


@pytest.mark.parametrize(
    "module",
    [
        "noisewise.bundle",
        "noisewise.evaluation.grid",
        "noisewise.corpora.noisy_copy",
        "noisewise.training.run",
    ],
)
def test_a_broken_torchvision(module, tmp_path):
    break_package(tmp_path, "torchvision", "RuntimeError")
    assert run(f"import {module}; print('fine')", tmp_path) == ["fine"]
