"""v1's first lesson: the mapping network learns, in w alone, what linear directions would do.

No picture is drawn, so a step takes milliseconds. Afterwards z stays who it was, moved inside the boundaries
of the kept pictures, and the properties move w along directions that hardly touch each other: adversarial
training then has a generator to refine whose dials already answer.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from stylegan.parallel import Scalar
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified.fine_tuning import FineTuner, cosine, set_learning_rate
from stylegan_modified.linear_latents import LinearEditor
from stylegan_modified.recipes import V1Recipe
from stylegan_modified.requests import PairSampler
from stylegan_modified.stylegan_generator import ConditionedGenerator


class WarmStartTrainer(FineTuner):
    """Fits a transplanted mapping network to (original w of z, properties) -> the w of a `LinearEditor`.

    Args:
        generator: transplanted from the base generator; only its mapping network changes.
        editor: the teacher.
        properties: [M, 7] property vectors of the training pictures, the distribution to ask from.
        options: see `V1Recipe`.
    """

    purpose = Purpose.WARM_START_STEP
    options: V1Recipe

    def __init__(
        self,
        generator: ConditionedGenerator,
        editor: LinearEditor,
        properties: Tensor,
        options: V1Recipe,
    ) -> None:
        self.generator, self.editor, self.options = generator, editor, options
        self.pairs = PairSampler(properties)
        self.device = next(generator.parameters()).device
        self.original = copy.deepcopy(generator.mapping).requires_grad_(False).eval()
        generator.requires_grad_(False)
        mapping = generator.mapping.requires_grad_(True)
        label = mapping.label_weight
        rest = [parameter for parameter in mapping.parameters() if parameter is not label]
        self.optimizer = torch.optim.Adam(
            [
                {"params": rest, "lr": options.warm_start_mapping_lr},
                {"params": [label], "lr": options.warm_start_label_lr},
            ],
            betas=(0.9, 0.99),
            fused=True,
        )
        rng = torch.Generator().manual_seed(derived_seed(Purpose.WARM_START_SPREAD))
        z = torch.randn(1000, generator.z_space_dim, generator=rng).to(self.device)
        with torch.no_grad():
            self.w_std = self.original(z).std(0).clamp_min(1e-6)

    @property
    def steps(self) -> int:
        return self.options.warm_start_steps

    def modules(self) -> dict[str, nn.Module]:
        return {"mapping": self.generator.mapping}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"mapping": self.optimizer}

    def train_step(self, t: int, rng: torch.Generator) -> dict[str, Scalar]:
        count = self.options.warm_start_people
        share = self.processes.part(count)
        z = torch.randn(count, self.generator.z_space_dim, generator=rng)[share.rows].to(self.device)
        requested = self.pairs.draw(count, rng).first[share.rows].to(self.device)
        with torch.no_grad():
            wanted = self.editor.move(self.editor.admit(self.original(z)), requested)
        loss = ((self.generator.mapping(z, requested) - wanted) / self.w_std).square().mean() * share.weight
        set_learning_rate(self.optimizer, cosine(t, self.options.warm_start_steps))
        self.descend(self.optimizer, loss)
        return self.processes.sum_values({"unexplained": loss.detach()}, self.device)
