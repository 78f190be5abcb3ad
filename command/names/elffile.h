/* elffile.h - the little that is read of ELF files without a library: where their bytes are loaded, and their build
 * ids. Whatever a file says is checked; of what makes no sense nothing is returned.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_ELFFILE_H
#define HAKMEM_TOOLS_ELFFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Hexadecimal digits of 20 bytes, or somewhat more, and a NUL; as in record_module. */
enum { BUILD_ID_SIZE = 48 };

/* Opens a file to read; -1 when it is none with contents. Whoever wrote the path may mean harm: what opening or reading
 * would wait for, or set going, is not opened (devices, FIFOs, most of /proc). */
int elf_open(const char *path);

/* The address that the file's own tables give to the byte at `offset` of it; false when none is loaded from there. */
bool elf_link_address(int fd, uint64_t offset, uint64_t *address);

/* The address of the byte `distance` bytes behind the beginning of the first mapping with code. */
bool elf_code_address(int fd, uint64_t distance, uint64_t *address);

/* The build id, in hexadecimal; empty when there is none. */
void elf_build_id(int fd, char id[static BUILD_ID_SIZE]);

#endif
