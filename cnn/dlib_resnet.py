"""dlib's face recognition network (Davis King, 2017): a ResNet of 29 convolutions, 128 numbers per face.

Our own implementation of the layers that dlib's `dnn_face_recognition` example describes. What is unusual:
convolutions and poolings with a stride do not pad, shortcuts halve by averaging 2x2 pixels, and where the
two summands differ in size, the smaller one is filled up with zeros on the right, at the bottom and in the
last channels. The affine layers that followed each convolution are folded into it (`scripts/bundle`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUT_PX = 150
DESCRIPTOR_SIZE = 128
CHANNEL_MEANS = (122.782, 117.001, 104.298)  # red, green, blue, of 0 to 255
# Channels, residual blocks, and whether the first block halves the size.
STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))


def add_filled_up(first: Tensor, second: Tensor) -> Tensor:
    """Sum of two maps [N, C, H, W]; whichever is smaller along an axis is filled up with zeros at its end."""
    shape = [max(sizes) for sizes in zip(first.shape[1:], second.shape[1:], strict=True)]

    def filled(x: Tensor) -> Tensor:
        missing = [wanted - size for wanted, size in zip(shape, x.shape[1:], strict=True)]
        return functional.pad(x, (0, missing[2], 0, missing[1], 0, missing[0]))

    return filled(first) + filled(second)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to the input, or to its 2x2 averages where the block halves the size."""

    def __init__(self, in_channels: int, channels: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        stride, padding = (2, 0) if halves else (1, 1)
        self.conv0 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=padding)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.relu(self.conv0(x)))
        return functional.relu(add_filled_up(functional.avg_pool2d(x, 2) if self.halves else x, y))


class DlibResnet(nn.Module):
    """Faces to descriptors; two of one person are closer than 0.6 (Euclidean), says its author."""

    channel_means: Tensor

    def __init__(self) -> None:
        super().__init__()
        means = torch.tensor(CHANNEL_MEANS).view(3, 1, 1)
        self.register_buffer("channel_means", means, persistent=False)
        channels = STAGES[0][0]
        self.stem = nn.Conv2d(3, channels, 7, stride=2)
        blocks: list[nn.Module] = []
        for stage_channels, count, halves in STAGES:
            for number in range(count):
                blocks.append(ResidualBlock(channels, stage_channels, halves and number == 0))
                channels = stage_channels
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(channels, DESCRIPTOR_SIZE, bias=False)

    def forward(self, faces: Tensor) -> Tensor:
        """Descriptors [N, 128] of faces [N, 3, 150, 150], RGB in [-1, 1]; their length is not one."""
        x = ((faces + 1) * 127.5 - self.channel_means) / 256
        x = functional.max_pool2d(functional.relu(self.stem(x)), 3, stride=2)
        return self.output(self.blocks(x).mean(dim=(2, 3)))
