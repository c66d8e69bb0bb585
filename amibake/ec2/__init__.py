"""Everything that speaks to EC2. Each resource is a context manager beside its own release."""
