"""v2, first part: supervised training of the property CNN on the filtered pictures and their scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.property_table import PROPERTY_NAMES
from stylegan.muon import Muon
from stylegan.parallel import Scalar
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified.fine_tuning import (
    ExponentialAverage,
    FineTuner,
    TrainingPictures,
    cosine,
    mixed_precision,
    set_learning_rate,
)
from stylegan_modified.property_cnn import PropertyCNN
from stylegan_modified.recipes import DocumentRecipe, V2Recipe

POSE = PROPERTY_NAMES.index("pose")


@dataclass(frozen=True)
class HeldOutReading:
    """How well a property CNN reads `pictures` pictures of people that it neither learned from nor was chosen
    by: `r` is Pearson's of each property.
    """

    r: tuple[float, ...]
    pictures: int


class PropertyCNNTrainer(FineTuner):
    """Fits the property CNN to the scores; keeps the epoch with the lowest validation error.

    A picture mirrored left to right is a picture too: its pose changes sign (`mirror_offset` is what the sign
    change adds in normalised units, -2 mean / std), all other properties stay.

    Raises:
        ValueError: the people that are not held out have fewer pictures than one batch.
    """

    purpose = Purpose.PROPERTY_CNN_STEP
    options: V2Recipe

    def __init__(
        self, network: PropertyCNN, data: TrainingPictures, options: V2Recipe, mirror_offset: float = 0.0
    ) -> None:
        half = options.cnn_held_out_share / 2
        seed = derived_seed(Purpose.PROPERTY_CNN_SPLIT, options.seed)
        self.report_rows, self.validation_rows, self.training_rows = data.split((half, half), seed)
        self.batches = len(self.training_rows) // options.batch_size
        if self.batches < 1:
            raise ValueError(
                f"{len(self.training_rows)} pictures to learn from are too few for a batch of "
                f"{options.batch_size}"
            )
        self.network, self.data, self.options = network, data, options
        self.mirror_offset = mirror_offset
        self.device = next(network.parameters()).device
        self.optimizer: torch.optim.Optimizer
        if options.recipe == "document":
            self.optimizer = torch.optim.AdamW(network.parameters(), lr=DocumentRecipe.cnn_lr, fused=True)
        else:
            self.optimizer = Muon(network.parameters(), lr=options.cnn_lr)
        self.best = ExponentialAverage(network, half_life=1.0)
        self.best_loss, self.stale_epochs = float("inf"), 0

    @property
    def steps(self) -> int:
        """Optimisation steps of all epochs (an incomplete last batch is dropped)."""
        return self.batches * self.options.cnn_epochs

    def modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, "best": self.best}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": self.optimizer}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "best_loss": self.best_loss, "stale_epochs": self.stale_epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.best_loss, self.stale_epochs = state["best_loss"], state["stale_epochs"]

    @property
    def finished(self) -> bool:
        return super().finished or self.stale_epochs >= self.options.cnn_patience_epochs

    def train_step(self, t: int, rng: torch.Generator) -> dict[str, Scalar]:
        epoch, batch = divmod(t, self.batches)
        seed = derived_seed(Purpose.PROPERTY_CNN_ORDER, self.options.seed, number=epoch)
        order = torch.randperm(len(self.training_rows), generator=torch.Generator().manual_seed(seed))
        size = self.options.batch_size
        share = self.processes.part(size)
        rows = self.training_rows[order[batch * size : (batch + 1) * size]][share.rows]
        set_learning_rate(self.optimizer, cosine(t, self.steps))
        self.network.train()
        with self.processes.joint_random_numbers(share.rows, size):
            images, properties = self._augmented(rows, rng)
            with mixed_precision(self.device, self.precision):
                read = self.network(images)
        loss = F.mse_loss(read.float(), properties) * share.weight
        self.descend(self.optimizer, loss)
        self.network.eval()
        row = self.processes.sum_values({"cnn_loss": loss.detach()}, self.device)
        if batch == self.batches - 1:
            row |= self._validate()
        return row

    def _augmented(self, rows: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        images, properties = self.data.batch(rows, self.device)
        flip = (torch.rand(len(rows), generator=rng) < 0.5).to(self.device)
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
        mirrored = properties.clone()
        mirrored[:, POSE] = self.mirror_offset - properties[:, POSE]
        noise = torch.randn(images.shape, generator=rng).to(self.device) * self.options.cnn_noise
        return images + noise, torch.where(flip[:, None], mirrored, properties)

    @torch.no_grad()
    def _read(self, network: PropertyCNN, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What a network in eval mode reads from some pictures, and the truth: [N, 7] each."""
        read, truth = [], []
        for part in rows.split(64):
            images, properties = self.data.batch(part, self.device)
            read.append(network(images))
            truth.append(properties)
        return torch.cat(read), torch.cat(truth)

    def _validate(self) -> dict[str, Scalar]:
        loss = float(F.mse_loss(*self._read(self.network, self.validation_rows)))
        # One number for all processes, which must agree on when to stop.
        joint = self.processes.sum_values({"loss": loss / self.processes.count}, self.device)
        loss = float(joint["loss"])
        if loss < self.best_loss:
            self.best_loss, self.stale_epochs = loss, 0
            self.best.values.load_state_dict(ExponentialAverage(self.network, 1.0).values.state_dict())
        else:
            self.stale_epochs += 1
        return {"validation_loss": loss}

    def best_network(self) -> PropertyCNN:
        """The network of the best epoch, in eval mode."""
        network = PropertyCNN(self.network.config).to(self.device)
        network.load_state_dict(self.best.state_for(self.network), strict=True)
        return network.eval()

    def held_out_reading(self) -> HeldOutReading:
        """How well the network of the best epoch reads people that decided nothing."""
        read, truth = self._read(self.best_network(), self.report_rows)
        return HeldOutReading(tuple(correlation(read, truth).tolist()), len(truth))


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation of the columns of two [N, K] tensors; [K], zero where a column is constant."""
    a, b = (first - first.mean(0)).double(), (second - second.mean(0)).double()
    scale = (a.square().sum(0) * b.square().sum(0)).sqrt()
    return torch.where(scale > 0, (a * b).sum(0) / scale.clamp_min(1e-30), 0.0)
