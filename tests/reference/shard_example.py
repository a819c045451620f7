"""The worked example of data_prep/FORMAT.md by numpy and xxhash alone: prints its checksums and fingerprints.

The numbers stand in FORMAT.md and in tests/unit/data/shard_writer_test.cpp. With a file name, checks that file (a shard of
ours) against the example instead. Needs: pip install h5py numpy xxhash
"""
import sys

import h5py
import numpy
import xxhash

VOCABULARY, TEXT = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
TOKENS = numpy.array([2, 7, 4, 2, 9, 2, 7, 7, 11, 3], dtype="<u2")
STARTS = numpy.array([0, 3, 5], dtype="<u8")
LABELS = numpy.array([1, 0, 1], dtype="<i4")
BLOCK = 1 << 20

checksums = numpy.array(
    [xxhash.xxh3_64_intdigest(TOKENS[at : at + BLOCK].tobytes()) for at in range(0, len(TOKENS), BLOCK)], dtype="<u8")
index = xxhash.xxh3_128_hexdigest(STARTS.tobytes() + checksums.tobytes() + LABELS.tobytes())
identity = xxhash.xxh3_128_hexdigest(f"{len(TOKENS)} {len(STARTS)} {VOCABULARY} {TEXT} {index}\n".encode())
print("block_checksums  ", [f"0x{checksum:016x}" for checksum in checksums])
print("index_fingerprint", index)
print("set fingerprint  ", identity)

if len(sys.argv) > 1:
    with h5py.File(sys.argv[1]) as shard:
        assert sorted(shard) == ["block_checksums", "document_starts", "labels", "tokens"], sorted(shard)
        for name, expected in [("tokens", TOKENS), ("document_starts", STARTS), ("labels", LABELS), ("block_checksums", checksums)]:
            assert shard[name].dtype == expected.dtype and (shard[name][:] == expected).all(), name
        expected = {"format": b"ulmfit-shard", "version": 1, "token_count": 10, "document_count": 3, "vocabulary_size": 12,
                    "vocabulary_fingerprint": VOCABULARY.encode(), "text_fingerprint": TEXT.encode(),
                    "checksum_block_tokens": BLOCK, "index_fingerprint": index.encode()}
        assert dict(shard.attrs) == expected, dict(shard.attrs)
    print(sys.argv[1], "is the example")
