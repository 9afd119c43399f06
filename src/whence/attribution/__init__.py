"""Attribution: one method a file, a folder a family.

A new method is one file; ``whence.NAME``, the command line, the reference pages and the conformance
battery follow from its class, fields and docstring.
"""

from whence.attribution.attention.alti import Alti
from whence.attribution.attention.attention_flow import AttentionFlow
from whence.attribution.attention.attention_knockout import AttentionKnockout
from whence.attribution.attention.gradient_weighted_attention import GradientWeightedAttention
from whence.attribution.attention.norm_based import NormBased
from whence.attribution.attention.rollout import Rollout
from whence.attribution.attention.value_zeroing import ValueZeroing
from whence.attribution.baseline.random import Random
from whence.attribution.gradient.gradient_shap import GradientShap
from whence.attribution.gradient.input_x_gradient import InputXGradient
from whence.attribution.gradient.integrated_gradients import IntegratedGradients
from whence.attribution.gradient.saliency import Saliency
from whence.attribution.gradient.sequential_integrated_gradients import (
    SequentialIntegratedGradients,
)
from whence.attribution.gradient.smooth_grad import SmoothGrad
from whence.attribution.gradient.var_grad import VarGrad
from whence.attribution.method import AttentionMethod, Estimate, GameMethod, GradientMethod, Method
from whence.attribution.perturbation.banzhaf_values import BanzhafValues
from whence.attribution.perturbation.kernel_shap import KernelShap
from whence.attribution.perturbation.leave_one_out import LeaveOneOut
from whence.attribution.perturbation.lime import Lime
from whence.attribution.perturbation.linear_datamodel import LinearDatamodel
from whence.attribution.perturbation.partition_shap import PartitionShap
from whence.attribution.perturbation.permutation_shap import PermutationShap
from whence.attribution.perturbation.shapley_values import ShapleyValues
from whence.attribution.perturbation.sobol import Sobol
from whence.attribution.registry import METHODS, method_by_name

__all__ = [
    "METHODS",
    "Alti",
    "AttentionFlow",
    "AttentionKnockout",
    "AttentionMethod",
    "BanzhafValues",
    "Estimate",
    "GameMethod",
    "GradientMethod",
    "GradientShap",
    "GradientWeightedAttention",
    "InputXGradient",
    "IntegratedGradients",
    "KernelShap",
    "LeaveOneOut",
    "Lime",
    "LinearDatamodel",
    "Method",
    "NormBased",
    "PartitionShap",
    "PermutationShap",
    "Random",
    "Rollout",
    "Saliency",
    "SequentialIntegratedGradients",
    "ShapleyValues",
    "SmoothGrad",
    "Sobol",
    "ValueZeroing",
    "VarGrad",
    "method_by_name",
]
