"""The books: what each call cost, written down before its reply ends and shipped to the ledger."""
