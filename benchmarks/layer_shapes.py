"""The grid of convolutions: the source documents', LeNet's, VGG's, ResNet's, MobileNet's, AlexNet's, and odd ones."""

from __future__ import annotations

from dataclasses import dataclass

FEW_CHANNELS = 16
FAMILIES = ("few channels", "3x3, 64 channels or more", "depthwise", "1x1", "other")
DIRECTIONS = ("forward", "input gradient", "weight gradient")


@dataclass(frozen=True)
class Layer:
    """A convolution of a batch of images."""

    name: str
    batch: int
    channels: int
    image: tuple[int, int]
    filters: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of what it computes."""
        high, wide = (
            (size + 2 * self.padding - kernel) // self.stride + 1
            for size, kernel in zip(self.image, self.kernel, strict=True)
        )
        return high, wide

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the arrays."""
        return {
            "input": (self.batch, self.channels, *self.image),
            "weight": (self.filters, self.channels // self.groups, *self.kernel),
            "bias": (self.filters,),
            "output": (self.batch, self.filters, *self.output),
        }

    @property
    def flops(self) -> int:
        """Multiplications and additions of any one direction, by the definition."""
        rows, columns = self.output
        terms = self.channels // self.groups * self.kernel[0] * self.kernel[1]
        return 2 * self.batch * self.filters * rows * columns * terms

    @property
    def family(self) -> str:
        """The kind of layer whose geometric mean it counts in."""
        if self.groups > 1 and self.groups == self.channels:
            return "depthwise"
        if min(self.channels, self.filters) <= FEW_CHANNELS:
            return "few channels"
        if self.kernel == (1, 1):
            return "1x1"
        if self.kernel == (3, 3) and min(self.channels, self.filters) >= 64:
            return "3x3, 64 channels or more"
        return "other"


def _layer(
    group: str,
    batch: int,
    channels: int,
    image: int | tuple[int, int],
    filters: int,
    kernel: int | tuple[int, int],
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> Layer:
    high, wide = image if isinstance(image, tuple) else (image, image)
    rows, columns = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    extra = (f" stride {stride}" if stride > 1 else "") + (f" pad {padding}" if padding else "")
    extra += " depthwise" if groups > 1 else ""
    name = f"{group} {batch}x{channels}x{high}x{wide} -> {filters}, {rows}x{columns}{extra}"
    return Layer(name, batch, channels, (high, wide), filters, (rows, columns), stride, padding, groups)


GRID: tuple[Layer, ...] = (
    _layer("000", 1, 3, 28, 6, 3),
    _layer("001", 1, 1, 28, 6, 3),
    _layer("002", 16, 1, 28, 6, 5),
    _layer("003", 1, 3, 227, 96, 11, stride=4),
    _layer("004", 32, 32, 128, 64, 3),
    *(
        layer
        for batch in (32, 64, 256)
        for layer in (_layer("LeNet conv1", batch, 1, 28, 6, 5, padding=2), _layer("LeNet conv2", batch, 6, 14, 16, 5))
    ),
    _layer("VGG", 8, 64, 56, 64, 3, padding=1),
    _layer("VGG", 8, 64, 56, 128, 3, padding=1),
    _layer("VGG", 8, 128, 56, 128, 3, padding=1),
    _layer("VGG", 2, 256, 56, 256, 3, padding=1),
    _layer("VGG", 8, 128, 28, 256, 3, padding=1),
    _layer("VGG", 8, 256, 28, 256, 3, padding=1),
    _layer("VGG", 2, 512, 28, 512, 3, padding=1),
    _layer("VGG", 8, 256, 14, 256, 3, padding=1),
    _layer("VGG", 32, 256, 14, 256, 3, padding=1),
    _layer("VGG", 8, 512, 14, 512, 3, padding=1),
    _layer("ResNet stem", 8, 3, 224, 64, 7, stride=2, padding=3),
    _layer("ResNet", 8, 64, 56, 64, 1),
    _layer("ResNet", 8, 64, 56, 256, 1),
    _layer("ResNet", 8, 256, 56, 64, 1),
    _layer("ResNet", 8, 256, 56, 512, 1, stride=2),
    _layer("ResNet", 8, 512, 28, 128, 1),
    _layer("ResNet", 8, 1024, 14, 256, 1),
    _layer("ResNet", 8, 512, 7, 2048, 1),
    _layer("MobileNet", 8, 32, 112, 32, 3, padding=1, groups=32),
    _layer("MobileNet", 8, 64, 112, 64, 3, stride=2, padding=1, groups=64),
    _layer("MobileNet", 8, 128, 56, 128, 3, padding=1, groups=128),
    _layer("MobileNet", 8, 128, 56, 128, 3, stride=2, padding=1, groups=128),
    _layer("MobileNet", 8, 256, 28, 256, 3, padding=1, groups=256),
    _layer("MobileNet", 8, 256, 28, 256, 3, stride=2, padding=1, groups=256),
    _layer("MobileNet", 8, 512, 14, 512, 3, padding=1, groups=512),
    _layer("MobileNet", 8, 512, 14, 512, 3, stride=2, padding=1, groups=512),
    _layer("MobileNet", 8, 1024, 7, 1024, 3, padding=1, groups=1024),
    _layer("MobileNet", 8, 32, 112, 64, 1),
    _layer("MobileNet", 8, 128, 56, 128, 1),
    _layer("MobileNet", 8, 256, 28, 256, 1),
    _layer("MobileNet", 8, 512, 14, 512, 1),
    _layer("MobileNet", 8, 1024, 7, 1024, 1),
    _layer("AlexNet", 8, 3, 227, 96, 11, stride=4),
    _layer("AlexNet", 8, 96, 27, 256, 5, padding=2),
    _layer("odd", 1, 3, (13, 29), 5, 3),
    _layer("odd", 1, 3, (13, 29), 16, (7, 5)),
    _layer("odd", 3, 5, (13, 29), 24, (7, 5), padding=2),
    _layer("odd", 3, 5, 64, 5, 3, stride=2, padding=1),
    _layer("odd", 3, 32, (13, 29), 48, (7, 5), stride=2),
    _layer("odd", 3, 48, (13, 29), 20, 3, padding=1),
    _layer("odd", 1, 64, (13, 29), 96, 3, padding=1),
)
