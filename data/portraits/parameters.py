"""From a vector of independent standard normals to the readable parameters of one portrait."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WOMEN_SHARE = 0.56
LOW_QUALITY_SHARE = 0.05
BLOB_COUNT = 2

IDENTITY_COORDINATES = (
    *("gender", "skin_tone", "skin_warmth", "face_width", "face_length", "jaw_width", "chin_width"),
    *("eye_spacing", "eye_width", "eye_tilt", "iris_tone", "nose_width", "nose_length"),
    *("lip_fullness", "mouth_width", "makeup", "lipstick_hue", "brow_thickness", "brow_arch", "brow_height"),
    *("beard", "blush", "hair_redness", "parting", "fringe", "hair_volume", "hair_wave"),
    *("clothes_hue", "clothes_saturation", "clothes_value", "neckline"),
)
PROPERTY_COORDINATES = (
    *("eye_opening", "hair_color", "hair_length", "mouth_opening", "yaw"),
    *("background_mean", "background_std"),
)
CAPTURE_COORDINATES = (
    *("roll", "smile", "light_x", "light_y", "exposure", "warmth", "offset_x", "offset_y", "scale", "blur"),
    *("background_hue", "background_saturation", "background_tint", "gradient_x", "gradient_y"),
    *(f"blob_{axis}{index}" for index in range(BLOB_COUNT) for axis in ("x", "y", "amplitude")),
)
COORDINATES = IDENTITY_COORDINATES + PROPERTY_COORDINATES + CAPTURE_COORDINATES
LATENT_SIZE = len(COORDINATES)

TRUTH_NAMES = (
    *("gender", "quality", "eyes", "hair_color", "hair_length", "mouth", "pose"),
    *("background_mean", "background_std"),
)

HAIR_COLORS = np.array(
    [[20, 17, 19], [58, 36, 26], [112, 68, 40], [168, 116, 66], [216, 178, 118], [244, 228, 190]], np.float32
) / np.float32(255)


@dataclass(frozen=True)
class PortraitParameters:
    """Everything that decides a portrait.

    Lengths are in face units: one unit is the width of the picture at `scale` 1, the origin lies between
    the eyes, x grows to the image's right and y downwards. Colours and shares lie in [0, 1].
    """

    seed: int
    """Seeds the grain and the fine strands of the hair, nothing else."""
    gender: int
    """1 = woman, 0 = man."""
    masculinity: float
    """0..1; close to 0 or 1 for nearly everyone."""
    # identity
    skin_tone: float
    skin_warmth: float
    face_width: float
    """Half of the width between the cheekbones."""
    face_length: float
    """From the eyes to the chin."""
    jaw_width: float
    """Relative to face_width, like chin_width."""
    chin_width: float
    eye_spacing: float
    """From the middle of the face to the middle of an eye."""
    eye_width: float
    """Half of the width of one eye."""
    eye_tilt: float
    iris_tone: float
    """0 dark brown .. 0.5 hazel and green .. 1 light blue."""
    nose_width: float
    nose_length: float
    lip_fullness: float
    mouth_width: float
    makeup: float
    lipstick_hue: float
    brow_thickness: float
    brow_arch: float
    brow_height: float
    beard: float
    blush: float
    hair_redness: float
    parting: float
    """-1 (image left) .. 1."""
    fringe: float
    """0 open forehead .. 1 covered down to the brows."""
    hair_volume: float
    hair_wave: float
    clothes_hue: float
    clothes_saturation: float
    clothes_value: float
    neckline: float
    # the seven properties
    eye_opening: float
    hair_color: float
    """Position on the ramp of hair colours; `truth` has the brightness."""
    hair_length: float
    mouth_opening: float
    yaw: float
    """-1 (turned to the image's left) .. 1."""
    background_mean: float
    background_std: float
    # circumstances of the picture
    roll: float
    """Radians."""
    smile: float
    light_x: float
    light_y: float
    exposure: float
    warmth: float
    offset_x: float
    offset_y: float
    scale: float
    blur: float
    """0 = good; otherwise the strength of the blur at the top of the picture."""
    background_hue: float
    background_saturation: float
    background_tint: float
    gradient: tuple[float, float]
    blobs: tuple[tuple[float, float, float], ...]
    """(x, y, amplitude) of each soft spot in the background; x and y in shares of the picture."""


def _cdf(z: float) -> float:
    """Cumulative distribution of the standard normal."""
    return 0.5 * (1.0 + math.erf(z / math.sqrt(2.0)))


def _quantile(share: float) -> float:
    """The z below which `share` of a standard normal lies (bisection; called on constants only)."""
    low, high = -8.0, 8.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _cdf(middle) < share else (low, middle)
    return 0.5 * (low + high)


_GENDER_THRESHOLD = _quantile(WOMEN_SHARE)
_BLUR_THRESHOLD = _quantile(LOW_QUALITY_SHARE)
# Sets the correlation of hair length with gender to about 0.5: most, not all, long hair is a woman's.
_HAIR_LENGTH_GAP = 1.28


def _normal(z: float, mean: float, deviation: float, limit: float = 2.5) -> float:
    return mean + deviation * max(-limit, min(limit, z))


def _uniform(z: float, low: float, high: float) -> float:
    return low + (high - low) * _cdf(z)


def _smoothstep(x: float, low: float, high: float) -> float:
    t = max(0.0, min(1.0, (x - low) / (high - low)))
    return t * t * (3.0 - 2.0 * t)


def sample_latents(seeds: Sequence[int]) -> np.ndarray:
    """Draw one latent per seed: float32 [N, LATENT_SIZE]; row i depends on `seeds[i]` alone."""
    rows = [np.random.default_rng(int(seed)).standard_normal(LATENT_SIZE) for seed in seeds]
    return np.asarray(rows, np.float32).reshape(len(rows), LATENT_SIZE)


def same_person(latents: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """The same people photographed again.

    Keeps the identity coordinates of `latents` [N, LATENT_SIZE] and draws the properties, the light, the
    background, the placement and the quality anew from `seeds` [N]. Returns float32 [N, LATENT_SIZE].
    """
    latents = _checked(latents)
    if len(latents) != len(seeds):
        raise ValueError(
            f"{len(latents)} latents came with {len(seeds)} seeds; give one seed for each latent."
        )
    # Another stream than sample_latents, so that a person's own seed gives a new picture, too.
    again = np.stack([np.random.default_rng([int(seed), 1]).standard_normal(LATENT_SIZE) for seed in seeds])
    again = again.astype(np.float32)
    again[:, : len(IDENTITY_COORDINATES)] = latents[:, : len(IDENTITY_COORDINATES)]
    return again


def _checked(latents: np.ndarray) -> np.ndarray:
    latents = np.asarray(latents, np.float32)
    if latents.ndim != 2 or latents.shape[1] != LATENT_SIZE or not np.isfinite(latents).all():
        raise ValueError(
            f"Portrait latents must be finite numbers of shape [N, {LATENT_SIZE}], not "
            f"{list(latents.shape)}; draw them with sample_latents."
        )
    return latents


def parameters_from_latent(latent: np.ndarray, seed: int) -> PortraitParameters:
    """Map one latent [LATENT_SIZE] to parameters. All maps are continuous, but gender and quality labels.

    `seed` only seeds grain and strands. Raises ValueError for a latent of another size.
    """
    z = dict(zip(COORDINATES, _checked(np.asarray(latent)[None])[0].tolist(), strict=True))
    gender_z = z["gender"] - _GENDER_THRESHOLD
    man = 0.5 + 0.5 * math.tanh(12.0 * gender_z)
    return PortraitParameters(
        seed=int(seed),
        gender=int(gender_z < 0),
        masculinity=man,
        **_identity(z, man),
        **_properties(z, man),
        **_circumstances(z),
        gradient=(z["gradient_x"], z["gradient_y"]),
        blobs=tuple(_blob(z, index) for index in range(BLOB_COUNT)),
    )


def _identity(z: dict[str, float], man: float) -> dict[str, float]:
    woman = 1.0 - man
    return {
        "skin_tone": _cdf(z["skin_tone"]) ** 1.2,
        "skin_warmth": _normal(z["skin_warmth"], 0.0, 0.03),
        "face_width": _normal(z["face_width"], 0.218 + 0.010 * man, 0.008),
        "face_length": _normal(z["face_length"], 0.318 + 0.014 * man, 0.010),
        "jaw_width": _normal(z["jaw_width"], 0.72 + 0.135 * man, 0.040),
        "chin_width": _normal(z["chin_width"], 0.31 + 0.155 * man, 0.040),
        "eye_spacing": _normal(z["eye_spacing"], 0.1075, 0.0045),
        "eye_width": _normal(z["eye_width"], 0.0675 - 0.0045 * man, 0.0027),
        "eye_tilt": _normal(z["eye_tilt"], 0.006 - 0.005 * man, 0.005),
        "iris_tone": _cdf(z["iris_tone"]),
        "nose_width": _normal(z["nose_width"], 0.040 + 0.007 * man, 0.0045),
        "nose_length": _normal(z["nose_length"], 0.120 + 0.007 * man, 0.008),
        "lip_fullness": _normal(z["lip_fullness"], 1.12 - 0.28 * man, 0.14),
        "mouth_width": _normal(z["mouth_width"], 0.084 + 0.005 * man, 0.006),
        "makeup": woman * _uniform(z["makeup"], 0.25, 1.0),
        "lipstick_hue": _uniform(z["lipstick_hue"], 0.92, 1.03),
        "brow_thickness": _normal(z["brow_thickness"], 0.0125 + 0.0085 * man, 0.0020),
        "brow_arch": _normal(z["brow_arch"], 0.019 - 0.012 * man, 0.005),
        "brow_height": _normal(z["brow_height"], 0.094 - 0.014 * man, 0.004),
        "beard": man * _smoothstep(z["beard"], -0.1, 1.4),
        "blush": _uniform(z["blush"], 0.2, 1.0),
        "hair_redness": _normal(z["hair_redness"], 0.01, 0.035),
        "parting": math.tanh(0.9 * z["parting"]),
        "fringe": _smoothstep(z["fringe"], -0.1, 1.1),
        "hair_volume": _normal(z["hair_volume"], 0.046 - 0.006 * man, 0.010),
        "hair_wave": _smoothstep(z["hair_wave"], -0.5, 2.0),
        "clothes_hue": _cdf(z["clothes_hue"]),
        "clothes_saturation": 0.80 * _cdf(z["clothes_saturation"]),
        "clothes_value": _uniform(z["clothes_value"], 0.10, 0.92),
        "neckline": _cdf(z["neckline"]),
    }


def _properties(z: dict[str, float], man: float) -> dict[str, float]:
    length_z = z["hair_length"] + _HAIR_LENGTH_GAP * (1.0 - WOMEN_SHARE - man)
    length_deviation = math.sqrt(1.0 + _HAIR_LENGTH_GAP**2 * WOMEN_SHARE * (1.0 - WOMEN_SHARE))
    return {
        "eye_opening": max(0.0, 1.12 * _cdf(z["eye_opening"]) - 0.12),
        "hair_color": _cdf(z["hair_color"]),
        "hair_length": _cdf(length_z / length_deviation),
        "mouth_opening": max(0.0, 1.30 * _cdf(z["mouth_opening"]) - 0.30),
        "yaw": math.tanh(0.75 * z["yaw"]),
        "background_mean": _uniform(z["background_mean"], 0.14, 0.86),
        "background_std": _uniform(z["background_std"], 0.005, 0.175),
    }


def _circumstances(z: dict[str, float]) -> dict[str, float]:
    blurred = z["blur"] < _BLUR_THRESHOLD
    return {
        "roll": _normal(z["roll"], 0.0, math.radians(2.2)),
        "smile": _normal(z["smile"], 0.55, 0.35),
        "light_x": 0.65 * math.tanh(0.7 * z["light_x"]),
        "light_y": _uniform(z["light_y"], -0.60, -0.25),
        "exposure": _normal(z["exposure"], 1.0, 0.05),
        "warmth": _normal(z["warmth"], 0.0, 0.025),
        "offset_x": _normal(z["offset_x"], 0.0, 0.007),
        "offset_y": _normal(z["offset_y"], 0.0, 0.006),
        "scale": _normal(z["scale"], 1.06, 0.020),
        "blur": 0.75 + 0.25 * min(1.0, _BLUR_THRESHOLD - z["blur"]) if blurred else 0.0,
        "background_hue": _cdf(z["background_hue"]),
        "background_saturation": _cdf(z["background_saturation"]) ** 1.2,
        "background_tint": _normal(z["background_tint"], 0.0, 0.10),
    }


def _blob(z: dict[str, float], index: int) -> tuple[float, float, float]:
    x, y = _uniform(z[f"blob_x{index}"], -0.05, 1.05), _uniform(z[f"blob_y{index}"], -0.05, 0.75)
    return x, y, z[f"blob_amplitude{index}"]


def hair_base_color(parameters: PortraitParameters) -> np.ndarray:
    """The hair's colour under even light, before the exposure: float32 [3], RGB in [0, 1]."""
    position = parameters.hair_color * (len(HAIR_COLORS) - 1)
    channels = [np.interp(position, np.arange(len(HAIR_COLORS)), HAIR_COLORS[:, i]) for i in range(3)]
    shift = parameters.hair_redness * np.array([1.0, 0.0, -1.0]) * (0.4 + 2.0 * channels[1])
    return np.clip(np.array(channels) + shift, 0.0, 1.0).astype(np.float32)


def truth(parameters: PortraitParameters) -> np.ndarray:
    """What the portrait shows: float32 [9] in the order of TRUTH_NAMES.

    gender 1 = woman; quality 1 = good, 0 = blurred top; eyes and mouth 0 (closed) .. 1; hair_color =
    brightness 0..1; hair_length 0..1, linear in the lowest row with hair; pose -1 (image left) .. 1;
    background_mean and background_std of the brightness (mean of R, G, B in 0..1) of the backdrop.
    """
    return np.array(
        [
            parameters.gender,
            float(parameters.blur == 0),
            parameters.eye_opening,
            float(hair_base_color(parameters).mean()) * parameters.exposure,
            parameters.hair_length,
            parameters.mouth_opening,
            parameters.yaw,
            parameters.background_mean,
            parameters.background_std,
        ],
        np.float32,
    )
