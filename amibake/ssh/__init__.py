"""Everything that speaks SSH, and the only place besides testing that imports paramiko."""
