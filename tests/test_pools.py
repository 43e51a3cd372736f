"""Models, batches and data sets through process pools, joblib and scikit-learn."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import data, nn, optim
from minidl.data import ArrayDataset, DataLoader, Subset
from minidl.errors import DTypeError

sklearn = pytest.importorskip("sklearn")

from sklearn.base import BaseEstimator, ClassifierMixin, clone  # noqa: E402
from sklearn.model_selection import cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 1, 8, 8)).astype(np.float32)
Y = (X.mean((1, 2, 3)) > 0).astype(np.int64)


def small() -> tuple[nn.Sequential, optim.Optimizer]:
    minidl.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dense(36, 8), nn.ReLU(), nn.Dense(8, 2)
    )
    return model, optim.Adam(model.parameters(), lr=0.01)


def train(model: nn.Module, optimizer: Any, loader: DataLoader, epochs: int = 1) -> Any:
    """What a worker does: goes on training, and hands back all of it."""
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.CrossEntropyLoss()(model(images), labels).backward()
            optimizer.step()
    return model, optimizer, loader, [p.grad for p in model.parameters()]


def infer(model: nn.Module, images: Any) -> minidl.Tensor:
    with minidl.no_grad():
        return model(images)


@pytest.fixture(scope="module", params=["spawn", "fork"])
def pool(request: Any) -> Iterator[ProcessPoolExecutor]:
    # Before a fork, so that the child inherits what a process has that computed already.
    infer(small()[0], X)
    with ProcessPoolExecutor(1, mp_context=get_context(request.param)) as executor:
        yield executor


def test_a_worker_goes_on_training(pool: ProcessPoolExecutor) -> None:
    model, optimizer = small()
    loader = DataLoader(ArrayDataset(X, Y), batch_size=16, shuffle=True, generator=1)
    train(model, optimizer, loader)
    there = pool.submit(train, model, optimizer, loader, 2).result(timeout=120)
    here = train(model, optimizer, loader, 2)
    for p, q, gradient, its in zip(there[0].parameters(), here[0].parameters(), there[3], here[3], strict=True):
        assert np.array_equal(p.data, q.data) and np.array_equal(gradient.data, its.data)
        assert p is not q
    assert there[2].state_dict() == here[2].state_dict()
    # What came back goes on here.
    assert all(p is q for p, q in zip(there[0].parameters(), there[1].param_groups[0]["params"], strict=True))
    train(*there[:3])
    train(*here[:3])
    assert all(np.array_equal(p.data, q.data) for p, q in zip(there[0].parameters(), model.parameters(), strict=True))


def test_batches_and_results_come_back(pool: ProcessPoolExecutor) -> None:
    model, _ = small()
    batches = list(DataLoader(ArrayDataset(X, Y), batch_size=20))
    found = list(pool.map(infer, [model] * 3, [images for images, _ in batches], timeout=120))
    assert np.array_equal(np.concatenate([f.data for f in found]), infer(model, X).data)


def read(loader: DataLoader) -> list[Any]:
    return list(loader)


def test_loaders_raise_their_errors_in_a_worker(pool: ProcessPoolExecutor) -> None:
    good, bad = (DataLoader([{"label": (1.0, last)}] * 3, batch_size=2) for last in ("a", None))
    assert [batch["label"][1] for batch in pool.submit(read, good).result(timeout=120)] == [["a", "a"], ["a"]]
    with pytest.raises(DTypeError, match=r'DataLoader: sample\["label"\]\[1\] must be .* got None in sample 0'):
        pool.submit(read, bad).result(timeout=120)


def collate(samples: list[Any]) -> Any:
    return data.default_collate(samples)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_data_sets_and_loaders_are_pickled(protocol: int) -> None:
    pictures = ArrayDataset(rng.integers(0, 256, (20, 1, 6, 6), dtype=np.uint8), np.arange(20))
    transform = data.Compose([data.RandomShift(1), data.Normalize(0.1, 0.3)])
    for options in ({"transform": transform}, {"collate_fn": collate}, {"shuffle": True, "num_samples": 11}):
        loader = DataLoader(Subset(pictures, range(19)), batch_size=4, generator=5, **options)
        iterator = iter(loader)
        next(iterator)
        twin = pickle.loads(pickle.dumps(loader, protocol=protocol))
        assert twin.state_dict() == loader.state_dict()
        # Both begin a new epoch, since each was left early.
        for one, other in zip(twin, loader, strict=True):
            assert all(np.array_equal(a.data, b.data) for a, b in zip(one, other, strict=True))


class Classifier(ClassifierMixin, BaseEstimator):
    """A network with the interface of scikit-learn, written as its documentation asks for."""

    def __init__(self, model: Any = None, lr: float = 0.01, epochs: int = 3) -> None:
        self.model, self.lr, self.epochs = model, lr, epochs

    def fit(self, X: Any, y: Any) -> Classifier:
        self.classes_ = np.unique(y)
        self.model_ = clone(self.model, safe=False)
        self.optimizer_ = optim.Adam(self.model_.parameters(), lr=self.lr)
        loader = DataLoader(ArrayDataset(X.astype(np.float32), y), batch_size=16, shuffle=True, generator=0)
        train(self.model_, self.optimizer_, loader, self.epochs)
        return self

    def predict(self, X: Any) -> Any:
        return self.classes_[infer(self.model_, X.astype(np.float32)).argmax(1).numpy()]


def estimator() -> Classifier:
    minidl.manual_seed(0)
    layers = [nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dense(144, 2)]
    return Classifier(nn.Sequential(*layers))


def test_scikit_learn_clones_and_fits() -> None:
    flat = X.reshape(60, 64)
    whole = make_pipeline(StandardScaler(), estimator())
    twin = clone(whole)
    assert twin[-1].model is not whole[-1].model
    assert "Unflatten" in repr(twin)
    fitted = twin.fit(flat, Y)
    assert fitted.score(flat, Y) > 0.8
    restored = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(restored.predict(flat), fitted.predict(flat))
    for p, q in zip(whole[-1].model.parameters(), estimator().model.parameters(), strict=True):
        assert np.array_equal(p.data, q.data), "what was cloned has not been trained"


@pytest.mark.parametrize("backend", ["multiprocessing", pytest.param("loky", marks=pytest.mark.slow)])
def test_cross_validation_in_two_processes(backend: str) -> None:
    flat = X.reshape(60, 64)
    whole = make_pipeline(StandardScaler(), estimator())
    # Loky, which is the default, starts two processes that import everything anew.
    with import_module("joblib").parallel_config(backend):
        there = cross_val_score(whole, flat, Y, cv=3, n_jobs=2, error_score="raise")
    assert np.array_equal(there, cross_val_score(whole, flat, Y, cv=3))


def test_joblib_hands_over_large_arrays_that_are_only_read(tmp_path: Any) -> None:
    import joblib

    model = nn.Dense(600, 600)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(np.ones((1, 600), np.float32)).sum().backward()
    optimizer.step()
    joblib.dump((model, optimizer), tmp_path / "model")
    # As joblib's workers see them: files that are mapped.
    twin, its_optimizer = joblib.load(tmp_path / "model", mmap_mode="r")
    assert type(twin.weight.data) is np.ndarray
    its_optimizer.step()
    optimizer.step()
    assert np.array_equal(twin.weight.data, model.weight.data)


def test_cloudpickle_takes_classes_and_functions_of_a_notebook() -> None:
    # Joblib brings it, inside or beside it.
    try:
        cloudpickle = import_module("cloudpickle")
    except ImportError:
        cloudpickle = pytest.importorskip("joblib.externals.cloudpickle")

    class Net(nn.Module):
        def __init__(self, width: int) -> None:
            self.dense = nn.Dense(2, width)
            self.dense.register_forward_hook(lambda module, args, result: result * 2)
            self.register_buffer("scale", minidl.ones(width))

        def forward(self, x: Any) -> Any:
            return self.dense(x) * self.scale

    model = Net(3)
    schedule = optim.lr_scheduler.LambdaLR(optim.SGD(model.parameters(), lr=1.0), lambda step: 1 / (1 + step))
    file = io.BytesIO(cloudpickle.dumps((model, schedule)))
    twin, its_schedule = pickle.load(file)
    assert list(twin.state_dict()) == list(model.state_dict()) and len(twin.state_dict()) == 3
    assert np.array_equal(twin(np.ones((1, 2), np.float32)).data, model(np.ones((1, 2), np.float32)).data)
    its_schedule.step()
    assert its_schedule.get_last_lr() == [0.5] and schedule.get_last_lr() == [1.0]
    assert its_schedule.optimizer.param_groups[0]["params"][0] is twin.dense.weight
