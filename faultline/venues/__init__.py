"""The remote API: its contract, its order engine and ledger, and the adapters that put it on a wire."""
