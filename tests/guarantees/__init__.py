"""The guarantees, each with what tries to break it.

The tests are the quick half, and belong to `make test`. The functions beside them take a size, so that `make soak` can
run the long half with the same code.
"""
