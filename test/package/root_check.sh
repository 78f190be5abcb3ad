# root_check.sh - runs in the clean root of root_test.py: installs the packages that lie in /tmp, uses them, takes them off.
# SPDX-License-Identifier: MIT

# fail TEXT: ends the check.
fail() { echo "root_check: $*" >&2; exit 1; }

# Every file and directory, but for those of apt and dpkg about themselves, and of the kernel.
files() { find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run -o -path /var/cache \
    -o -path /var/log -o -path /var/lib/apt -o -path /var/lib/dpkg \) -prune -o -print | sort; }

install() { DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$@" </dev/null; }

# served COMMAND...: its malloc is hakmem's, for it prints the statistics.
served() { HAKMEM_STATS=1 HAKMEM_STATS_CHILDREN=1 "$@" 2>&1 | grep -q "^hakmem .*statistics" || fail "not on hakmem: $*"; }

cd /tmp
files > before

install ./libhakmem0_*.deb
# By its name alone: the loader's cache knows it.
served env LD_PRELOAD=libhakmem.so.0 true

install ./hakmem_*.deb
! command -v python3 || fail "python3 was installed with the command"
hakmem --version
hakmem run true
served hakmem run true
hakmem compare -- true && fail "hakmem compare ran without Python"
test -s /usr/share/man/man1/hakmem.1.gz || fail "no manual page of the command"
test -s /usr/share/man/man5/hakmem.conf.5.gz || fail "no manual page of the configuration file"

install ./libhakmem-dev_*.deb
cat > program.c <<'END'
#include <hakmem.h>
#include <stdio.h>
int main(void)
{
    void *block = hak_malloc(100);
    printf("%s %zu\n", hak_version(), hak_usable_size(block));
    hak_free(block);
    return 0;
}
END
cc program.c -o shared $(pkg-config --cflags --libs hakmem)
served ./shared
cc -static program.c -o static $(pkg-config --cflags --libs hakmem)
served ./static
cc -std=gnu17 -O2 -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-builtin -fno-strict-aliasing -fexceptions \
    program.c /usr/src/hakmem/hakmem.c -o single
served ./single
test "$(./shared)" = "$(./static)" || fail "shared and static differ"
hakmem --version | grep -qF "$(./shared | cut -d' ' -f1)" || fail "the command and the library have different versions"
test -s /usr/share/man/man3/hakmem.3.gz || fail "no manual page of the functions"

DEBIAN_FRONTEND=noninteractive apt-get -qq purge --auto-remove libhakmem0 hakmem libhakmem-dev </dev/null
ldconfig -p | grep hakmem && fail "the loader's cache still knows the library"
files > after
diff before after || fail "files were left behind, or are gone, after the packages were removed"
echo "root_check: all done"
