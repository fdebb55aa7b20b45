"""From logits to belief: calibrated probabilities."""
