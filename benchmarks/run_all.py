"""Runs every benchmark and writes the tables of benchmarks/README.md."""

from benchmarks import (
    attention,
    attention_page,
    faithfulness,
    generation,
    integrated_gradients,
    overhead,
    prefix,
    runtime,
    shapley_error,
    student_peers,
    students,
)

if __name__ == "__main__":
    for benchmark in (
        overhead,
        generation,
        prefix,
        integrated_gradients,
        shapley_error,
        attention,
        attention_page,
        faithfulness,
        students,
        runtime,
        student_peers,
    ):
        benchmark.main()
