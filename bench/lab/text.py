"""Text that is not all text: file names, arguments and what programs write need not be UTF-8. Inside the lab such bytes
are Python's lone surrogates ("surrogateescape"), and go to the system as they came; for people they are "\\xff", in the
terminal and in every file of a report.
SPDX-License-Identifier: MIT"""
import codecs
import locale
import sys

ESCAPED = "hakmem-escaped"
# What a terminal of another encoding has no sign for.
PLAIN = str.maketrans({"−": "-", "–": "-", "×": "x", "…": "~", "“": '"', "”": '"', "·": "|", "µ": "u", "∞": "infinite"})


def escaped(fault):
    """The error handler of that name."""
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    return "".join(map(sign_plain, fault.object[fault.start:fault.end])), fault.end


def sign_plain(sign):
    if 0xDC80 <= ord(sign) <= 0xDCFF:
        return f"\\x{ord(sign) - 0xDC00:02x}"
    plain = sign.translate(PLAIN)
    return plain if plain.isascii() else "?"


codecs.register_error(ESCAPED, escaped)


def streams_prepare():
    """Standard output and error in the encoding of the locale; that of "C" is taken for UTF-8."""
    encoding = locale.nl_langinfo(locale.CODESET)
    try:
        is_ascii = codecs.lookup(encoding).name == "ascii"
    except LookupError:
        is_ascii = True
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8" if is_ascii else encoding, errors=ESCAPED)


def shown(line):
    """A line of a program's for a terminal, which control characters could do things to."""
    return "".join(sign if sign.isprintable() or "\udc80" <= sign <= "\udcff" else f"\\x{ord(sign):02x}"
                   for sign in line.expandtabs())
