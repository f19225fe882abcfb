"""The guarantees, each tried by a scenario: small in `make test`, at full size in `make soak`."""
