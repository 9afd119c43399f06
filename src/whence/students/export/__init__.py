"""A student as files: text, SQL, SVG, ONNX, model card, and the runtime that reads them."""
