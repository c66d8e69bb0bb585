"""How fast amibake is, beside Packer, OpenSSH and rsync: `make bench`."""
