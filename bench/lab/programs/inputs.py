"""Inputs for the real programs, made from a seed: the same bytes on every machine.
SPDX-License-Identifier: MIT"""
import random


class Dice:
    """Whole numbers from the one method of random.Random whose results are promised to stay the same."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def below(self, limit):
        return int(self.random() * limit)

    def choice(self, items):
        return items[self.below(len(items))]


def words(dice, count):
    return ["".join(chr(97 + dice.below(26)) for _ in range(2 + dice.below(10))) for _ in range(count)]


def text(size):
    """Neither random nor trivial: sentences from a vocabulary in which some words are far more frequent than others."""
    dice = Dice(1)
    vocabulary = words(dice, 5000)
    sentences = [" ".join(vocabulary[dice.below(1 + dice.below(5000))] for _ in range(4 + dice.below(12)))
                 for _ in range(9000)]
    parts, length = [], 0
    while length < size:
        parts.append(f"{dice.choice(sentences)} {dice.below(10**6)} {dice.choice(sentences)}\n")
        length += len(parts[-1])
    return "".join(parts)[:size].encode()


def sql(rows):
    """A shop in memory: inserts by the thousand, indexes, joins, groups, updates, deletions, texts that grow."""
    dice = Dice(2)
    vocabulary = words(dice, 2000)
    lines = ["CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, city TEXT, note TEXT);",
             "CREATE TABLE item(id INTEGER PRIMARY KEY, person INTEGER, label TEXT, price REAL, stock INTEGER);",
             "BEGIN;"]
    for number in range(rows // 5):
        note = " ".join(dice.choice(vocabulary) for _ in range(dice.below(30)))
        lines.append(f"INSERT INTO person VALUES({number}, '{dice.choice(vocabulary)} {number}', "
                     f"'c{dice.below(300)}', '{note}');")
    for number in range(rows):
        lines.append(f"INSERT INTO item VALUES({number}, {dice.below(rows // 5)}, "
                     f"'{dice.choice(vocabulary)}-{dice.below(999)}', {dice.below(100000) / 100}, {dice.below(50)});")
    lines += [
        "COMMIT;", "CREATE INDEX item_person ON item(person);", "CREATE INDEX item_label ON item(label, price);",
        "SELECT count(*), round(sum(price), 2) FROM item JOIN person ON person.id = item.person WHERE city LIKE 'c1%';",
        "SELECT city, count(*), round(avg(price), 3) FROM item JOIN person ON person.id = person"
        " GROUP BY city ORDER BY 3 DESC LIMIT 20;",
        "SELECT sum(length(labels)) FROM (SELECT group_concat(label, ', ') AS labels FROM item GROUP BY person);",
        "UPDATE person SET note = note || ' ' || name || ' ' || city WHERE id % 3 = 0;",
        "DELETE FROM item WHERE stock = 7;",
        "WITH ranked AS (SELECT label, price, row_number() OVER (PARTITION BY person ORDER BY price) AS place"
        " FROM item) SELECT count(*), round(sum(price), 2) FROM ranked WHERE place = 1;",
        "SELECT count(DISTINCT substr(note, 1, 12)), sum(length(replace(note, 'a', 'bb'))) FROM person;",
        "SELECT label, json_group_array(price) FROM item GROUP BY label ORDER BY count(*) DESC, label LIMIT 5;"]
    return "\n".join(lines).encode() + b"\n"


def c_unit(functions):
    """A large C file, of the kind that a generator writes: structures, switches, lists, tables of strings."""
    dice = Dice(3)
    lines = ["#include <stdlib.h>", "#include <string.h>"]
    for number in range(functions):
        fields = "".join(f" int f{i}[{1 + dice.below(9)}];" for i in range(1 + dice.below(12)))
        cases = "".join(f"        case {k}: sum = sum * {3 + dice.below(97)}u + node->f0[0]; break;\n"
                        for k in range(4 + dice.below(30)))
        names = ", ".join(f'"name {number} {dice.below(9999)}"' for _ in range(4 + dice.below(30)))
        lines.append(f"""struct s{number} {{ struct s{number} *next;{fields} const char *name; }};
