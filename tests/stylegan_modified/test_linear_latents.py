"""Linear models in w: directions that do not disturb each other, and boundaries to cross."""

import pytest
import torch

from stylegan_modified.linear_latents import LinearEditor, fit_boundary, fit_linear, smallest_directions


@pytest.fixture
def world() -> dict[str, torch.Tensor]:
    """Latents with correlated coordinates, linear properties, and a class that goes with one of them."""
    rng = torch.Generator().manual_seed(0)
    w = torch.randn(800, 12, generator=rng) @ torch.randn(12, 12, generator=rng)
    properties = w @ torch.randn(12, 3, generator=rng) + 0.5
    logit = w @ torch.randn(12, generator=rng) + properties[:, 0]
    return {"w": w, "properties": properties, "wanted": logit > logit.mean()}


def test_ridge_regression_reads_the_properties_and_directions_move_one_alone(world) -> None:
    effect, offset = fit_linear(world["w"], world["properties"])
    read = world["w"] @ effect + offset
    assert float((read - world["properties"]).abs().max()) < 0.05 * float(world["properties"].std())
    directions = smallest_directions(effect, world["w"])
    torch.testing.assert_close(directions @ effect, torch.eye(3), atol=0.05, rtol=0)
    with pytest.raises(ValueError, match="too few"):
        fit_linear(world["w"][:12], world["properties"][:12])


def test_moves_reach_what_is_asked_for_and_leave_the_class_alone(world) -> None:
    w, scored = world["w"], torch.arange(0, 800, 2)
    editor = LinearEditor.fit(w, scored, world["properties"][scored], (world["wanted"],))
    asked = editor.properties(w).roll(1, dims=0)
    moved = editor.move(w, asked)
    torch.testing.assert_close(editor.properties(moved), asked, atol=0.02, rtol=0.02)
    logits = [latents @ editor.boundary_effect + editor.boundary_offset for latents in (w, moved)]
    assert float((logits[0] - logits[1]).abs().max()) < 0.05 * float(logits[0].std())


def test_everybody_is_admitted_and_who_was_inside_stays(world) -> None:
    w = world["w"]
    editor = LinearEditor.fit(w, torch.arange(800), world["properties"], (world["wanted"],))
    effect, offset = fit_boundary(w, world["wanted"])
    assert (((w @ effect + offset) > 0) == world["wanted"]).float().mean() > 0.95
    admitted = editor.admit(w)
    assert ((admitted @ effect + offset) > 0).all()
    inside = (w @ editor.boundary_effect + editor.boundary_offset > editor.margin).squeeze(1)
    assert 0.1 < inside.float().mean() < 0.9
    torch.testing.assert_close(admitted[inside], w[inside])
    torch.testing.assert_close(editor.properties(admitted), editor.properties(w), atol=0.05, rtol=0.02)
