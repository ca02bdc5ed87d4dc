"""Live audio: microphones, pipes, and where results are sent."""
