"""The net and how it grows. The only package that imports torch."""
