"""The version, which `meson.build` has as well (a test compares them)."""

__version__ = "0.1.0"
