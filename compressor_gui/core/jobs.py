"""What the engine can be asked and what it answers: frozen dataclasses <-> JSON lines, and the client."""
