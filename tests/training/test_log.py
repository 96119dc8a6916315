"""Training figures on disk."""

import csv
import sys

import pytest

from noisewise.errors import ConfigError
from noisewise.training.log import CsvLog, make_loggers


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_columns_appear_as_figures_first_do(tmp_path):
    log = CsvLog(tmp_path / "log.csv")
    log.add(0, 0, {"loss": 1 / 3})
    log.add(0, 1, {"loss": 2e-10, "val_score": 0.5})
    log.add(1, 0, {"other": 12345678.0})
    log.flush()
    assert (tmp_path / "log.csv").read_text() == (
        "phase,step,loss,val_score,other\n0,0,0.333333,,\n0,1,2e-10,0.5,\n1,0,,,1.23457e+07\n"
    )


@pytest.mark.parametrize("at", [(0, 1), (0, 3), (1, 0), (1, 2)])
def test_a_resumed_log_is_the_undisturbed_one(tmp_path, at):
    def figures(phase, step):
        extra = {"val_score": 0.5} if step % 2 else {}
        return {"loss": 1 / (1 + step + phase), **extra, **({"late": 1.0} if phase else {})}

    places = [(phase, step) for phase in (0, 1) for step in range(4)]
    whole = CsvLog(tmp_path / "whole.csv")
    killed = CsvLog(tmp_path / "killed.csv")
    for place in places:
        whole.add(*place, figures(*place))
        if place < (1, 3):  # it got some way beyond the checkpoint
            killed.add(*place, figures(*place))
    whole.flush()
    killed.flush()
    resumed = CsvLog(tmp_path / "killed.csv", at)
    assert [(int(r["phase"]), int(r["step"])) for r in resumed.rows] == [
        p for p in places if p < at
    ]
    for place in places:
        if place >= at:
            resumed.add(*place, figures(*place))
    resumed.flush()
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_fresh_run_starts_a_fresh_log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("phase,step,loss\n0,0,1\n")
    CsvLog(path).flush()
    assert path.read_text() == "phase,step\n"
    assert CsvLog(tmp_path / "absent.csv", (0, 5)).rows == []


def test_tensorboard_writes_below_the_run(tmp_path):
    pytest.importorskip("tensorboard")
    (logger,) = make_loggers(["tensorboard"], tmp_path)
    logger.log_metrics({"loss": 1.0}, 0)
    logger.save()
    logger.finalize("success")
    assert list((tmp_path / "tensorboard").rglob("events*"))


def test_unknown_and_absent_loggers(tmp_path, monkeypatch):
    assert make_loggers([], tmp_path) == []
    with pytest.raises(ConfigError, match="unknown logger 'mlflow'; known: tensorboard, wandb"):
        make_loggers(["mlflow"], tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"'wandb' is not installed: pip install 'noisewise"):
        make_loggers(["wandb"], tmp_path)
