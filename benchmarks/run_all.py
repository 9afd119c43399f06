"""Runs every benchmark; the tables go to benchmarks/README.md."""

from benchmarks import generation, integrated_gradients, overhead, shapley_error

if __name__ == "__main__":
    for benchmark in (overhead, generation, integrated_gradients, shapley_error):
        benchmark.main()
