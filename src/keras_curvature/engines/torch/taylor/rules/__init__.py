"""The rules of ATen's operations: a table, and what its rows are made of."""
