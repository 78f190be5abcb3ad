"""Programs that make and change pictures, sound, films and pages. What they make has to be the same, byte by byte or
pixel by pixel.
SPDX-License-Identifier: MIT"""
from catalog import program
from trial import need


def page_pdf(run):
    """A document with text and drawings, made on libc."""
    run.take("page.ps")
    run.build([need("ps2pdf", "ghostscript"), "page.ps", "page.pdf"])


@program("ffmpeg", "ffmpeg", "ffmpeg -version")
def ffmpeg(run):
    base = [need("ffmpeg", "ffmpeg"), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
    sources = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=6", "-f", "lavfi", "-i",
               "sine=frequency=440:duration=6"]
    for codec, name, more in (("libx264", "a.mkv", ["-preset", "fast", "-x264-params", "threads=2"]),
                              ("libvpx-vp9", "b.webm", ["-deadline", "realtime", "-cpu-used", "8", "-threads", "2"])):
        sound = "aac" if name == "a.mkv" else "libopus"
        run.run([*base, *sources, "-c:v", codec, *more, "-c:a", sound, "-bitexact", name])
        run.run([*base, "-i", name, "-vf", "scale=320:180,hue=s=0,transpose", "-f", "framemd5", "-"])


@program("imagemagick", "convert*", "convert -version")
def imagemagick(run):
    convert = need("convert-im6.q16", "imagemagick")
    run.run([convert, "-size", "900x700", "-seed", "7", "plasma:red-blue", "-swirl", "90", "a.png"])
    run.run([convert, "a.png", "-resize", "60%", "-rotate", "33", "-blur", "0x3", "-colors", "64", "b.gif"])
    run.run([convert, "a.png", "b.gif", "-background", "white", "-append", "-quality", "80", "c.jpg"])
    for name in ("a.png", "b.gif", "c.jpg"):
        run.run([convert, name, "-format", "%w %h %#\n", "info:"])


@program("graphicsmagick", "gm", "gm version")
def graphicsmagick(run):
    gm = need("gm", "graphicsmagick")
    run.run([gm, "convert", "-size", "900x700", "gradient:red-blue", "-wave", "20x90", "a.png"])
    run.run([gm, "convert", "a.png", "-resize", "60%", "-rotate", "33", "-blur", "0x3", "-colors", "64", "b.tiff"])
    run.run([gm, "identify", "-verbose", "b.tiff"], leave_out="(?i)time|date|elapsed|pixels per second")


@program("ghostscript", "gs", "gs --version")
def ghostscript(run):
    run.take("page.ps")
    base = [need("gs", "ghostscript"), "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE"]
    run.run([*base, "-sDEVICE=png16m", "-r120", "-sOutputFile=page%d.png", "page.ps"])
    run.run([*base, "-sDEVICE=pdfwrite", "-sOutputFile=page.pdf", "page.ps"])
    run.run([*base, "-sDEVICE=pnggray", "-r100", "-dNumRenderingThreads=2", "-sOutputFile=grey%d.png", "page.pdf"])
    run.record_files(r"(page|grey)\d+\.png")


@program("poppler", ("pdftoppm", "pdftotext"), "pdftoppm -v")
def poppler(run):
    page_pdf(run)
    run.run([need("pdftoppm", "poppler-utils"), "-r", "120", "page.pdf", "page"])
    run.record_files(r"page-.*\.ppm")
    for _ in range(4):
        run.run(["pdftotext", "-layout", "page.pdf", "-"])


@program("mupdf", "mutool", "mutool -v")
def mupdf(run):
    page_pdf(run)
    run.run([need("mutool", "mupdf-tools"), "draw", "-q", "-r", "120", "-o", "page%d.png", "page.pdf"])
    run.run(["mutool", "clean", "-gggg", "page.pdf", "clean.pdf"])
    run.run(["mutool", "draw", "-q", "-F", "text", "-o", "-", "clean.pdf"])
    run.record_files(r"page\d+\.png")


@program("graphviz", "libgvc6-config-update", "dot -V")
def graphviz(run):
    edges = "\n".join(f"n{i} -> n{i * 7919 % 300} [label=\"{i}\"];" for i in range(450))
    run.put("graph.dot", f"digraph g {{ node [shape=box];\n{edges}\n}}\n")
    run.run([need("dot", "graphviz"), "-Tsvg", "graph.dot"])
    run.run([need("dot", "graphviz"), "-Kneato", "-Tplain", "graph.dot"])


@program("gnuplot", "gnuplot*", "gnuplot --version")
def gnuplot(run):
    run.put("plot", "set terminal svg size 900,700\nset output 'plot.svg'\nset samples 5000\nset isosamples 60\n"
                    "plot sin(x) * exp(-x / 10), besj0(x), rand(0) with dots\n"
                    "splot sin(x) * cos(y) with pm3d\nset dgrid3d 30,30\nsplot '+' using 1:(sin($1)):(cos($1))\n")
    run.run([need("gnuplot", "gnuplot-nox"), "plot"])
    run.record_files("plot.svg")


@program("librsvg", "rsvg-convert", "rsvg-convert --version")
def librsvg(run):
    run.put("drawing.svg", drawing(600))
    run.run([need("rsvg-convert", "librsvg2-bin"), "-w", "1200", "-o", "drawing.png", "drawing.svg"])
    run.record_files("drawing.png")


@program("webp", ("cwebp", "dwebp"), "cwebp -version")
def webp(run):
    run.build([need("convert-im6.q16", "imagemagick"), "-size", "900x700", "-seed", "7", "plasma:red-blue", "a.png"])
    run.run([need("cwebp", "webp"), "-quiet", "-m", "4", "-mt", "a.png", "-o", "a.webp"])
    run.run([need("dwebp", "webp"), "-quiet", "a.webp", "-o", "b.png"])
    run.record_files(r"a\.webp|b\.png")


def drawing(count):
    """An SVG picture with many shapes, gradients and a blur."""
    shapes = "".join(f'<circle cx="{i * 7919 % 1000}" cy="{i * 104729 % 800}" r="{5 + i % 40}" fill="url(#g{i % 5})" '
                     f'fill-opacity="0.6" {"filter=" + chr(34) + "url(#b)" + chr(34) if i % 20 == 0 else ""}/>'
                     f'<text x="{i * 31 % 900}" y="{i * 17 % 800}" font-size="{8 + i % 20}">text {i}</text>'
                     for i in range(count))
    gradients = "".join(f'<linearGradient id="g{i}"><stop offset="0" stop-color="hsl({i * 70},80%,50%)"/>'
                        f'<stop offset="1" stop-color="white"/></linearGradient>' for i in range(5))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="800"><defs>{gradients}<filter id="b">'
            f'<feGaussianBlur stdDeviation="4"/></filter></defs>{shapes}</svg>')
