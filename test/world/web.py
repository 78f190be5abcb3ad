"""PHP in its three ways of running, and servers of web pages. They listen on sockets in the run's folder or on the
loopback, and are loaded, told to read their configuration anew while under load, left idle and stopped.
SPDX-License-Identifier: MIT"""
import signal
import threading

from catalog import program
from load import get, load
from run import find
from trial import need


@program("php-cli", "php*", "php --version", quick=True)
def php_cli(run):
    run.run([need("php", "php-cli"), "-m"])
    run.run(["php", run.take("work.php"), "20"])
    run.run(["php", "-d", "opcache.enable_cli=1", "-d", "opcache.jit=tracing", "-d", "opcache.jit_buffer_size=32M",
             "work.php", "20"])


NGINX_PATHS = ["/small.txt", "/large.bin", "/page.html"]


def site(run):
    run.folder_make("www")
    run.put("www/small.txt", "small\n")
    run.put("www/large.bin", bytes(range(256)) * 2000)
    run.put("www/page.html", "<p>Lorem ipsum</p>\n" * 3000)


def php_site(run):
    site(run)
    run.take("work.php")
    run.put("www/page.php", "<?php $argv = ['', $_GET['n']]; require '../work.php';")


def nginx_start(run, locations):
    run.folder_make("nginx")
    run.take("nginx.conf", LOCATIONS=locations)
    return run.start([need("nginx", "nginx"), "-p", run.path(""), "-c", "nginx.conf", "-e", "nginx.err"])


def reload_under_load(run, server, address, paths, count, retries):
    """SIGHUP comes again and again while the load is on, and no answer may suffer."""
    over = threading.Event()

    def tell():
        while not over.wait(1):
            server.process.send_signal(signal.SIGHUP)

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        load(run, address, paths, count, retries)
    finally:
        over.set()
        teller.join()


@program("nginx", "nginx", "nginx -v")
def nginx(run):
    site(run)
    server = nginx_start(run, "")
    run.wait_for("nginx", lambda: get("nginx.sock", "/small.txt")[0] == 200, server)
    load(run, "nginx.sock", NGINX_PATHS, 1000)
    reload_under_load(run, server, "nginx.sock", NGINX_PATHS, 1000, retries=5)
    run.idle()
    server.stop(signal.SIGQUIT)


@program("php-fpm", ("php-fpm*", "nginx"), "php --version", quick=True)
def php_fpm(run):
    php_site(run)
    run.take("php-fpm.conf", FOLDER=run.folder)
    fpm = run.start([find("/usr/sbin/php-fpm*"), "-y", run.path("php-fpm.conf"), "--nodaemonize"])
    server = nginx_start(run, f"location ~ \\.php$ {{ fastcgi_pass unix:{run.path('php-fpm.sock')}; "
                              "include /etc/nginx/fastcgi_params; "
                              "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; }")
    run.wait_for("php-fpm", lambda: get("nginx.sock", "/page.php?n=1")[0] == 200, fpm)
    load(run, "nginx.sock", ["/page.php?n=1", "/page.php?n=3"], 24)
    fpm.process.send_signal(signal.SIGUSR2)
    run.wait_for("php-fpm, reloaded", lambda: get("nginx.sock", "/page.php?n=1")[0] == 200, fpm)
    load(run, "nginx.sock", ["/page.php?n=2"], 24)
    run.idle()
    server.stop(signal.SIGQUIT)
    fpm.stop(signal.SIGQUIT)


@program("apache-mod_php", "apache2", "apache2 -v", quick=True)
def apache(run):
    php_site(run)
    port = run.free_port()
    run.folder_make("tmp")
    run.take("apache.conf", FOLDER=run.folder, PORT=port,
             PHP=find("/usr/lib/apache2/modules/libphp*.so"))
    server = run.start([need("apache2", "apache2-bin"), "-f", run.path("apache.conf"), "-DFOREGROUND"],
                       PHP_INI_SCAN_DIR=find("/etc/php/*/cli/conf.d"))
    run.wait_for("apache", lambda: get(port, "/page.php?n=1")[0] == 200, server)
    load(run, port, ["/page.php?n=1", "/small.txt", "/page.php?n=3"], 24)
    server.process.send_signal(signal.SIGUSR1)
    load(run, port, ["/page.php?n=2", "/large.bin"], 24)
    run.idle()
    server.stop()


@program("lighttpd", "lighttpd", "lighttpd -v")
def lighttpd(run):
    site(run)
    run.put("lighttpd.conf", f'server.document-root = "{run.path("www")}"\nserver.bind = "{run.path("l.sock")}"\n'
                             'server.errorlog = "lighttpd.log"\nmimetype.assign = ("" => "text/plain")\n')
    server = run.start([need("lighttpd", "lighttpd"), "-D", "-f", "lighttpd.conf"])
    run.wait_for("lighttpd", lambda: get("l.sock", "/small.txt")[0] == 200, server)
    load(run, "l.sock", NGINX_PATHS, 1000)
    run.idle()
    server.stop(signal.SIGINT)


@program("haproxy", "haproxy", "haproxy -v")
def haproxy(run):
    site(run)
    server = nginx_start(run, "")
    run.take("haproxy.cfg", FOLDER=run.folder)
    proxy = run.start([need("haproxy", "haproxy"), "-W", "-f", "haproxy.cfg"])
    run.wait_for("haproxy", lambda: get("haproxy.sock", "/small.txt")[0] == 200, proxy)
    load(run, "haproxy.sock", NGINX_PATHS, 600)
    proxy.process.send_signal(signal.SIGUSR2)
    run.wait_for("haproxy, reloaded", lambda: get("haproxy.sock", "/small.txt")[0] == 200, proxy)
    load(run, "haproxy.sock", NGINX_PATHS, 300, retries=50)
    run.idle()
    proxy.stop(signal.SIGTERM, statuses=(0, 143, -signal.SIGTERM))
    server.stop(signal.SIGQUIT)


@program("puma", "ruby*", "ruby --version")
def puma(run):
    run.take("config.ru")
    server = run.start([need("puma", "puma"), "-b", "unix://puma.sock", "-w", "2", "-t", "4:4", "config.ru"])
    run.wait_for("puma", lambda: get("puma.sock", "/1")[0] == 200, server)
    load(run, "puma.sock", ["/20", "/300", "/4000"], 150)
    # New workers, one by one. Puma answers with an error what a worker was reading when it was told to end.
    server.process.send_signal(signal.SIGUSR1)
    run.wait_for("puma's new workers", lambda: server.result().out.count(b" booted ") == 4, server)
    load(run, "puma.sock", ["/20", "/300", "/4000"], 50, retries=50)
    run.idle()
    server.stop()


@program("gunicorn", "python3*", "gunicorn --version")
def gunicorn(run):
    run.take("wsgi.py")
    server = run.start([need("gunicorn", "gunicorn"), "-b", "unix:gunicorn.sock", "-w", "2", "--threads", "4",
                        "wsgi:application"], PYTHONMALLOC="malloc", PYTHONDONTWRITEBYTECODE="1")
    run.wait_for("gunicorn", lambda: get("gunicorn.sock", "/1")[0] == 200, server)
    load(run, "gunicorn.sock", ["/20", "/300", "/2000"], 100)
    reload_under_load(run, server, "gunicorn.sock", ["/20", "/300", "/2000"], 100, retries=50)
    run.idle()
    server.stop()
