import amibake

assert callable(amibake.bake)
