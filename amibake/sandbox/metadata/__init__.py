"""The instance metadata service of a local EC2, at http://169.254.169.254 from inside its instances."""
