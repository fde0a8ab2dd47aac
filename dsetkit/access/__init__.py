"""Who may see what: identities, the signed policy chain, data keys, sealing, signatures, audit."""
