"""Many runs: as values, carried out here or on a cluster, and kept as rows of counts."""
