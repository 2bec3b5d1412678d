"""From the mirror to Blueshift and back: claiming what is due, sending it, settling what became of it."""
