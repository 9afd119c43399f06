"""Attention of one input: records, effects of heads, logit lens and activation patching."""
