"""The benchmarks behind `scripts/bench`: figures beside a peer, measured in the same run."""
