"""Students: readable models distilled from a teacher, with certified fidelity."""
