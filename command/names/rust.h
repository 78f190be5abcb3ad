/* rust.h - names that Rust has mangled by its scheme "v0" (RFC 2603), which no library that is packaged reads.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_RUST_H
#define HAKMEM_TOOLS_RUST_H

/* The name as the source has it, without hashes of crates, allocated; NULL when it is none, or too long. */
char *rust_demangle(const char *linkage);

#endif
