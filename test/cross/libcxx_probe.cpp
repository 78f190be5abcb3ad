/* libcxx_probe.cpp - compiles where libc++ is installed.
 * SPDX-License-Identifier: MIT */
#include <new>
int main() { return *new int(0); }
