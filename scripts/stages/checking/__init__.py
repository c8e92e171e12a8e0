"""What `check_setup.py` looks at: the machine and the workspace. Nothing here writes anything."""
