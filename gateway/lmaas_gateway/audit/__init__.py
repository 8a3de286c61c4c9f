"""The audit trail: what administrators did, in a chain of rows that shows every change made to it later."""
