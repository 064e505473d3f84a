"""The local cloud: real components on this machine for the demo, the tests and the benchmarks."""
