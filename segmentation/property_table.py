"""The one table of the seven core properties: names, order, meaning and sign.

Everything that holds seven numbers per face (scores, dials, CSV columns, plots) uses this order.
The properties and the direction of each are those of the document, section 2.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Property:
    """One property of a face picture that a dial controls.

    Attributes:
        name: identifier used in column names and on command lines.
        meaning: what the number says, in a few words.
        low: what a low value looks like.
        high: what a high value looks like.
    """

    name: str
    meaning: str
    low: str
    high: str


PROPERTIES: tuple[Property, ...] = (
    Property("eyes", "how far the eyes are open", "closed", "wide open"),
    Property("hair_color", "brightness of the hair", "dark", "bright"),
    Property("hair_length", "how far the hair reaches down", "short", "long"),
    Property("mouth", "how far the mouth is open", "closed", "wide open"),
    Property("pose", "turn of the head to the side", "to the left", "to the right"),
    Property("background_mean", "brightness of the background", "dark", "bright"),
    Property("background_std", "variation of brightness within the background", "plain", "varied"),
)

PROPERTY_NAMES: tuple[str, ...] = tuple(prop.name for prop in PROPERTIES)

LABEL_ALGORITHM = 3
"""The algorithm of `property_scores` that gives the training labels, and the scale of new readings."""
