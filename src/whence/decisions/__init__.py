"""What would change a decision, and what fixes it: edits, subsets, anchors."""
