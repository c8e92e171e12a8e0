"""The network's numbers become named values in the right units."""

import numpy as np
import pytest

from segmentation.face_attributes import (
    ATTRIBUTE_NAMES,
    ATTRIBUTE_TASKS,
    CLASS_OUTPUTS,
    column_names,
    describe_face,
)
from segmentation.facexformer_config import TASKS


def test_names_fit_the_network() -> None:
    assert len(ATTRIBUTE_NAMES) == TASKS["attributes"] == len(set(ATTRIBUTE_NAMES))
    for task, classes in CLASS_OUTPUTS.items():
        assert len(classes) == TASKS[task]
    assert set(ATTRIBUTE_TASKS) == set(TASKS) - {"segmentation", "visibility"}
    assert len(column_names()) == len(set(column_names())) == 3 + 136 + 40 + 6


def test_units_and_classes() -> None:
    outputs = {task: np.zeros(TASKS[task], np.float32) for task in ATTRIBUTE_TASKS}
    outputs["headpose"][:] = (0.1, -np.pi / 6, 0)
    outputs["landmarks"][:4] = (-1, 1, 0, 0)  # the crop's lower left corner, then its middle
    outputs["attributes"][ATTRIBUTE_NAMES.index("smiling")] = 2
    outputs["age"][3] = 5
    outputs["gender"][1] = 1
    outputs["race"][4] = 1
    values = describe_face(outputs, (10.0, 20.0, 60.0, 100.0))
    assert tuple(values) == column_names()
    assert values["yaw_deg"] == pytest.approx(-30) and values["pitch_deg"] == pytest.approx(5.73, abs=0.01)
    assert (values["landmark_0_x"], values["landmark_0_y"]) == (10, 100)
    assert (values["landmark_1_x"], values["landmark_1_y"]) == (35, 60)
    assert values["attribute_smiling"] == pytest.approx(0.8808, abs=1e-4) and values["attribute_bald"] == 0.5
    assert (values["age"], values["gender"], values["race"]) == ("30-39", "female", "other")
    assert values["gender_probability"] == pytest.approx(np.e / (np.e + 1), abs=1e-4)
