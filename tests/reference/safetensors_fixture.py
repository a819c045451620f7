#!/usr/bin/env python3
"""Prints, as hexadecimal, the file that safetensors_test.cpp holds as kPythonFile. Needs: pip install safetensors numpy.

Made with safetensors 0.8.0. Run: python3 tests/reference/safetensors_fixture.py
"""
import numpy
from safetensors.numpy import save

print(save({
    "weight": numpy.array([[1.5, -2.0, 3.25], [0.0, 1e-3, -1e30]], dtype=numpy.float32),
    "ids": numpy.array([7, -9], dtype=numpy.int64),
    "flags": numpy.array([True, False, True]),
    "empty": numpy.zeros((0, 4), dtype=numpy.float16),
    "scalar": numpy.array(0.1, dtype=numpy.float64),
}, metadata={"format": "pt"}).hex())
