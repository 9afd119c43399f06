"""The five stages of a distillation: plan, training, fitting, certification, report."""
