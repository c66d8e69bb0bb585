import amibake  # noqa: F401
