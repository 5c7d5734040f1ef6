"""What an operando experiment is: cell, protocol, schedule, timeline. Plain values."""
