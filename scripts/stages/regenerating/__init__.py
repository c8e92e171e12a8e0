"""Stage 08: new pictures of people and of photographs."""
