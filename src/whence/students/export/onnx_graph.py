"""Building an ONNX model: operators and constants, named as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from whence.core.errors import CapabilityError
from whence.students.export.model_file import digest
from whence.students.families.base import Fitted
from whence.students.features.tokenizer import VERSION

__all__ = ["FORMAT", "OPSET", "Graph", "modules"]

OPSET, FORMAT = 17, 8
"""Of the operators and of the file; runtimes since the end of 2022 read them."""

_USE = (
    "Input 'tokens': the words of one text, in order, as whence.students.features.tokenizer.words splits them "
    "(tokenizer version {version}). Outputs: 'label' and 'probabilities', of the labels in 'labels'."
)


def modules() -> tuple[Any, Any]:
    """ONNX, which writes, and its runtime, which compares.

    Raises:
        CapabilityError: the extra is not installed.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise CapabilityError(
            f"an ONNX model needs {error.name}, which is not installed; "
            "run: pip install 'whence[onnx]'"
        ) from error
    return onnx, onnxruntime


class Graph:
    """Nodes and constants of a model.

    Args:
        onnx: the package, as :func:`modules` gives it.
    """

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """The name of what an operator gives."""
        name = output or f"{operator.lower()}_{len(self._nodes)}"
        made = self._onnx.helper.make_node(operator, list(inputs), [name], name, **attributes)
        self._nodes.append(made)
        return name

    def constant(self, array: np.ndarray) -> str:
        """The name of an array of numbers."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def texts(self, values: Sequence[str]) -> str:
        """The name of a row of texts."""
        name = f"constant_{len(self._constants)}"
        coded = [value.encode() for value in values]
        kind = self._onnx.TensorProto.STRING
        made = self._onnx.helper.make_tensor(name, kind, [len(coded)], coded)
        self._constants.append(made)
        return name

    def double(self, name: str) -> str:
        """The same as 64-bit numbers."""
        return self.add("Cast", name, to=self._onnx.TensorProto.DOUBLE)

    def whole(self, name: str) -> str:
        """The same as 32-bit integers."""
        return self.add("Cast", name, to=self._onnx.TensorProto.INT32)

    def ordered(self, name: str, count: int) -> str:
        """The same, the greatest first."""
        size = self.constant(np.array([count], dtype=np.int64))
        pair = [f"ordered_{len(self._nodes)}", f"places_{len(self._nodes)}"]
        self._nodes.append(self._onnx.helper.make_node("TopK", [name, size], pair, axis=0))
        return pair[0]

    def counts(self, source: str, grams: Sequence[Sequence[str]]) -> str:
        """How often each n-gram is in a row of words, in the order of the n-grams."""
        longest = max(len(gram) for gram in grams)
        pool: list[str] = []
        starts: list[int] = []
        indices: list[int] = []
        for size in range(1, longest + 1):
            starts.append(len(pool))
            for place, gram in enumerate(grams):
                if len(gram) == size:
                    pool.extend(gram)
                    indices.append(place)
        return self.add(
            "TfIdfVectorizer", source, mode="TF", min_gram_length=1, max_gram_length=longest,
            max_skip_count=0, pool_strings=[word.encode() for word in pool], ngram_counts=starts,
            ngram_indexes=indices,
        )  # fmt: skip

    def model(self, student: Fitted) -> Any:
        """The whole model, with what a user of it needs to know."""
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        inputs = [helper.make_tensor_value_info("tokens", kinds.STRING, ["words"])]
        outputs = [
            helper.make_tensor_value_info("label", kinds.STRING, [1]),
            helper.make_tensor_value_info("probabilities", kinds.DOUBLE, [len(student.labels)]),
        ]
        graph = helper.make_graph(self._nodes, "student", inputs, outputs, self._constants)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(
            graph, opset_imports=opset, ir_version=FORMAT, producer_name="whence"
        )
        model.doc_string = _USE.format(version=VERSION)
        notes = {"kind": student.kind, "student_sha256": digest(student.to_json())}
        notes.update({f"label_{place}": label for place, label in enumerate(student.labels)})
        helper.set_model_props(model, notes)
        return model
