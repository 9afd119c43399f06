"""Records: what is kept of a decision, composed of what the other rooms give."""
