"""What an ELF file says of itself: for which machine it is, who loads it, what it needs, which functions it defines. A
file that is damaged says less, and never more than a sentence about that.
SPDX-License-Identifier: MIT"""
import os
import struct
from typing import NamedTuple

MAGIC = b"\x7fELF"
LOAD, DYNAMIC, INTERPRETER = 1, 2, 3
NEEDED, STRINGS, SONAME = 1, 5, 14
DYNAMIC_SYMBOLS = 11  # a kind of section
# Of e_machine; others keep their number.
MACHINES = {3: "i386", 8: "mips", 20: "powerpc", 21: "powerpc64", 22: "s390x", 40: "arm", 62: "x86-64",
            183: "aarch64", 243: "riscv", 258: "loongarch"}
# What is larger in a file is not believed.
MOST_BYTES, MOST_ENTRIES = 1 << 28, 1 << 16
# What reading a damaged file can come to.
DAMAGE = (struct.error, IndexError, OverflowError, ValueError)


class Malformed(Exception):
    """The message ends a sentence about the file."""


class Elf(NamedTuple):
    """defines, uses: the names in its dynamic symbols."""
    bits: int
    machine: str
    interpreter: str | None
    needed: list
    soname: str | None
    defines: frozenset
    uses: frozenset
    sections: frozenset

    def is_loader(self):
        """ld.so itself, which is linked statically and loads what its arguments say."""
        return (self.soname or "").startswith("ld-") or (self.soname or "").startswith("ld64")


def read(path):
    """None when it is another kind of file; raises OSError and Malformed."""
    with open(path, "rb") as file:
        head = file.read(20)
        if head[:4] != MAGIC:
            return None
        try:
            return Reader(file, head).elf()
        except DAMAGE as fault:
            raise Malformed("is not a whole ELF file") from fault


class Reader:
    """`layouts` are those of the file's class and byte order: of headers only the fields that are used here."""

    def __init__(self, file, head):
        self.file, self.size = file, os.fstat(file.fileno()).st_size
        self.bits = {1: 32, 2: 64}.get(head[4])
        self.order = {1: "<", 2: ">"}.get(head[5])
        if not self.bits or not self.order:
            raise Malformed("is not a whole ELF file")
        self.is_wide = self.bits == 64
        number, = struct.unpack(self.order + "H", head[18:20])
        self.machine = MACHINES.get(number, f"machine {number}")

    def bytes_at(self, offset, size):
        if not 0 <= size <= MOST_BYTES or not 0 <= offset <= self.size - size:
            raise Malformed("is not a whole ELF file")
        return os.pread(self.file.fileno(), size, offset)

    def entries(self, narrow, wide, offset, count, size=None):
        """`count` structures, each as a tuple."""
        layout = struct.Struct(self.order + (wide if self.is_wide else narrow))
        if count > MOST_ENTRIES or (size is not None and size < layout.size):
            raise Malformed("is not a whole ELF file")
        step = size or layout.size
        data = self.bytes_at(offset, count * step)
        return [layout.unpack_from(data, place * step) for place in range(count)]

    def elf(self):
        (program_offset, section_offset, _, _, program_size, programs, section_size, sections,
         names_section), = self.entries("28xIIIHHHHHH", "32xQQIHHHHHH", 0, 1)
        segments = [self.segment(entry) for entry in self.entries("8I", "IIQQQQQQ", program_offset, programs,
                                                                  program_size)] if programs else []
        interpreter = next((text_of(self.bytes_at(offset, size)) for kind, offset, _, size in segments
                            if kind == INTERPRETER), None)
        needed, soname = self.dynamic(segments)
        try:
            headers = self.sections(section_offset, sections, section_size)
            strings = self.strings(headers, names_section)
            names = frozenset(text_of(strings[header[0]:header[0] + 256]) for header in headers)
            defines, uses = self.symbols(headers)
        except (Malformed, *DAMAGE):
            # Programs run without all this.
            names = defines = uses = frozenset()
        return Elf(self.bits, self.machine, interpreter, needed, soname, defines, uses, names)

    def segment(self, entry):
        """(kind, offset, address, size)"""
        return (entry[0], entry[2], entry[3], entry[5]) if self.is_wide else (entry[0], entry[1], entry[2], entry[4])

    def dynamic(self, segments):
        """The libraries it needs and its own name as one."""
        found = next(((offset, size) for kind, offset, _, size in segments if kind == DYNAMIC), None)
        if not found:
            return [], None
        width = 16 if self.is_wide else 8
        tags = self.entries("II", "QQ", found[0], min(found[1] // width, MOST_ENTRIES))
        address = next((value for tag, value in tags if tag == STRINGS), None)
        place = next((offset + address - start for kind, offset, start, size in segments
                      if kind == LOAD and address is not None and start <= address < start + size), None)
        if place is None:
            return [], None

        def name(at):
            return text_of(self.bytes_at(place + at, min(4096, self.size - place - at)))

        return ([name(value) for tag, value in tags if tag == NEEDED],
                next((name(value) for tag, value in tags if tag == SONAME), None))

    def sections(self, offset, count, size):
        """(name, kind, offset, size, link) of each; none where they were stripped off."""
        if not offset or not count or offset + count * size > self.size:
            return []
        return self.entries("II8xIII12x", "II16xQQI20x", offset, count, size)

    def strings(self, headers, number):
        return self.bytes_at(headers[number][2], headers[number][3]) if number < len(headers) else b""

    def symbols(self, headers):
        """The names defined, and those used."""
        header = next((header for header in headers if header[1] == DYNAMIC_SYMBOLS), None)
        if not header:
            return frozenset(), frozenset()
        strings = self.strings(headers, header[4])
        layout = struct.Struct(self.order + ("I10xH" if not self.is_wide else "I2xH16x"))
        data = self.bytes_at(header[2], header[3])
        pairs = list(layout.iter_unpack(data[:len(data) // layout.size * layout.size]))
        return (frozenset(text_of(strings[name:name + 256]) for name, section in pairs if name and section),
                frozenset(text_of(strings[name:name + 256]) for name, section in pairs if name and not section))


def text_of(data):
    return os.fsdecode(data[:data.index(0)] if 0 in data else data)
