"""The LeNet script: whole runs, interrupted and resumed ones, and what it says when something is wrong."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bits import bits
from safetensors.numpy import load_file

import minidl
from minidl import data
from minidl.errors import DataFileError, DataNotFoundError

pytest.importorskip("sklearn")
SCRIPT = Path(__file__).parents[2] / "examples" / "lenet.py"
SMALL = ["--epochs", "2", "--batch-size", "16", "--threads", "1", "--no-plots"]


@pytest.fixture
def lenet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, on 200 of scikit-learn's digits."""
    spec = importlib.util.spec_from_file_location("lenet_example", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lenet_example", module)
    spec.loader.exec_module(module)
    train, test = (data.ArrayDataset(d.images[:200], d.labels[:200]) for d in (data.Digits(), data.Digits(train=False)))
    test.images, test.classes = test.arrays[0], data.Digits.classes  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "load_data", lambda folder: (train, test))
    threads = minidl.get_num_threads()
    yield module
    minidl.set_num_threads(threads)


def metrics(path: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        assert list(record) == ["epoch", "train_loss", "test_loss", "test_accuracy", "seconds", "elapsed"]
    return records


def timeless(path: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k not in ("seconds", "elapsed")} for record in metrics(path)]


def weights(out: Path) -> dict[str, str]:
    return {key: bits(array) for key, array in load_file(out / "checkpoint.safetensors").items()}


def test_a_whole_run(lenet: Any, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("matplotlib")
    out, file = tmp_path / "out", tmp_path / "m.jsonl"
    file.write_text("old\n")
    argv = [*SMALL[:-1], "--out", str(out), "--metrics", str(file)]
    assert lenet.main(argv) == 0
    names = ["checkpoint.safetensors", "confusion.png", "curves.png", "filters.png", "mistakes.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    records = metrics(file)
    assert [record["epoch"] for record in records] == [1, 2]
    assert 0 <= records[-1]["test_accuracy"] <= 1
    assert 0 < records[0]["seconds"] < records[0]["elapsed"] < records[1]["elapsed"]
    assert sum(p.numel() for p in lenet.LeNet5().parameters()) == 61_706
    before = file.read_text()
    capsys.readouterr()
    assert lenet.main([*argv, "--resume"]) == 0
    assert "complete already" in capsys.readouterr().out
    assert file.read_text() == before


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("at", [1, 5, 13, 17])
def test_ctrl_c_and_resume(
    lenet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, at: int, optimizer: str
) -> None:
    argv = [*SMALL, "--optimizer", optimizer]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert lenet.main([*argv, "--out", str(whole), "--metrics", str(whole / "m")]) == 0
    step, count = lenet.Run.step, 0

    def step_with_signal(run: Any, *batch: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGINT)
        step(run, *batch)

    monkeypatch.setattr(lenet.Run, "step", step_with_signal)
    again = [*argv, "--out", str(cut), "--metrics", str(cut / "m")]
    assert lenet.main(again) == 130
    assert count == at
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.rstrip().endswith("--resume")
    # What a killed run may leave behind.
    with open(cut / "m", "a") as file:
        file.write('{"epoch": 7}\n')
    assert lenet.main([*again, "--resume"]) == 0
    assert timeless(cut / "m") == timeless(whole / "m")
    assert weights(cut) == weights(whole)


def test_ctrl_c_in_a_process_of_its_own(tmp_path: Path) -> None:
    driver = (
        "import sys, runpy, minidl.data\n"
        "from minidl.errors import DataNotFoundError\n"
        "def absent(*args, **kwargs): raise DataNotFoundError('download: none')\n"
        "minidl.data.MNIST = absent\n"
        f"sys.argv = [{str(SCRIPT)!r}, *sys.argv[1:]]\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    )
    argv = ["--threads", "1", "--epochs", "200", "--batch-size", "4", "--out", str(tmp_path)]
    command = [sys.executable, "-c", driver, *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = []
        while not lines or not lines[-1].startswith("epoch 1/"):
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        assert lines[0].startswith("MNIST is not on this machine") and "--data-dir" in lines[1]
        assert lines[2].startswith("LeNet-5 on 1,500 images of Digits")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.startswith("Interrupted; the checkpoint is written. To go on: python ") and error.count("\n") == 1


def test_what_is_refused(
    lenet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def error_of(*argv: str, code: int = 1) -> str:
        assert lenet.main([*SMALL, "--out", str(tmp_path), *argv]) == code
        return capsys.readouterr().err

    assert "checkpoint.safetensors: there is no such file" in error_of("--resume")
    error_of(code=0)
    assert "--lr is 0.5 now, but 0.004 in the checkpoint" in error_of("--resume", "--lr", "0.5")
    assert "--fast is True now, but False" in error_of("--resume", "--fast")
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert "is truncated" in error_of("--resume")
    (tmp_path / "file").write_text("")
    assert "file" in error_of("--out", str(tmp_path / "file"))
    for exception in (DataFileError("x.gz is truncated"), DataNotFoundError("nothing")):

        def fail(folder: Any, exception: Exception = exception) -> None:
            raise exception

        monkeypatch.setattr(lenet, "load_data", fail)
        assert error_of() == f"lenet.py: {exception}\n"


def test_a_loss_that_is_not_finite(lenet: Any, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with np.errstate(all="ignore"):
        assert lenet.main([*SMALL, "--optimizer", "sgd", "--lr", "1e9", "--out", str(tmp_path)]) == 1
    assert "a smaller --lr may help" in capsys.readouterr().err.lower()


@pytest.mark.parametrize(
    "argv",
    [["--epochs", "0"], ["--lr", "-1"], ["--lr", "nan"], ["--threads", "0"], ["--optimizer", "x"], ["--seed", "a"]],
)
def test_bad_values(lenet: Any, argv: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit:
        lenet.main(argv)
    assert exit.value.code == 2
    assert f"argument {argv[0]}" in capsys.readouterr().err