static const char *const names{number}[] = {{ {names} }};
unsigned run{number}(unsigned sum, int count) {{
    struct s{number} *list = 0;
    for (int i = 0; i < count; i++) {{
        struct s{number} *node = calloc(1, sizeof *node);
        if (!node) break;
        node->f0[0] = (int)(sum >> {dice.below(16)}) ^ i;
        node->name = names{number}[sum % (sizeof names{number} / sizeof *names{number})];
        node->next = list;
        list = node;
        switch ((sum + (unsigned)i) % {8 + dice.below(24)}u) {{
        default: sum ^= sum >> {1 + dice.below(20)}; break;
{cases}        }}
    }}
    while (list) {{
        struct s{number} *next = list->next;
        sum += (unsigned)strlen(list->name);
        free(list);
        list = next;
    }}
    return sum;
}}""")
    return "\n".join(lines).encode() + b"\n"


def cxx_unit(classes):
    """Templates by the hundred, and the heavy headers of the standard library."""
    dice = Dice(4)
    headers = ("algorithm", "functional", "map", "memory", "regex", "sstream", "string", "tuple", "unordered_map",
               "variant", "vector")
    parts = [f"#include <{header}>\n" for header in headers]
    for number in range(classes):
        width = 2 + dice.below(9)
        parts.append(f"""namespace n{number} {{
template <typename T, int N> struct box {{ T held[N]; std::vector<std::tuple<T, std::string, double>> more; }};
template <int N> struct sum {{ static constexpr long value = N + sum<N - 1>::value; }};
template <> struct sum<0> {{ static constexpr long value = {dice.below(100)}; }};
using value = std::variant<int, std::string, std::shared_ptr<box<double, {width}>>,
                           std::vector<box<long, {width + 1}>>>;
struct thing {{
    std::map<std::string, value> by_name;
    std::unordered_map<int, std::vector<std::string>> by_number;
    std::function<long(long)> step = [](long x) {{
        return x * {3 + dice.below(50)} + sum<{20 + dice.below(120)}>::value;
    }};
    long run(long seed) {{
        for (int i = 0; i < {10 + dice.below(50)}; i++) {{
            std::ostringstream text;
            text << "key " << seed % 97 << ' ' << i;
            by_number[static_cast<int>(seed = step(seed))].push_back(text.str());
            by_name[text.str()] = std::make_shared<box<double, {width}>>();
        }}
        std::vector<std::pair<std::string, std::size_t>> sorted;
        for (auto &[name, held] : by_name)
            sorted.emplace_back(name, std::visit([](auto &v) {{ return sizeof v; }}, held));
        std::sort(sorted.begin(), sorted.end(), [](auto &a, auto &b) {{
            return std::tie(a.second, a.first) < std::tie(b.second, b.first);
        }});
        return seed + static_cast<long>(sorted.size());
    }}
}};
long run(long seed) {{ return thing().run(seed); }}
}}
""")
    return "".join(parts).encode()


def git_stream(commits):
    """A history for git fast-import: files that change a little at a time, some large, some that come and go."""
    dice = Dice(5)
    files, stream = {}, []
    for number in range(commits):
        message = f"Commit {number}\n\n" + "why " * dice.below(40)
        who = f"Author {number % 9} <a@example.org> {1600000000 + 600 * number} +0000"
        stream.append(f"commit refs/heads/main\ncommitter {who}\ndata {len(message)}\n{message}\n".encode())
        for _ in range(1 + dice.below(5)):
            name = f"d{dice.below(15)}/e{dice.below(6)}/file{dice.below(25)}.txt"
            lines = files.setdefault(name, [f"line {i} of {name}" for i in range(20 + dice.below(600))])
            lines[dice.below(len(lines))] = f"changed in {number}: " + "x" * dice.below(80)
            contents = "\n".join(lines).encode()
            stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(contents), contents))
    return b"".join(stream) + b"done\n"
