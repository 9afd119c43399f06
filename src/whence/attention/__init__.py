"""Attention: capture records, rollout, flow, norms, value zeroing and the effect of heads."""
