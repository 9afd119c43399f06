"""Parts of written forms, SQL and ONNX, that families put themselves together from."""
