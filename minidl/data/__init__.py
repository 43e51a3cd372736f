"""Data sets, batches and what is done to them on the way to the model."""

from minidl.data.collate import default_collate
from minidl.data.dataset import ArrayDataset, Dataset, Subset, TensorDataset
from minidl.data.digits import Digits
from minidl.data.idx import read_idx
from minidl.data.loader import DataLoader
from minidl.data.mnist import MNIST, FashionMNIST
from minidl.data.transforms import Compose, Normalize, RandomShift

__all__ = [
    "MNIST",
    "ArrayDataset",
    "Compose",
    "DataLoader",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "Normalize",
    "RandomShift",
    "Subset",
    "TensorDataset",
    "default_collate",
    "read_idx",
]
