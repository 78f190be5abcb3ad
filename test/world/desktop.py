"""Browsers, office programs and others with pictures of their own, without a screen. A browser's page works, and sends
what it found to a server of the run.
SPDX-License-Identifier: MIT"""
import http.server
import os
import threading

from catalog import program
from media import drawing
from run import SOURCE
from trial import need


class Pages:
    """A server on the loopback with one page; what the page sends is in `found`."""

    def __init__(self):
        with open(os.path.join(SOURCE, "work", "page.html"), "rb") as file:
            page = file.read()
        found = self.found = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(page)

            def do_POST(self):
                found.append(self.rfile.read(int(self.headers["content-length"])).decode())
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def browse(run, argv, **environment):
    """The page is opened and works; then the browser idles, and is ended."""
    pages = Pages()
    browser = run.start([*argv, pages.address], **environment)
    run.wait_for("what the page found", lambda: pages.found, browser)
    run.record("what the page found", pages.found)
    run.idle()
    browser.stop(statuses=(0, -15, 143))


def check_picture(run, name):
    """A screenshot of the page, which has much colour in it, by its size and its pixels."""
    run.run([need("convert-im6.q16", "imagemagick"), name, "-format", "%w %h %k %#\n", "info:"], client=True)


@program("firefox", "firefox-esr", "firefox-esr --version", quick=True)
def firefox(run):
    run.folder_make("profile")
    run.put("profile/user.js", "".join(f'user_pref("{name}", {value});\n' for name, value in (
        ("browser.shell.checkDefaultBrowser", "false"), ("datareporting.policy.dataSubmissionEnabled", "false"),
        ("toolkit.telemetry.enabled", "false"), ("app.update.enabled", "false"),
        ("browser.aboutwelcome.enabled", "false"),
        ("extensions.update.enabled", "false"), ("network.captive-portal-service.enabled", "false"),
        ("network.connectivity-service.enabled", "false"), ("browser.startup.homepage_override.mstone", '"ignore"'),
        ("services.settings.server", '"http://127.0.0.1:1"'), ("dom.ipc.processCount", "2"))))
    base = [need("firefox-esr", "firefox-esr"), "--headless", "--no-remote", "--profile", run.path("profile")]
    still = run.take("still.html")
    run.run([*base, "--window-size", "800,600", "--screenshot", run.path("still.png"), f"file://{still}"], leave_out="")
    check_picture(run, "still.png")
    browse(run, base, MOZ_CRASHREPORTER_DISABLE="1")


@program("chromium", "chromium", "chromium --version")
def chromium(run):
    run.folder_make("profile")
    base = [need("chromium", "chromium"), "--headless=new", f"--user-data-dir={run.path('profile')}", "--no-first-run",
            "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--disable-breakpad",
            *([] if run.is_allowed(["unshare", "--user", "true"]) else ["--no-sandbox"])]
    still = run.take("still.html")
    run.run([*base, "--window-size=800,600", f"--screenshot={run.path('still.png')}", f"file://{still}"], leave_out="")
    check_picture(run, "still.png")
    browse(run, base)


@program("libreoffice", "soffice.bin", "dpkg-query -W libreoffice-core-nogui")
def libreoffice(run):
    base = [need("soffice", "libreoffice-writer-nogui"), "--headless", "--norestore",
            f"-env:UserInstallation=file://{run.path('office')}"]
    rows = [f"{i},name {i * 7919 % 1000},{i / 7:.3f},=A{i + 1}*2" for i in range(6000)]
    run.put("table.csv", "\n".join(rows))
    run.put("text.html", "".join(f"<h2>Chapter {i}</h2><p>{'many words here ' * 60}</p><table><tr><td>{i}<td>b</table>"
                                 for i in range(60)))
    for target, source in (("ods", "table.csv"), ("xlsx", "table.ods"), ("csv:Text - txt - csv (StarCalc):44,34,76,1",
                                                                          "table.xlsx"), ("odt", "text.html"),
                           ("pdf", "text.odt"), ("docx", "text.odt"), ("txt:Text", "text.docx")):
        run.run([*base, "--convert-to", target, source], leave_out="")
    run.record("the table", run.read("table.csv"))
    run.record("the text", run.read("text.txt"))
    run.expect(run.read("text.pdf").startswith(b"%PDF"), "no PDF was made")


@program("inkscape", "inkscape", "inkscape --version")
def inkscape(run):
    run.put("drawing.svg", drawing(300))
    run.run([need("inkscape", "inkscape"), "--export-type=png", "-w", "1200", "-o", "drawing.png", "drawing.svg"],
            leave_out="")
    check_picture(run, "drawing.png")
    run.run(["inkscape", "--actions=select-all;object-to-path;path-union;export-filename:union.svg;export-plain-svg;"
             "export-do", "drawing.svg"], leave_out="")
    run.record("the union", run.read("union.svg"))
