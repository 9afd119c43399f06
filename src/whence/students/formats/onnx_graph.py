"""Building an ONNX model: operators and constants, named as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whence.core.errors import CapabilityError
from whence.students.features.tokenizer import VERSION
from whence.students.formats.sql_query import Question

__all__ = ["FORMAT", "OPSET", "Condition", "Graph", "modules"]

Condition = Sequence[tuple[int, bool]]
"""Columns that a text must have (``True``) or lack (``False``)."""

OPSET, FORMAT = 17, 8
"""Versions of the operators and of the file; runtimes since the end of 2022 read them."""

# The file is used where whence is not: what its input must be travels with it.
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
        onnx: package as :func:`modules` gives it.
        features: number of features; the vector of their presence is one wide where there is none.
    """

    def __init__(self, onnx: Any, features: int) -> None:
        self._onnx = onnx
        self.width = max(features, 1)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """The name of what an operator gives."""
        # Numbered as they come, not drawn: the same student gives the same bytes.
        name = output or f"{operator.lower()}_{len(self._nodes)}"
        node = self._onnx.helper.make_node(operator, list(inputs), [name], name, **attributes)
        self._nodes.append(node)
        return name

    def constant(self, array: np.ndarray) -> str:
        """The name of an array of numbers."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def texts(self, values: Sequence[str]) -> str:
        """The name of a row of texts."""
        name = f"constant_{len(self._constants)}"
        encoded = [value.encode() for value in values]
        kind = self._onnx.TensorProto.STRING
        tensor = self._onnx.helper.make_tensor(name, kind, [len(encoded)], encoded)
        self._constants.append(tensor)
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
        # By hand, as the operator gives two outputs and add() names one.
        pair = [f"ordered_{len(self._nodes)}", f"places_{len(self._nodes)}"]
        self._nodes.append(self._onnx.helper.make_node("TopK", [name, size], pair, axis=0))
        return pair[0]

    def counts(self, source: str, grams: Sequence[Sequence[str]]) -> str:
        """How often each n-gram is in a row of words, in the order of the n-grams."""
        # The operator takes all n-grams in one pool, those of one length in a row, with the place
        # where each length starts; the indices say which output each n-gram counts in.
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

    def softmax(self, terms: str, weights: np.ndarray, start: np.ndarray) -> str:
        """Softmax of weighted terms on top of a start."""
        # Of no term there is still a vector, of a single 0.
        rows = weights if len(weights) else np.zeros((1, len(start)))
        sums = self.add("MatMul", terms, self.constant(rows))
        return self.add("Softmax", self.add("Add", sums, self.constant(start)), axis=0)

    def first_that_holds(
        self, presence: str, conditions: Sequence[Condition], answers: np.ndarray
    ) -> str:
        """The answer of the first condition that is true; one of them always is."""
        # ArgMax gives the first of equals, and so the first condition that holds; it takes no truth
        # values, hence the integers.
        true = self.whole(self.holds(presence, conditions))
        first = self.add("ArgMax", true, axis=0, keepdims=0)
        return self.add("Gather", self.constant(answers), first)

    @staticmethod
    def leaves(nodes: Sequence[Question]) -> list[tuple[int, list[tuple[int, bool]]]]:
        """Each leaf of a tree with the answers that lead to it."""
        leaves: list[tuple[int, list[tuple[int, bool]]]] = []
        queue: list[tuple[int, list[tuple[int, bool]]]] = [(0, [])]
        while queue:
            place, path = queue.pop()
            node = nodes[place]
            if node.column is None:
                leaves.append((place, path))
            else:
                queue.append((node.absent, [*path, (node.column, False)]))
                queue.append((node.there, [*path, (node.column, True)]))
        return leaves

    def onto_simplex(self, sums: str, labels: int) -> str:
        """The nearest probabilities: ``max(s - c, 0)``, as in ``tree_sum.onto_simplex``."""
        # Step by step that of tree_sum, in 64 bits as there: sums that tie must tie here too.
        ordered = self.ordered(sums, labels)
        running = self.add("CumSum", ordered, self.constant(np.array(0, dtype=np.int64)))
        over = self.add("Sub", running, self.constant(np.ones(1)))
        over = self.add("Div", over, self.constant(np.arange(1.0, labels + 1)))
        above = self.whole(self.add("Greater", ordered, over))
        count = self.add("ReduceSum", above, keepdims=0)
        place = self.add("Sub", count, self.constant(np.array(1, dtype=np.int32)))
        less = self.add("Sub", sums, self.add("Gather", over, place))
        return self.add("Max", less, self.constant(np.zeros(1)))

    def holds(self, presence: str, conditions: Sequence[Condition]) -> str:
        """Whether each condition is true of the text."""
        # +1 for a feature that must be there, -1 for one that must not: the sum is the number asked
        # for only if all of the first are there and none of the second. Whole numbers, so Equal is
        # exact.
        required = np.zeros((self.width, len(conditions)))
        for place, literals in enumerate(conditions):
            for column, there in literals:
                required[column, place] += 1.0 if there else -1.0
        needed = np.array([float(sum(there for _, there in c)) for c in conditions])
        reached = self.add("MatMul", presence, self.constant(required))
        return self.add("Equal", reached, self.constant(needed))

    def model(self, labels: int, notes: Mapping[str, str]) -> Any:
        """The whole model, with what a user of it needs to know.

        Args:
            labels: number of labels.
            notes: metadata of the file.
        """
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        # A name in place of a size: a text has any number of words.
        inputs = [helper.make_tensor_value_info("tokens", kinds.STRING, ["words"])]
        outputs = [
            helper.make_tensor_value_info("label", kinds.STRING, [1]),
            helper.make_tensor_value_info("probabilities", kinds.DOUBLE, [labels]),
        ]
        graph = helper.make_graph(self._nodes, "student", inputs, outputs, self._constants)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(
            graph, opset_imports=opset, ir_version=FORMAT, producer_name="whence"
        )
        model.doc_string = _USE.format(version=VERSION)
        helper.set_model_props(model, dict(notes))
        return model
