"""The plan of a training: phases with resolution, length, learning rate and losses."""

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

KINDS = ("regression", "discriminator", "adversarial")
OPTIMIZERS = ("adam", "muon")
AUGMENTATIONS = ("none", "fixed", "adaptive")
Architecture = Literal["stylegan", "stylegan2"]


@dataclass(frozen=True)
class Phase:
    """One stretch of training. It ends at `kimg` or after `seconds`, whichever comes first (0 = no limit)."""

    kind: str = "adversarial"
    """regression: G against the paired images. discriminator: D alone. adversarial: both."""
    resolution: int = 0
    """Pixels per side that are trained; 0: those of the networks."""
    kimg: float = 0.0
    """Length in thousands of images."""
    seconds: float = 0.0
    """Length in seconds of training."""
    batch: int = 16
    """Images per step."""
    lr_start: float = 0.002
    """Learning rate at the start."""
    lr_end: float = 0.002
    """Learning rate at the end; geometric in between."""
    r1_gamma: float = 0.1
    """Weight of the R1 penalty."""
    fade_kimg: float = 0.0
    """Thousands of images over which a higher resolution is faded in."""
    anchor_start: float = 0.0
    """Pull towards the paired images: size of its gradient relative to the adversarial one, at the start."""
    anchor_end: float = 0.0
    """The same at the end; linear in between."""
    centre_weight: float = 1.0
    """Weight of the middle of the picture in the distance to the paired images."""
    spike_weight: float = 0.0
    """Weight of the penalty on droplets in a regression, see `stylegan.spikes`."""
    style_mixing: float = 0.0
    """Probability of style mixing."""
    mapping_rate: float = 1.0
    """Learning rate of the mapping network relative to the others. Its stored weights are 1 / mapping_lr_mul
    times larger, so that at 1 it hardly moves in a short training; in a regression 300 learns much faster."""
    beta1: float = 0.0
    """Decay of Adam's first moment: 0 for adversarial training, 0.9 for a regression."""
    optimizer: str = "adam"
    """Of the generator: adam, or muon, which fits paired images in half as many."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a phase's kind must be one of {', '.join(KINDS)}, but it is {self.kind!r}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"a phase's optimizer must be adam or muon, but it is {self.optimizer!r}")
        if self.kimg <= 0 and self.seconds <= 0:
            raise ValueError(
                f"the {self.kind} phase at {self.resolution} px never ends: give kimg or seconds"
            )
        if self.batch < 1 or self.lr_start <= 0 or self.lr_end <= 0:
            raise ValueError(f"the {self.kind} phase needs batch >= 1 and learning rates above zero")

    def progress(self, images: int, seconds: float) -> float:
        """Share of the phase that is over, 0 to 1, after so many images and seconds."""
        by_images = images / (self.kimg * 1000) if self.kimg > 0 else 0.0
        by_time = seconds / self.seconds if self.seconds > 0 else 0.0
        return min(1.0, max(by_images, by_time))

    def learning_rate(self, progress: float) -> float:
        return self.lr_start * (self.lr_end / self.lr_start) ** progress

    def anchor_weight(self, progress: float) -> float:
        return self.anchor_start + (self.anchor_end - self.anchor_start) * progress


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the outcome of a training, beside the images."""

    phases: tuple[Phase, ...]
    generator: Mapping[str, Any]
    """Arguments of the architecture's generator."""
    discriminator: Mapping[str, Any]
    """Arguments of its discriminator."""
    architecture: Architecture = "stylegan"
    """stylegan (v1, may grow from phase to phase) or stylegan2 (all resolutions at once)."""
    seed: int = 0
    precision: str = "auto"
    """float32, bf16 (mixed precision), or auto: bf16 where the hardware is fast at it."""
    r1_interval: int = 8
    """Discriminator steps per R1 penalty."""
    path_length_weight: float = 0.0
    """Weight of the path length penalty of an adversarial phase (2 in the paper), see `stylegan.losses`."""
    path_length_interval: int = 4
    """Generator steps per path length penalty."""
    average_half_life_kimg: float = 3.0
    """Half-life of the averaged generator, in thousands of images."""
    mirror: bool = False
    """Flip half of the images left to right; never done when images and latents are paired."""
    augmentation: str = "none"
    """What the discriminator sees, see `stylegan.augmentation`: none, fixed or adaptive probability."""
    augmentation_p: float = 0.0
    """That probability; where it is adaptive, at the start."""
    augmentation_target: float = 0.6
    """Mean sign of the scores of real images that an adaptive probability aims at."""
    augmentation_kimg: float = 500.0
    """Thousands of images in which an adaptive probability can go from 0 to 1."""
    freeze_d: int = 0
    """Trained resolutions of the discriminator, counted from its end, see `stylegan.transfer`; 0: all."""
    freezed: int = 0
    """Frozen layers of a StyleGAN2 discriminator, counted from its input as StyleGAN2-ADA counts them: from
    RGB, then conv0, conv1 and skip of every block; 0: none."""
    init: str = ""
    """Name of the weights that the training starts from; empty: random ones."""
    init_resolution: int = 0
    """Pixels per side of those weights; where less than the networks', a fade starts from there."""
    rotation_seed: int | None = None
    """Seed of the rotation between latents and z, where those weights have one already; None: `seed`."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else to store with the weights, e.g. where the images came from."""

    def __post_init__(self) -> None:
        for name in ("generator", "discriminator"):
            if "resolution" not in getattr(self, name):
                raise ValueError(f"the {name} needs a resolution (pixels per side)")
        resolution = self.generator["resolution"]
        if not self.phases:
            raise ValueError("the training plan has no phases")
        if self.precision not in ("auto", "float32", "bf16"):
            raise ValueError(f"precision must be auto, float32 or bf16, but it is {self.precision!r}")
        if self.discriminator["resolution"] != resolution:
            raise ValueError("generator and discriminator must have the same resolution")
        if self.architecture not in get_args(Architecture):
            known = " or ".join(get_args(Architecture))
            raise ValueError(f"architecture must be {known}, but it is {self.architecture!r}")
        if self.path_length_weight < 0 or self.path_length_interval < 1 or self.r1_interval < 1:
            raise ValueError("path_length_weight must be 0 or more, and intervals of penalties 1 or more")
        phases = (dataclasses.replace(p, resolution=p.resolution or resolution) for p in self.phases)
        object.__setattr__(self, "phases", tuple(phases))
        for phase in self.phases:
            level = math.log2(resolution / phase.resolution)
            if level < 0 or level % 1 or phase.resolution < 4:
                raise ValueError(
                    f"a phase at {phase.resolution} px does not fit a {resolution} px network: "
                    "use a power of two from 4 to its resolution"
                )
            if self.architecture == "stylegan2" and (level or phase.fade_kimg or phase.spike_weight):
                raise ValueError(
                    "StyleGAN2 does not grow and has no droplets: leave resolution, fade_kimg and "
                    "spike_weight out of its phases"
                )
        self._check_augmentation()
        self._check_freezing()

    def _check_augmentation(self) -> None:
        if self.augmentation not in AUGMENTATIONS:
            raise ValueError(
                f"augmentation must be {', '.join(AUGMENTATIONS[:-1])} or {AUGMENTATIONS[-1]}, "
                f"but it is {self.augmentation!r}"
            )
        if not 0 <= self.augmentation_p <= 1 or self.augmentation_kimg <= 0:
            raise ValueError("augmentation_p must be from 0 to 1, and augmentation_kimg above 0")

    def _check_freezing(self) -> None:
        blocks = int(math.log2(self.discriminator["resolution"])) - 1
        if not 0 <= self.freeze_d <= blocks:
            raise ValueError(f"freeze_d must be from 0 to {blocks} here, but it is {self.freeze_d}")
        layers = 3 * (blocks - 1) + 1 if self.architecture == "stylegan2" else 0
        if not 0 <= self.freezed <= layers:
            raise ValueError(
                f"freezed counts the layers of a StyleGAN2 discriminator, here 0 to {layers}, but it is "
                f"{self.freezed}"
            )
        if self.freeze_d and self.freezed:
            raise ValueError(
                "freeze_d and freezed are two ways to count the same layers: leave one of them out"
            )
        name = "freezed" if self.freezed else "freeze_d"
        if (self.freeze_d or self.freezed) and not self.init:
            raise ValueError(
                f"{name} keeps the first layers of a trained discriminator as they are, but this one starts "
                f"from random weights: leave {name} out, or start from a weights file with --init"
            )
        if (self.freeze_d or self.freezed) and self.init_resolution < self.generator["resolution"]:
            raise ValueError(
                f"{name} would freeze the new, untrained layers that take the discriminator from "
                f"{self.init_resolution} to {self.generator['resolution']} px: leave it out, or keep the size"
            )

    @property
    def paired(self) -> tuple[Phase, ...]:
        """The phases that need images with known latents."""
        return tuple(p for p in self.phases if p.kind == "regression" or p.anchor_start or p.anchor_end)

    def lod(self, phase_number: int, phase_images: int) -> float:
        """Level of detail in a phase after so many of its images."""
        full = self.generator["resolution"]
        phase = self.phases[phase_number]
        target = math.log2(full / phase.resolution)
        before = self.phases[phase_number - 1].resolution if phase_number else self.init_resolution
        start = math.log2(full / before) if before else target
        if phase.fade_kimg <= 0 or start <= target:
            return target
        faded = min(1.0, phase_images / (phase.fade_kimg * 1000))
        return start + (target - start) * faded

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists, fit for JSON."""
        values = dataclasses.asdict(self)
        values["phases"] = list(values["phases"])
        return values

    def first_difference(self, stored: Mapping[str, Any]) -> str | None:
        """Name of the first value that differs from those of an earlier `to_dict`; None: the same plan.

        What was stored before an option existed counts as its default. In `extra` it is the name of an entry.
        """
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        phase_defaults = {f.name: f.default for f in dataclasses.fields(Phase)}
        phases = [{**phase_defaults, **phase} for phase in stored["phases"]]
        known = {**defaults, **stored, "phases": phases}
        key = next((key for key, value in self.to_dict().items() if known[key] != value), None)
        if key != "extra":
            return key
        before = known["extra"]
        names = (*self.extra, *before)
        return next(n for n in names if n not in before or before[n] != self.extra.get(n))


def phases_from_tables(tables: Sequence[Mapping[str, Any]]) -> tuple[Phase, ...]:
    """Read phases from TOML or JSON tables; ValueError names the nearest key for an unknown one."""
    names = [f.name for f in dataclasses.fields(Phase)]
    for table in tables:
        for key in table:
            if key not in names:
                nearest = difflib.get_close_matches(key, names, n=1, cutoff=0.0)[0]
                raise ValueError(f"unknown key {key!r} in a phase; the nearest one is {nearest!r}")
    return tuple(Phase(**table) for table in tables)
