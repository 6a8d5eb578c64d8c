"""Networks in the SONATA format: `circuit.read_circuit` reads one, `circuit.Circuit` runs it and writes its reports."""
