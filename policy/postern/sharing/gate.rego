package postern.sharing

import rego.v2

# METADATA
# title: Public-protection check
# description: Whether the prison's public-protection check was done and holds nothing back.
gate_open if input.gate == "NO_HOLD"
