"""What the scripts 30 to 33 do."""
