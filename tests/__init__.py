"""Tests: `test_<module>.py` for each module of the application, `browser/` for what people do."""
