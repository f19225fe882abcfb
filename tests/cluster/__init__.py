"""Several processes on one PostgreSQL: what is tried of them, small in `make test` and whole in `make soak`."""
