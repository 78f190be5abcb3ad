/* elffile.c - see elffile.h. Of 64 bits and this machine's byte order only.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "names/elffile.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More is not looked at: real files have a dozen segments, and notes of some hundred bytes. */
enum { SEGMENTS = 64, NOTES_SIZE = 4096 };

/* O_PATH finds the file without opening it, and what is opened then is that one, whatever the path leads to by now. */
int elf_open(const char *path)
{
    char found[32];
    struct stat info;
    int place = open(path, O_PATH | O_CLOEXEC), fd = -1;
    if (place < 0)
        return -1;
    snprintf(found, sizeof found, "/proc/self/fd/%d", place);
    if (fstat(place, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0)
        fd = open(found, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    close(place);
    return fd;
}

struct image {
    int fd;
    unsigned count;
    Elf64_Phdr segment[SEGMENTS];
};

static bool read_at(const struct image *image, void *data, size_t size, uint64_t offset)
{
    return offset <= INT64_MAX && pread(image->fd, data, size, (off_t)offset) == (ssize_t)size;
}

/* Reads the program headers; false when it is no ELF file of this kind. */
static bool image_read(struct image *image)
{
    Elf64_Ehdr header;
    if (!read_at(image, &header, sizeof header, 0) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof image->segment[0])
        return false;
    image->count = header.e_phnum < SEGMENTS ? header.e_phnum : SEGMENTS;
    return read_at(image, image->segment, image->count * sizeof image->segment[0], header.e_phoff);
}

bool elf_link_address(int fd, uint64_t offset, uint64_t *address)
{
    struct image image = {.fd = fd};
    if (!image_read(&image))
        return false;
    for (unsigned i = 0; i < image.count; i++) {
        const Elf64_Phdr *segment = &image.segment[i];
        if (segment->p_type != PT_LOAD || offset < segment->p_offset || offset - segment->p_offset >= segment->p_filesz)
            continue;
        *address = offset - segment->p_offset + segment->p_vaddr;
        return true;
    }
    return false;
}

bool elf_code_address(int fd, uint64_t distance, uint64_t *address)
{
    struct image image = {.fd = fd};
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (!image_read(&image))
        return false;
    for (unsigned i = 0; i < image.count; i++) {
        const Elf64_Phdr *segment = &image.segment[i];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
            continue;
        *address = segment->p_vaddr / page * page + distance;
        return *address - segment->p_vaddr < segment->p_memsz;
    }
    return false;
}

static void hexadecimal(char id[static BUILD_ID_SIZE], const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count && 2 * i + 2 < BUILD_ID_SIZE; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

/* Looks for the build id among notes; their names and contents are padded to `align` bytes. */
static void notes_search(const unsigned char *notes, size_t size, size_t align, char id[static BUILD_ID_SIZE])
{
    for (size_t at = 0; size - at >= sizeof(Elf64_Nhdr);) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof note);
        size_t name = at + sizeof note;
        if (note.n_namesz > size || note.n_descsz > size)
            return;
        size_t contents = name + (note.n_namesz + align - 1) / align * align;
        size_t end = contents + (note.n_descsz + align - 1) / align * align;
        if (contents + note.n_descsz > size)
            return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof "GNU" && memcmp(notes + name, "GNU", 4) == 0)
            return hexadecimal(id, notes + contents, note.n_descsz);
        if (end > size)
            return;
        at = end;
    }
}

void elf_build_id(int fd, char id[static BUILD_ID_SIZE])
{
    struct image image = {.fd = fd};
    unsigned char notes[NOTES_SIZE];
    id[0] = '\0';
    if (!image_read(&image))
        return;
    for (unsigned i = 0; i < image.count && id[0] == '\0'; i++) {
        const Elf64_Phdr *segment = &image.segment[i];
        size_t size = segment->p_filesz < sizeof notes ? (size_t)segment->p_filesz : sizeof notes;
        if (segment->p_type == PT_NOTE && read_at(&image, notes, size, segment->p_offset))
            notes_search(notes, size, segment->p_align == 8 ? 8 : 4, id);
    }
}
