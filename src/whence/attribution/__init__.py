"""Attribution: one method a file, a folder a family.

A new method is one file and one line in ``METHODS``; the command line, the catalogue and the
conformance battery follow from its class, fields and docstring.
"""

from whence.attribution.baseline.random import Random
from whence.attribution.choosing import METHODS, method_by_name
from whence.attribution.gradient.input_x_gradient import InputXGradient
from whence.attribution.gradient.integrated_gradients import IntegratedGradients
from whence.attribution.method import Estimate, GameMethod, GradientMethod, Method
from whence.attribution.perturbation.kernel_shap import KernelShap
from whence.attribution.perturbation.leave_one_out import LeaveOneOut
from whence.attribution.perturbation.lime import Lime
from whence.attribution.perturbation.shapley_values import ShapleyValues

__all__ = [
    "METHODS",
    "Estimate",
    "GameMethod",
    "GradientMethod",
    "InputXGradient",
    "IntegratedGradients",
    "KernelShap",
    "LeaveOneOut",
    "Lime",
    "Method",
    "Random",
    "ShapleyValues",
    "method_by_name",
]
