"""LeNet, ResNet-18 and MobileNetV2, each in minidl and in PyTorch, with the names that torchvision gives.

They are written twice on purpose: what a user of PyTorch has is his own code and a file of weights. At full width they
have as many parameters as the published ones; the tests use narrow ones of the same structure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minidl.functional as F
from minidl import nn


class LeNet(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, classes)

    def forward(self, x: Any) -> Any:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Any) -> Any:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    def __init__(self, width: int = 64, classes: int = 1000) -> None:
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(width, width, 1)
        self.layer2 = self._stage(width, 2 * width, 2)
        self.layer3 = self._stage(2 * width, 4 * width, 2)
        self.layer4 = self._stage(4 * width, 8 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8 * width, classes)

    @staticmethod
    def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


# Expansion, channels, number of blocks, stride of the first: table 2 of Sandler et al., CVPR 2018.
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def divisible(channels: float) -> int:
    """The nearest multiple of 8, at least 8 and not much below what was asked for."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def conv_norm_relu6(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        hidden = inputs * expansion
        self.adds = stride == 1 and inputs == outputs
        layers = [conv_norm_relu6(inputs, hidden, kernel=1)] if expansion != 1 else []
        layers += [conv_norm_relu6(hidden, hidden, stride=stride, groups=hidden)]
        layers += [nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, width: float = 1.0, classes: int = 1000, last: int = 1280, dropout: float = 0.2) -> None:
        channels = divisible(32 * width)
        layers: list[nn.Module] = [conv_norm_relu6(3, channels, stride=2)]
        for expansion, base, count, first in STAGES:
            outputs = divisible(base * width)
            for i in range(count):
                layers.append(InvertedResidual(channels, outputs, first if i == 0 else 1, expansion))
                channels = outputs
        layers.append(conv_norm_relu6(channels, last, kernel=1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, classes))

    def forward(self, x: Any) -> Any:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), (1, 1)).flatten(1))


def in_pytorch(torch: Any) -> dict[str, Callable[..., Any]]:
    """The same three in PyTorch, by their names."""
    tnn, TF = torch.nn, torch.nn.functional

    class LeNet(tnn.Module):
        def __init__(self, classes: int = 10) -> None:
            super().__init__()
            self.conv1 = tnn.Conv2d(1, 6, 5, padding=2)
            self.conv2 = tnn.Conv2d(6, 16, 5)
            self.fc1 = tnn.Linear(400, 120)
            self.fc2 = tnn.Linear(120, 84)
            self.fc3 = tnn.Linear(84, classes)
            self.relu = tnn.ReLU()
            self.pool = tnn.MaxPool2d(2)

        def forward(self, x: Any) -> Any:
            x = self.pool(self.relu(self.conv1(x)))
            x = self.pool(self.relu(self.conv2(x)))
            x = torch.flatten(x, 1)
            x = self.relu(self.fc1(x))
            x = self.relu(self.fc2(x))
            return self.fc3(x)

    class BasicBlock(tnn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int, downsample: Any) -> None:
            super().__init__()
            self.conv1 = tnn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
            self.bn1 = tnn.BatchNorm2d(outputs)
            self.relu = tnn.ReLU(inplace=True)
            self.conv2 = tnn.Conv2d(outputs, outputs, kernel_size=3, stride=1, padding=1, bias=False)
            self.bn2 = tnn.BatchNorm2d(outputs)
            self.downsample = downsample

        def forward(self, x: Any) -> Any:
            identity = x
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            if self.downsample is not None:
                identity = self.downsample(x)
            out += identity
            return self.relu(out)

    class ResNet18(tnn.Module):
        def __init__(self, width: int = 64, classes: int = 1000) -> None:
            super().__init__()
            self.inputs = width
            self.conv1 = tnn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
            self.bn1 = tnn.BatchNorm2d(width)
            self.relu = tnn.ReLU(inplace=True)
            self.maxpool = tnn.MaxPool2d(kernel_size=3, stride=2, padding=1)
            self.layer1 = self.make_layer(width)
            self.layer2 = self.make_layer(width * 2, stride=2)
            self.layer3 = self.make_layer(width * 4, stride=2)
            self.layer4 = self.make_layer(width * 8, stride=2)
            self.avgpool = tnn.AdaptiveAvgPool2d((1, 1))
            self.fc = tnn.Linear(width * 8, classes)

        def make_layer(self, outputs: int, stride: int = 1) -> Any:
            downsample = None
            if stride != 1 or self.inputs != outputs:
                downsample = tnn.Sequential(
                    tnn.Conv2d(self.inputs, outputs, kernel_size=1, stride=stride, bias=False),
                    tnn.BatchNorm2d(outputs),
                )
            first = BasicBlock(self.inputs, outputs, stride, downsample)
            self.inputs = outputs
            return tnn.Sequential(first, BasicBlock(outputs, outputs, 1, None))

        def forward(self, x: Any) -> Any:
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
                x = layer(x)
            return self.fc(torch.flatten(self.avgpool(x), 1))

    def unit(inputs: int, outputs: int, kernel_size: int, stride: int, groups: int) -> Any:
        padding = (kernel_size - 1) // 2
        return tnn.Sequential(
            tnn.Conv2d(inputs, outputs, kernel_size, stride, padding, groups=groups, bias=False),
            tnn.BatchNorm2d(outputs),
            tnn.ReLU6(inplace=True),
        )

    class InvertedResidual(tnn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int, expand_ratio: int) -> None:
            super().__init__()
            hidden = inputs * expand_ratio
            self.use_res_connect = stride == 1 and inputs == outputs
            layers = []
            if expand_ratio != 1:
                layers.append(unit(inputs, hidden, 1, 1, 1))
            layers.append(unit(hidden, hidden, 3, stride, hidden))
            layers.append(tnn.Conv2d(hidden, outputs, 1, 1, 0, bias=False))
            layers.append(tnn.BatchNorm2d(outputs))
            self.conv = tnn.Sequential(*layers)

        def forward(self, x: Any) -> Any:
            if self.use_res_connect:
                return x + self.conv(x)
            return self.conv(x)

    class MobileNetV2(tnn.Module):
        def __init__(self, width: float = 1.0, classes: int = 1000, last: int = 1280, dropout: float = 0.2) -> None:
            super().__init__()
            inputs = divisible(32 * width)
            features = [unit(3, inputs, 3, 2, 1)]
            for t, c, n, s in STAGES:
                for i in range(n):
                    outputs = divisible(c * width)
                    features.append(InvertedResidual(inputs, outputs, s if i == 0 else 1, t))
                    inputs = outputs
            features.append(unit(inputs, last, 1, 1, 1))
            self.features = tnn.Sequential(*features)
            self.classifier = tnn.Sequential(tnn.Dropout(p=dropout), tnn.Linear(last, classes))

        def forward(self, x: Any) -> Any:
            x = self.features(x)
            x = TF.adaptive_avg_pool2d(x, (1, 1))
            return self.classifier(torch.flatten(x, 1))

    return {"LeNet": LeNet, "ResNet18": ResNet18, "MobileNetV2": MobileNetV2}
