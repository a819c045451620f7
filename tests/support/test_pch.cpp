// Nothing: the target that builds test_pch.h needs a source.
