# recipes_check.sh - runs as a service in the Debian that recipes.py boots: gives the services of docs/recipes.md work, and proves that
# the processes that do it run on hakmem. One line for each recipe on standard output; the status is 1 when one failed.
# SPDX-License-Identifier: MIT

# check SERVICE WORK: the work has to succeed, and then every process of the service, but for those named as helpers, to have
# the library.
check() {
    service=$1 failed=
    for try in $(seq 60); do systemctl is-active -q "$service" && break; sleep 1; done
    "$2" > /root/work.log 2>&1 || failed="its work failed: $(tail -3 /root/work.log)"
    group=$(systemctl show -P ControlGroup "$service")
    count=0
    for pid in $(cat "/sys/fs/cgroup/systemd$group/cgroup.procs" 2>/dev/null || cat "/sys/fs/cgroup$group/cgroup.procs"); do
        grep -q libhakmem "/proc/$pid/maps" && count=$((count + 1)) || failed="$(tr '\0' ' ' < "/proc/$pid/cmdline") is not on hakmem"
    done
    [ "$count" -gt 0 ] || failed=${failed:-it has no process}
    journalctl -q -b -u "$service" | grep "hakmem:" && failed="hakmem had something to say"
    echo "$service: ${failed:-$count processes on hakmem}"
    [ -z "$failed" ] || status=1
}

# conf: what /etc/hakmem.conf says is so: who reports when it stops, by which line, and who does not; and whether a program that
# Node starts is on hakmem.
conf() {
    failed=
    on() { printf %s 'require("child_process").execFileSync("grep", ["-c", "libhakmem", "/proc/self/maps"])' |
        env LD_PRELOAD=libhakmem.so.0 "$@" node >/dev/null 2>&1; }
    on HAKMEM_CHILDREN=1 || failed="children of node are not on hakmem without the option"
    ! on HAKMEM_STATS=0 || failed="children of node are on hakmem"
    systemctl stop hello.service redis-server.service node-hello.service
    journalctl -b > /root/journal
    grep -q "statistics of process .*gunicorn" /root/journal || failed="gunicorn does not report"
    ! grep "statistics of process" /root/journal | grep -v "process .*gunicorn" || failed="others report, too"
    grep -q "limit = 80%: /etc/hakmem.conf, line 2, for all programs" /root/journal || failed="gunicorn has no limit"
    grep -q "limit = 1G: /etc/hakmem.conf, line 10, \[redis-server\]" /root/journal || failed="redis has no limit of its own"
    echo "/etc/hakmem.conf: ${failed:-as it says}"
    [ -z "$failed" ] || status=1
}

retry() { for try in $(seq 8); do "$@" && return; sleep 1; done; return 1; }

work_hello() {
    retry curl -sf --max-time 10 --unix-socket /run/hello/socket http://localhost/ -o /dev/null &&
    for i in $(seq 50); do curl -sf --max-time 10 --unix-socket /run/hello/socket http://localhost/ | grep -q hello || return 1; done
}
work_node() {
    retry curl -sf --max-time 10 --unix-socket /run/node-hello/socket http://localhost/ -o /dev/null &&
    for i in $(seq 50); do curl -sf --max-time 10 --unix-socket /run/node-hello/socket http://localhost/ | grep -aq hello || return 1; done
}
work_redis() { redis-benchmark -q -n 20000 -d 100 -r 10000 -t set,get,lpush && redis-cli save | grep -q OK; }
work_php() {
    echo '<?php echo strlen(implode(range(1, 200000)));' > /srv/page.php
    SCRIPT_FILENAME=/srv/page.php REQUEST_METHOD=GET cgi-fcgi -bind -connect /run/php/php8.2-fpm.sock | grep -q 1088895
}
work_postgresql() {
    retry runuser -u postgres -- pgbench -q -i -s 1 && runuser -u postgres -- pgbench -c 4 -t 200
}

status=0
check hello.service work_hello
check redis-server.service work_redis
check php8.2-fpm.service work_php
check postgresql@15-main.service work_postgresql
check node-hello.service work_node
conf
exit $status
