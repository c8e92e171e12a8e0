"""Meaning, names and units of FaceXFormer's outputs beside the segmentation.

Encodings are those of Narayan et al., "FaceXFormer: A Unified Transformer for Facial Analysis" (2024), and of
its data sets: 68 landmarks (300-W), 40 attributes (CelebA, Liu et al. 2015), age, gender and race (classes of
FairFace and UTKFace as FaceXFormer merges them).
"""

import numpy as np

LANDMARK_COUNT = 68

ATTRIBUTE_NAMES = (
    "5_o_clock_shadow",
    "arched_eyebrows",
    "attractive",
    "bags_under_eyes",
    "bald",
    "bangs",
    "big_lips",
    "big_nose",
    "black_hair",
    "blond_hair",
    "blurry",
    "brown_hair",
    "bushy_eyebrows",
    "chubby",
    "double_chin",
    "eyeglasses",
    "goatee",
    "gray_hair",
    "heavy_makeup",
    "high_cheekbones",
    "male",
    "mouth_slightly_open",
    "mustache",
    "narrow_eyes",
    "no_beard",
    "oval_face",
    "pale_skin",
    "pointy_nose",
    "receding_hairline",
    "rosy_cheeks",
    "sideburns",
    "smiling",
    "straight_hair",
    "wavy_hair",
    "wearing_earrings",
    "wearing_hat",
    "wearing_lipstick",
    "wearing_necklace",
    "wearing_necktie",
    "young",
)
"""CelebA's attributes in the order of its table."""

AGE_CLASSES = ("0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")
GENDER_CLASSES = ("male", "female")
RACE_CLASSES = ("white", "black", "asian", "indian", "other")

CLASS_OUTPUTS = {"age": AGE_CLASSES, "gender": GENDER_CLASSES, "race": RACE_CLASSES}
ANGLE_NAMES = ("pitch", "yaw", "roll")

ATTRIBUTE_TASKS = ("headpose", "landmarks", "attributes", *CLASS_OUTPUTS)
"""Tasks whose outputs `describe_face` needs."""


def column_names() -> tuple[str, ...]:
    """Names of the values of `describe_face`, in order."""
    angles = [f"{name}_deg" for name in ANGLE_NAMES]
    landmarks = [f"landmark_{index}_{axis}" for index in range(LANDMARK_COUNT) for axis in "xy"]
    attributes = [f"attribute_{name}" for name in ATTRIBUTE_NAMES]
    classes = [f"{task}{suffix}" for task in CLASS_OUTPUTS for suffix in ("", "_probability")]
    return (*angles, *landmarks, *attributes, *classes)


def describe_face(
    outputs: dict[str, np.ndarray], box: tuple[float, float, float, float]
) -> dict[str, float | str]:
    """Turns the network's numbers for one face into named values.

    Args:
        outputs: float arrays by task, of one face: headpose `[3]`, landmarks `[136]`, attributes `[40]`,
            age `[8]`, gender `[2]`, race `[5]`.
        box: left, top, right, bottom of the face crop in pixels of the picture.

    Returns:
        `pitch_deg`, `yaw_deg`, `roll_deg` in degrees; `landmark_<0..67>_x`, `_y` in pixels of the picture
        (0 is its left or upper edge, as for the box); `attribute_<name>` the probability, 0 to 1; `age`
        (years), `gender` and `race` the most probable class, and `<task>_probability` its probability.
    """
    degrees = np.degrees(outputs["headpose"])
    # The network counts from -1 at one edge of the crop to 1 at the opposite edge.
    left, top, right, bottom = box
    share = (outputs["landmarks"].reshape(LANDMARK_COUNT, 2).astype(np.float64) + 1) / 2
    points = (left, top) + share * (right - left, bottom - top)
    attributes = 1 / (1 + np.exp(-outputs["attributes"].astype(np.float64)))
    values: list[float | str] = [round(float(value), 3) for value in (*degrees, *points.ravel())]
    values += [round(float(value), 5) for value in attributes]
    for task, classes in CLASS_OUTPUTS.items():
        weights = np.exp(outputs[task].astype(np.float64) - outputs[task].max())
        best = int(weights.argmax())
        values += [classes[best], round(float(weights[best] / weights.sum()), 5)]
    return dict(zip(column_names(), values, strict=True))
