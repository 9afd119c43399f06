"""How the embedded models are trained and measured; run by ``examples/train_models.py``."""
