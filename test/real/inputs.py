"""What the programs of test/real work on: made here, the same everywhere and always.
SPDX-License-Identifier: MIT"""


class Random:
    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % limit


def git_history(commits):
    """A stream for git fast-import: two branches, text files that change a little, and some binary ones."""
    random = Random(1)
    files = {}
    stream = []
    for number in range(commits):
        branch = "refs/heads/" + ("side" if number % 7 == 3 else "main")
        who = f"Author {number % 9} <a{number % 9}@example.org> {1600000000 + 600 * number} +0000"
        message = f"Commit {number}\n\n" + "why " * random.below(40)
        stream.append(f"commit {branch}\ncommitter {who}\ndata {len(message)}\n{message}\n".encode())
        if number == 3:
            stream.append(b"from refs/heads/main\n")
        for _ in range(1 + random.below(4)):
            name = f"d{random.below(12)}/e{random.below(5)}/file{random.below(20)}.txt"
            lines = files.setdefault(name, [f"line {i} of {name}" for i in range(20 + random.below(400))])
            lines[random.below(len(lines))] = f"changed in {number}: " + "x" * random.below(60)
            contents = "\n".join(lines).encode()
            if random.below(50) == 0:
                contents = bytes(random.below(256) for _ in range(20000)) + contents
            stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(contents), contents))
    return b"".join(stream) + b"done\n"


def redis_commands(count):
    """What redis-cli --pipe takes: every type of value, with small and large encodings, and deletions."""
    random = Random(2)
    lines = []
    for i in range(count):
        key = random.below(count // 4)
        value = "v" * random.below(3000 if i % 100 == 0 else 200)
        kinds = (f"SET s:{key} {i}{value}", f"RPUSH l:{key % 100} {i}{value}", f"SADD m:{key % 200} {i}",
                 f"HSET h:{key % 50} f{i} {i}{value}", f"ZADD z:{key % 30} {i % 977} member{i}",
                 f"XADD x:{key % 10} {i + 1}-1 field {i}{value}", f"APPEND a:{key % 300} {i}{value}",
                 f"DEL s:{key // 2}", f"LPOP l:{key % 100}", f"SETBIT b:{key % 20} {key * 7} 1")
        lines.append(kinds[i % len(kinds)])
    return "\r\n".join(lines).encode() + b"\r\n"


def c_source(unit, functions):
    """A C file that defines run_<unit>: many functions with structures, loops and switches of their own."""
    random = Random(unit)
    parts = ["#include <stdlib.h>\n#include <string.h>\n"]
    for i in range(functions):
        cases = "".join(f"        case {k}: value += {random.below(9999)}u * (unsigned)i; break;\n"
                        for k in range(random.below(20)))
        parts.append(f"""
struct s{i} {{ int a[{1 + random.below(9)}]; double d; struct s{i} *next; const char *name; }};
static unsigned f{i}(unsigned value, int count)
{{
    struct s{i} *list = NULL;
    for (int i = 0; i < count; i++) {{
        struct s{i} *node = calloc(1, sizeof *node);
        node->d = value / {1 + random.below(99)}.0;
        node->name = "name {i} {random.below(999)}";
        node->next = list;
        list = node;
        switch ((value ^ (unsigned)i) & {2 ** random.below(8) - 1}u) {{
        default: value = value << 3 ^ value >> {1 + random.below(20)}; break;
{cases}        }}
    }}
    while (list != NULL) {{
        struct s{i} *next = list->next;
        value += (unsigned)list->d + (unsigned)strlen(list->name);
        free(list);
        list = next;
    }}
    return value;
}}
""")
    calls = "".join(f"    value = f{i}(value, {random.below(30)});\n" for i in range(functions))
    parts.append(f"\nunsigned run_{unit}(unsigned value)\n{{\n{calls}    return value;\n}}\n")
    return "".join(parts).encode()


def cxx_source(unit, classes):
    """A C++ file that defines run_<unit>: the templates of the standard library with new types, again and again."""
    random = Random(unit)
    parts = ["".join(f"#include <{name}>\n" for name in (
        "algorithm", "map", "memory", "numeric", "regex", "sstream", "string", "unordered_map", "variant", "vector"))]
    for i in range(classes):
        size = 1 + random.below(9)
        parts.append(f"""
namespace n{i} {{
template <typename T, int N> struct box {{ T held[N]; std::vector<T> more; }};
using value = std::variant<int, std::string, std::shared_ptr<box<double, {size}>>>;
struct thing {{
    std::map<std::string, value> by_name;
    std::unordered_map<int, std::vector<std::string>> by_number;
    unsigned run(unsigned seed)
    {{
        for (unsigned i = 0; i < {20 + random.below(80)}; i++) {{
            seed = seed * 1664525u + 1013904223u;
            std::ostringstream text;
            text << "key " << seed % 97 << ' ' << i;
            by_number[static_cast<int>(seed >> 25)].push_back(text.str());
            if (i % 3 == 0)
                by_name[text.str()] = std::make_shared<box<double, {size}>>();
            else if (i % 3 == 1)
                by_name[text.str()] = text.str();
        }}
        std::vector<std::pair<std::string, std::size_t>> sorted;
        for (auto &[name, held] : by_name)
            sorted.emplace_back(name, held.index());
        std::sort(sorted.begin(), sorted.end(), [](auto &a, auto &b) {{
            return a.second != b.second ? a.second < b.second : b.first < a.first;
        }});
        return std::accumulate(sorted.begin(), sorted.end(), seed, [](unsigned sum, auto &pair) {{
            return sum * 31 + static_cast<unsigned>(pair.first.size());
        }});
    }}
}};
}}
""")
    calls = "".join(f"    value = n{i}::thing().run(value);\n" for i in range(classes))
    parts.append(f'\nextern "C" unsigned run_{unit}(unsigned value)\n{{\n{calls}    return value;\n}}\n')
    return "".join(parts).encode()


def c_main(units):
    declarations = "".join(f"unsigned run_{unit}(unsigned);\n" for unit in units)
    calls = "".join(f'    printf("%u\\n", value = run_{unit}(value));\n' for unit in units)
    return f"#include <stdio.h>\n{declarations}int main(void)\n{{\n    unsigned value = 1;\n{calls}}}\n".encode()


def makefile(units):
    objects = " ".join(f"unit{unit}.o" for unit in units)
    return (f"CFLAGS = -O2\nCXXFLAGS = -O1 -std=c++17\n"
            f"program: main.o {objects}\n\t$(CXX) -o $@ $^\n").encode()


def text(size):
    """Neither random nor trivial: words of a vocabulary, in an order that a compressor has to work for."""
    random = Random(3)
    words = ["".join(chr(97 + random.below(26)) for _ in range(2 + random.below(9))) for _ in range(3000)]
    chunks = [" ".join(words[random.below(1 + random.below(3000))] for _ in range(2000)).encode() for _ in range(40)]
    made = bytearray()
    while len(made) < size:
        made += chunks[random.below(len(chunks))][random.below(5000):]
        made += b"%d\n" % random.below(10**9)
    return bytes(made[:size])
