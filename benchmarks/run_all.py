"""Runs every benchmark and writes the tables of benchmarks/README.md."""

from benchmarks import (
    attention,
    attention_page,
    before_and_after,
    context_attribution,
    coverage,
    faithfulness,
    generation,
    integrated_gradients,
    long_texts,
    overhead,
    prefix,
    runtime,
    shapley_error,
    student_peers,
    students,
    table_intervals,
)

if __name__ == "__main__":
    for benchmark in (
        overhead,
        generation,
        prefix,
        integrated_gradients,
        shapley_error,
        coverage,
        context_attribution,
        long_texts,
        before_and_after,
        attention,
        attention_page,
        faithfulness,
        students,
        table_intervals,
        runtime,
        student_peers,
    ):
        benchmark.main()
