"""A copy of libnccl.so.2 that keeps the device code of one GPU architecture: its wheel weighs 300 MB because it has all.

The code of the others is overwritten with zeros, so that offsets stay and it packs to nothing. CUDA's "fat binaries", as found in
libraries of CUDA 12 and 13: containers with a header of 16 bytes (magic 0xBA55ED50, version, header size, size of what follows)
that hold entries (kind, version, header size, payload size; the architecture at byte 28).
"""
import re
import struct
import subprocess

MAGIC = 0xBA55ED50


class SlimError(Exception):
    pass


def containers(image, offset, size):
    """(first, last) byte of what each container in the section holds; containers are padded to 8 bytes."""
    position, end = offset, offset + size
    while position + 16 <= end:
        magic, _, header, held = struct.unpack_from("<IHHQ", image, position)
        if magic != MAGIC:
            position += 8
            continue
        yield position + header, min(position + header + held, end)
        position += (header + held + 7) // 8 * 8


def wipe(image, offset, size, keep):
    """Overwrites the payloads of all architectures but `keep` (None: of all); returns the bytes kept and wiped."""
    kept = wiped = 0
    for entry, end in containers(image, offset, size):
        while entry + 32 <= end:
            _, _, header, payload = struct.unpack_from("<HHIQ", image, entry)
            (arch,) = struct.unpack_from("<I", image, entry + 28)
            if header < 32 or entry + header + payload > end:
                raise SlimError(f"an entry at byte {entry} that reaches beyond its container")
            if arch == keep:
                kept += payload
            else:
                image[entry + header:entry + header + payload] = bytes(payload)
                wiped += payload
            entry += header + payload
    return kept, wiped


def sections(path):
    listing = subprocess.run(["readelf", "-SW", path], check=True, capture_output=True, text=True).stdout
    for name, offset, size in re.findall(r"\]\s+(\.nv_fatbin|__nv_relfatbin)\s+\S+\s+\S+\s+(\S+)\s+(\S+)", listing):
        yield name, int(offset, 16), int(size, 16)


def slim(source, target, arch):
    with open(source, "rb") as file:
        image = bytearray(file.read())
    kept = 0
    for name, offset, size in sections(source):
        # Relocatable code is for linking at build time only.
        kept += wipe(image, offset, size, None if name == "__nv_relfatbin" else arch)[0]
    if kept == 0:
        raise SlimError(f"{source} has no device code for sm_{arch}")
    with open(target, "wb") as file:
        file.write(image)
