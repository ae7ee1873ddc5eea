"""A prompt after the two imports that any such shell needs."""

import duckdb  # noqa: F401
import prompt_toolkit  # noqa: F401

print("bare>", flush=True)
input()
